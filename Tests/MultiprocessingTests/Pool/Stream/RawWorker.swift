import Glibc

@testable import Multiprocessing

/// Somebody at the other end of a pool's socket who says what a test wants.
final class RawWorker: Sendable {
    let file: Int32

    /// Connects to a pool of this machine.
    init(_ pool: Pool) throws {
        let port = pool.invitation!.address.port!
        file = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(file, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        try check(result == 0, "connect: errno \(errno)")
    }

    /// Connects and is taken in.
    convenience init(takenInBy pool: Pool) throws {
        try self.init(pool)
        try send(StreamHello.frame(of: .current(place: nil), pool.invitation!.token))
        try check(next()?.kind == .welcome, "it was not taken in")
        try check(next()?.kind == .job, "it got no job")
    }

    deinit {
        close(file)
    }

    func send(_ bytes: [UInt8]) {
        _ = Glibc.send(file, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    }

    func send(_ frame: StreamFrame) {
        send(frame.bytes)
    }

    func send(_ message: PoolMessage) throws {
        send(try StreamMessages.frame(of: message, limit: 1 << 30))
    }

    /// The next frame; nil at end of file, or after ten seconds.
    func next() -> StreamFrame? {
        guard let header = read(StreamFrame.headerSize) else { return nil }
        guard let parsed = try? header.withUnsafeBytes({ try StreamFrame.Header($0, limit: 1 << 30) }) else {
            return nil
        }
        guard let head = read(parsed.headCount), let content = read(parsed.contentCount) else { return nil }
        return StreamFrame(kind: parsed.kind, head: head, content: content)
    }

    /// The next message of the pool; signs of life are left out.
    func nextMessage() throws -> PoolMessage? {
        while let frame = next() {
            if frame.kind == .message { return try StreamMessages.message(in: frame) }
        }
        return nil
    }

    /// Waits for the next task, and says that it has begun.
    func beginTask() throws -> Int {
        while let message = try nextMessage() {
            guard message.kind == .run else { continue }
            try send(PoolMessage(kind: .began, task: message.task))
            return message.task
        }
        throw CheckFailure(text: "no task came", place: "")
    }

    private func read(_ count: Int) -> [UInt8]? {
        var bytes: [UInt8] = []
        while bytes.count < count {
            guard isReadable(file, within: 10_000) else { return nil }
            var buffer = [UInt8](repeating: 0, count: min(65536, count - bytes.count))
            let got = recv(file, &buffer, buffer.count, 0)
            if got <= 0 { return nil }
            bytes += buffer[..<got]
        }
        return bytes
    }

    /// Whether the pool hangs up without a word, within a time.
    func isHungUp(within milliseconds: Int32 = 10_000) -> Bool {
        guard isReadable(file, within: milliseconds) else { return false }
        var byte: UInt8 = 0
        return recv(file, &byte, 1, 0) <= 0
    }
}

extension StreamFrame {
    /// As it is sent.
    var bytes: [UInt8] { front + content.flatMap { $0 } }
}
