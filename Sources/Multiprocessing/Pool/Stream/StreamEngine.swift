internal import MultiprocessingSystem
internal import SystemPackage

/// What a thread that serves sockets sleeps on, and what wakes it.
final class StreamEngine: Sendable {
    private let poller: Poller
    private let bell: Descriptor

    /// The token of the bell. Other users of the engine take others.
    static let bellToken: UInt64 = 0

    init() throws(Errno) {
        poller = try Poller()
        bell = try Descriptor.event()
        try poller.add(bell.number, token: Self.bellToken)
    }

    /// Wakes the thread. One system call.
    func ring() { bell.signalEvent() }

    func watch(_ number: CInt, token: UInt64) throws(Errno) { try poller.add(number, token: token) }

    /// From now on tells when there is room as well, or no more.
    func watch(_ number: CInt, token: UInt64, forWriting: Bool) throws(Errno) {
        try poller.modify(number, token: token, forWriting: forWriting)
    }

    func forget(_ number: CInt) { poller.remove(number) }

    /// Sleeps until something is ready, the bell rings, or the time is over; the tokens of what is ready.
    func wait(_ limit: Duration) -> [UInt64] {
        let (seconds, attoseconds) = limit.components
        let milliseconds = seconds * 1000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000
        let tokens = poller.wait(milliseconds: CInt(clamping: max(0, milliseconds)))
        if tokens.contains(Self.bellToken) { bell.clearEvent() }
        return tokens.filter { $0 != Self.bellToken }
    }
}
