internal import MultiprocessingSystem
internal import SystemPackage

// How messages go through a connection between processes: as they are, because their content is encoded already.
//
// Layout: kind (1 byte), whether there is a content (1), zero (6), task (8), number (8), the content. The descriptors of handles go
// beside it. A message that is too long for the ring is in a memory file, which the receiver maps: both ends are processes of
// one program, and nobody has the file mapped for writing.

extension PoolMessage {
    private static let headerSize = 24

    /// Sends the message. Blocks the thread while there is no room.
    ///
    /// Up to 1 MiB one copy into shared memory, else one into a memory file.
    func send(over connection: Connection, timeout: Duration? = nil) throws {
        let count = Self.headerSize + (content?.count ?? 0)
        let attachments = content?.objects.map { $0 as! SharedDescriptor } ?? []
        guard attachments.count < SocketPacket.mostForMessage else {
            throw SharedStateError(.tooLarge, "A task with \(attachments.count) descriptors is too large")
        }
        if count > MessageRing.longestInline {
            var envelope = Envelope(kind: .file, byteCount: count)
            envelope.attachments = [SharedDescriptor(try file())] + attachments
            return try connection.end.send(UnsafeRawBufferPointer(start: nil, count: 0), envelope, timeout: timeout)
        }
        try withUnsafeTemporaryAllocation(byteCount: count, alignment: 8) { room in
            header(into: room)
            var place = Self.headerSize
            content?.forEachPiece { piece in
                UnsafeMutableRawBufferPointer(rebasing: room[place...]).copyMemory(from: piece)
                place += piece.count
            }
            let envelope = Envelope(attachments: attachments)
            try connection.end.send(UnsafeRawBufferPointer(room), envelope, timeout: timeout)
        }
    }

    private func header(into room: UnsafeMutableRawBufferPointer) {
        room.storeBytes(of: UInt64(kind.rawValue) | (content == nil ? 0 : 1 << 8), as: UInt64.self)
        room.storeBytes(of: Int64(task), toByteOffset: 8, as: Int64.self)
        room.storeBytes(of: Int64(number), toByteOffset: 16, as: Int64.self)
    }

    private func file() throws -> Descriptor {
        do throws(Errno) {
            let file = try Descriptor.memoryFile(named: "multiprocessing")
            try withUnsafeTemporaryAllocation(byteCount: Self.headerSize, alignment: 8) { (room) throws(Errno) in
                header(into: room)
                try file.fill(UnsafeRawBufferPointer(room))
            }
            try content?.forEachPiece { (piece) throws(Errno) in try file.fill(piece) }
            return file
        } catch {
            throw SharedStateError(.outOfResources, "There is no room for a message of this size", errno: error)
        }
    }

    /// Receives a message. Blocks the thread until one is there.
    static func received(from connection: Connection, timeout: Duration? = nil) throws -> PoolMessage {
        try connection.end.receive(timeout: timeout, admit: Connection.requireBytes) { message in
            guard message.record.kind == .file else {
                let content = UnsafeRawBufferPointer(rebasing: message.bytes.dropFirst(Self.headerSize))
                return try PoolMessage(message.bytes) { TravellingBytes(Array(content), objects: message.descriptors) }
            }
            let file = try message.mapped()
            let objects = Array(message.descriptors.dropFirst())
            return try file.withBytes { bytes in
                try PoolMessage(bytes) { TravellingBytes(file.dropping(Self.headerSize), objects: objects) }
            }
        }
    }

    private init(_ bytes: UnsafeRawBufferPointer, _ content: () -> TravellingBytes) throws {
        guard bytes.count >= Self.headerSize, let kind = Kind(rawValue: bytes[0]) else {
            throw SharedStateError(.malformed, "What came is no message of a pool")
        }
        self.kind = kind
        task = Int(bytes.loadUnaligned(fromByteOffset: 8, as: Int64.self))
        number = Int(bytes.loadUnaligned(fromByteOffset: 16, as: Int64.self))
        if bytes[1] != 0 { self.content = content() }
    }
}
