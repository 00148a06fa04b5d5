internal import MultiprocessingSystem
internal import SystemPackage

/// Parent to fork server: a kind (1 byte), then a count (1 byte) or a job (inline, or as a memory file beside it).
enum ForkServerRequest {
    case fork(UInt8)
    case preload([UInt8])

    init?(_ packet: Packet) {
        switch packet.bytes.first {
        case 1 where packet.bytes.count == 2:
            self = .fork(packet.bytes[1])
        case 2:
            if let file = packet.passed.first {
                guard let copy = try? Descriptor(duplicating: file), let mapped = try? MappedFile(copy) else {
                    return nil
                }
                self = .preload(mapped.withBytes { Array($0) })
            } else {
                self = .preload(Array(packet.bytes.dropFirst()))
            }
        default:
            return nil
        }
    }

    func send(over control: borrowing Descriptor) throws(Errno) {
        switch self {
        case .fork(let count):
            try control.sendBytes([1, count])
        case .preload(let bytes) where bytes.count < Descriptor.maximumPacket:
            try control.sendBytes([2] + bytes)
        case .preload(let bytes):
            let file = try Descriptor.memoryFile(holding: [bytes])
            try control.sendBytes([2], passing: [file.number])
        }
    }
}

/// Fork server, or a process that it made, to parent: a kind (1 byte), then the content.
enum ForkServerReply {
    /// The server has forked a process, which will announce itself, before or after this: its id (4 bytes). So the parent knows
    /// of one that dies before it can; and of one whose server dies before it can, by the process itself.
    case forked(Int32)
    /// A process waits for a launch: its id (4 bytes), and beside it the parent's end of its channel.
    case ready(Int32, channel: CInt)
    /// The same, and this process had no room for the channel: the process will leave by itself. Never sent.
    case lost(Int32)
    /// A fork failed: the errno (4 bytes).
    case failed(Int32)
    /// A process could not be made ready and leaves: its id (4 bytes), the errno (4 bytes).
    case unfit(Int32, Int32)
    case preloaded
    /// The preload hook failed, with the reason in words.
    case preloadFailed(String)

    /// Nil for a packet that makes no sense; a received channel is the caller's to close.
    init?(_ packet: Packet) {
        func number(_ index: Int = 0, of count: Int = 1) -> Int32? {
            guard packet.bytes.count == 1 + 4 * count else { return nil }
            return packet.bytes[(1 + 4 * index)...].withUnsafeBytes {
                Int32(littleEndian: $0.loadUnaligned(as: Int32.self))
            }
        }
        switch packet.bytes.first {
        case 1:
            guard let pid = number() else { return nil }
            if packet.hasLostDescriptors {
                self = .lost(pid)
                return
            }
            guard let channel = packet.passed.first else { return nil }
            self = .ready(pid, channel: channel)
        case 2:
            guard let code = number() else { return nil }
            self = .failed(code)
        case 3:
            self = .preloaded
        case 4:
            self = .preloadFailed(String(decoding: packet.bytes.dropFirst(), as: UTF8.self))
        case 5:
            guard let pid = number() else { return nil }
            self = .forked(pid)
        case 6:
            guard let pid = number(0, of: 2), let code = number(1, of: 2) else { return nil }
            self = .unfit(pid, code)
        default:
            return nil
        }
    }

    /// Sends over a number that somebody else owns. A parent that is gone needs no answer.
    func send(over control: CInt) {
        func with(_ kind: UInt8, _ values: Int32...) -> [UInt8] {
            values.reduce([kind]) { $0 + withUnsafeBytes(of: $1.littleEndian) { Array($0) } }
        }
        let (bytes, passed): ([UInt8], [CInt]) =
            switch self {
            case .ready(let pid, let channel): (with(1, pid), [channel])
            case .lost(let pid): (with(1, pid), [])
            case .failed(let code): (with(2, code), [])
            case .forked(let pid): (with(5, pid), [])
            case .unfit(let pid, let code): (with(6, pid, code), [])
            case .preloaded: ([3], [])
            case .preloadFailed(let message): ([4] + Array(message.utf8.prefix(4096)), [])
            }
        let descriptor = Descriptor(owning: control)
        try? descriptor.sendBytes(bytes, passing: passed)
        _ = descriptor.release()
    }
}
