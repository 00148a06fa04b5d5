/// Who takes what a stream brings, line by line. Called under locks: it must neither wait nor call back.
protocol LineReceiver: AnyObject, Sendable {
    /// Whether it wants more now.
    var hasRoom: Bool { get }
    /// Takes a line, without its end.
    func take(_ line: String)
}

/// Takes a stream apart into lines.
struct LineSplitter {
    /// Longer lines come in pieces: a stream without line ends must not fill this process's memory.
    static let longest = 16 * 1024

    private let receiver: any LineReceiver
    private var rest: [UInt8] = []

    init(_ receiver: any LineReceiver) {
        self.receiver = receiver
    }

    var hasRoom: Bool { receiver.hasRoom }

    mutating func take(_ bytes: [UInt8]) {
        var bytes = bytes[...]
        while let end = bytes.firstIndex(of: UInt8(ascii: "\n")) {
            rest += bytes[..<end]
            bytes = bytes[(end + 1)...]
            cut()
            if rest.last == UInt8(ascii: "\r") { rest.removeLast() }
            pass(rest.count)
        }
        rest += bytes
        cut()
    }

    /// Passes on a last line that has no end.
    mutating func finish() {
        if !rest.isEmpty { pass(rest.count) }
    }

    /// Passes on as much of a line as is too long.
    private mutating func cut() {
        while rest.count > Self.longest {
            // Not within a character: its further bytes are 10xxxxxx, three at most.
            let start = (Self.longest - 3...Self.longest).last { rest[$0] & 0xC0 != 0x80 }
            pass(start ?? Self.longest)
        }
    }

    private mutating func pass(_ count: Int) {
        receiver.take(String(decoding: rest[..<count], as: UTF8.self))
        rest.removeFirst(count)
    }
}
