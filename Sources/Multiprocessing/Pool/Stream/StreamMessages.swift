internal import MultiprocessingWire

/// A pool's messages as frames, and back.
///
/// The content is not encoded with the rest: it is sent from where it is, and received to where it stays.
enum StreamMessages {
    /// - Parameter limit: the most bytes of a frame.
    /// - Throws: ``PoolError`` (`cannotTravel`) for a handle, and for a message that is too long.
    static func frame(of message: PoolMessage, limit: Int) throws -> StreamFrame {
        if let content = message.content, !content.objects.isEmpty {
            throw PoolError(
                .cannotTravel,
                "\(names(of: content)) cannot go over a socket: its memory and descriptors are of one machine. "
                    + "Send the values themselves, or use a pool of processes"
            )
        }
        var head = message
        head.content = message.content.map { _ in TravellingBytes([]) }
        let frame = StreamFrame(
            kind: .message,
            head: try BinaryEncoder().encode(head),
            content: message.content?.arrays ?? []
        )
        guard frame.head.count <= StreamFrame.mostHead, frame.byteCount <= limit else {
            throw PoolError(
                .cannotTravel,
                "A message of \(frame.byteCount) bytes is longer than the \(limit) that maximumMessage allows"
            )
        }
        return frame
    }

    /// The kinds of handles that a content holds.
    static func names(of content: TravellingBytes) -> String {
        var names: [String] = []
        for case let descriptor as SharedDescriptor in content.objects {
            let name = descriptor.handleName
            if !names.contains(name) { names.append(name) }
        }
        return names.joined(separator: ", ")
    }

    static func claim(_ items: Int, of task: Int) -> StreamFrame {
        StreamFrame(
            kind: .claim,
            head: [task, items].flatMap { withUnsafeBytes(of: UInt64($0).littleEndian) { Array($0) } }
        )
    }

    static func claim(in frame: StreamFrame) throws(StreamFault) -> (task: Int, items: Int) {
        guard frame.head.count == 16, frame.content.isEmpty else {
            throw .malformed("a claim of \(frame.byteCount) bytes")
        }
        let (task, items) = frame.head.withUnsafeBytes {
            (
                UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self)),
                UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
            )
        }
        return (Int(clamping: task), Int(clamping: items))
    }

    static func message(in frame: StreamFrame) throws(StreamFault) -> PoolMessage {
        do {
            var message = try BinaryDecoder().decode(PoolMessage.self, from: frame.head)
            if message.content != nil {
                message.content = TravellingBytes(frame.content.first ?? [])
            } else if !frame.content.isEmpty {
                throw StreamFault.malformed("a message with a content that it does not tell of")
            }
            return message
        } catch let fault as StreamFault {
            throw fault
        } catch {
            throw .malformed("a message that cannot be decoded: \(error)")
        }
    }
}
