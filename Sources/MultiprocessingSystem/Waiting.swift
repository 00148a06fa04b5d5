internal import Glibc
public import SystemPackage
internal import _MultiprocessingShims

/// A point in time after which a wait gives up.
public struct Deadline: Sendable {
    private let instant: ContinuousClock.Instant?

    /// Never gives up.
    public static let never = Deadline(instant: nil)

    /// Whether it is ``never``.
    public var isNever: Bool { instant == nil }

    private init(instant: ContinuousClock.Instant?) {
        self.instant = instant
    }

    /// `duration` from now; nil is ``never``, negative is at once.
    public init(after duration: Duration?) {
        instant = duration.flatMap { $0 > Self.longest ? nil : ContinuousClock.now + max($0, .zero) }
    }

    /// More than a century. Longer waits are without end: the sum of one and the present may overflow.
    public static let longest = Duration.seconds(1 << 32)

    /// The earlier of two deadlines.
    public func earlier(_ other: Duration) -> Deadline {
        let limit = ContinuousClock.now + other
        return Deadline(instant: instant.map { min($0, limit) } ?? limit)
    }

    /// Whether this one passes before the other.
    public func isEarlier(than other: Deadline) -> Bool {
        guard let instant else { return false }
        return other.instant.map { instant < $0 } ?? true
    }

    /// The time that is left, not below zero; nil for ``never``.
    public var remaining: Duration? {
        instant.map { max($0 - ContinuousClock.now, .zero) }
    }

    /// Whether the time is over.
    public var hasPassed: Bool {
        remaining == .zero
    }

    var nanoseconds: Int64 {
        guard let remaining else { return -1 }
        let (seconds, attoseconds) = remaining.components
        return seconds * 1_000_000_000 + (attoseconds + 999_999_999) / 1_000_000_000
    }
}

/// What ``waitUntilReady(_:deadline:)`` waits for.
public struct Interest: Sendable {
    /// The descriptor.
    public var number: CInt
    /// Whether to wait until it can be written; otherwise until it can be read.
    public var forWriting: Bool

    /// Interest in a descriptor.
    public init(_ number: CInt, forWriting: Bool = false) {
        self.number = number
        self.forWriting = forWriting
    }
}

/// Waits until one of several descriptors is readable, writable as asked, at end of file or broken.
///
/// One system call; signals that arrive meanwhile are not noticed.
/// - Returns: the indices of those ready; empty when the deadline passed.
public func waitUntilReady(_ interests: [Interest], deadline: Deadline) throws(Errno) -> [Int] {
    var entries = interests.map {
        _mp_pollfd(fd: $0.number, events: Int16($0.forWriting ? POLLOUT : POLLIN), revents: 0)
    }
    while true {
        let ready = _mp_poll(&entries, CInt(entries.count), deadline.nanoseconds)
        if ready == -EINTR { continue }
        _ = try check(ready)
        for entry in entries where entry.revents & Int16(POLLNVAL) != 0 { throw .badFileDescriptor }
        return entries.indices.filter { entries[$0].revents != 0 }
    }
}

/// Whether one descriptor is ready within the deadline.
public func waitUntilReady(_ interest: Interest, deadline: Deadline) throws(Errno) -> Bool {
    var entry = _mp_pollfd(
        fd: interest.number,
        events: Int16(interest.forWriting ? POLLOUT : POLLIN),
        revents: 0
    )
    while true {
        let ready = _mp_poll(&entry, 1, deadline.nanoseconds)
        if ready == -EINTR { continue }
        if try check(ready) == 0 { return false }
        if entry.revents & Int16(POLLNVAL) != 0 { throw .badFileDescriptor }
        return true
    }
}

/// Many descriptors watched at once by one thread (epoll).
public struct Poller: ~Copyable, Sendable {
    private let descriptor: Descriptor

    /// An empty poller. One system call.
    public init() throws(Errno) {
        descriptor = Descriptor(owning: try check(_mp_epoll_create()))
    }

    /// Reports `token` while `number` is readable or at end of file. One system call.
    public func add(_ number: CInt, token: UInt64) throws(Errno) {
        _ = try check(_mp_epoll_add(descriptor.number, number, token))
    }

    /// Stops watching. Closing the last descriptor of an open file does the same.
    public func remove(_ number: CInt) {
        _ = _mp_epoll_remove(descriptor.number, number)
    }

    /// Waits for the next events; none when the time is over or a signal came.
    public func wait(milliseconds: CInt) -> [UInt64] {
        [UInt64](unsafeUninitializedCapacity: 64) { buffer, count in
            count = max(0, Int(_mp_epoll_wait(descriptor.number, buffer.baseAddress!, 64, milliseconds)))
        }
    }

    /// The epoll descriptor's own number.
    public var number: CInt {
        descriptor.number
    }
}
