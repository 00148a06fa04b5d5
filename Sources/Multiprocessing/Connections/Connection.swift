internal import MultiprocessingSystem
internal import Synchronization
public import SystemPackage

/// One end of a connection between two processes, or between two places of one.
///
///     let (ours, theirs) = try Connection.pair()
///     let child = try ChildProcess { try theirs.send(theirs.receive(Int.self) * 2) }
///     try child.start()
///     try theirs.close()                  // the child has its copy
///     try ours.send(21)
///     let answer = try ours.receive(Int.self)
///
/// Messages are `Codable` values, or bytes; they stay apart and in order. Locks, queues, connections and descriptors go
/// through as well. Small messages go through shared memory: while both ends are busy, sending and receiving make no system
/// call. Long ones (from 64 KiB) go as a memory file, which the receiver reads where it is.
///
/// An end may be used by many threads, tasks and processes at once, for sending and for receiving: every message arrives whole,
/// at one of those that receive. Like a descriptor, an end that was sent or captured is a *copy*: the other side finds the end of
/// file (`peerGone`) when every copy is closed, whether by ``close()``, by the last reference to the handle going, or by the
/// death of the process. A process that is killed in the middle of a send has not sent; one that is killed in the middle of a
/// receive takes one message with it at most.
///
/// Python: `multiprocessing.connection.Connection`, which two threads must not use at once.
public final class Connection: Sendable, Codable, CustomStringConvertible {
    let end: ConnectionEnd

    init(_ end: ConnectionEnd) {
        self.end = end
    }

    /// Makes a connection and returns its ends.
    ///
    /// Some system calls; uses memory (up to 256 KiB for each direction) as messages come. One-way, the first receives and the
    /// second sends. Python: `Pipe`.
    /// - Parameter isDuplex: whether messages go both ways.
    /// - Throws: ``SharedStateError`` (`outOfResources`).
    public static func pair(duplex isDuplex: Bool = true) throws -> (Connection, Connection) {
        let ends = try ConnectionEnd.pair(isDuplex: isDuplex)
        return (Connection(ends.0), Connection(ends.1))
    }

    // MARK: Looking

    /// Whether this end can receive. Python: `readable`.
    public var isReadable: Bool { end.incoming != nil }
    /// Whether this end can send. Python: `writable`.
    public var isWritable: Bool { end.outgoing != nil }
    /// Whether ``close()`` was called on this handle. Python: `closed`.
    public var isClosed: Bool { end.isClosed }

    public var description: String {
        let ways = isReadable && isWritable ? "" : isReadable ? ", receives only" : ", sends only"
        return "<Connection\(ways)\(isClosed ? ", closed" : "")>"
    }

    /// A descriptor that is readable while a message is there, or when none can come any more; for `poll`, `epoll`, event loops.
    ///
    /// Ask for it before the first message, or after everything was received: from then on every sender rings when a message comes
    /// to an empty connection, one system call each. It may be readable for a moment although another receiver was faster. It is
    /// this handle's: do not read from it, and do not close it. Python: `fileno()`.
    /// - Throws: ``SharedStateError`` (`closed`).
    public var fileDescriptor: FileDescriptor {
        get throws {
            let socket = try end.socket()
            if let ring = end.incoming {
                ring.isPolled.pointee.store(1, ordering: .sequentiallyConsistent)
                _ = try Wait.blocking(deadline: Deadline(after: .seconds(1)), spin: end.guardSpin) {
                    try end.attemptSilence(ring, $0)
                }
            }
            return FileDescriptor(rawValue: socket.descriptor.number)
        }
    }

    // MARK: Waiting

    /// Whether a message is there within a time, or will never come: then a receive does not wait. Blocks the thread.
    ///
    /// - Parameter timeout: how long to wait; nil for as long as it takes, zero or less to look once. Python: `poll`.
    /// - Throws: ``SharedStateError`` (`closed`; `invalidArgument` for an end that only sends).
    @available(*, noasync, message: "Use the async poll: this one blocks the thread")
    public func poll(timeout: Duration? = .zero) throws -> Bool {
        try end.awaitArrival(end.requireIncoming(), deadline: Deadline(after: timeout)) != .timedOut
    }

    /// Whether a message is there within a time, or will never come: then a receive does not wait. Suspends.
    ///
    /// - Parameter timeout: how long to wait; nil for as long as it takes, zero or less to look once.
    /// - Throws: as the blocking one, and `CancellationError`.
    public func poll(timeout: Duration? = .zero) async throws -> Bool {
        try await end.awaitArrivalSuspending(end.requireIncoming(), deadline: Deadline(after: timeout)) != .timedOut
    }

    // MARK: Closing

    /// Gives this copy of the end up. Afterwards every other call throws `closed`; a second close is harmless.
    ///
    /// Calls of other threads on this handle that wait now throw within half a second.
    public func close() {
        end.close()
    }

    // MARK: Travelling

    public init(from decoder: any Decoder) throws {
        end = try ConnectionEnd(from: decoder)
    }

    /// Writes a copy of this end into a message to another process. This one stays open.
    public func encode(to encoder: any Encoder) throws {
        try end.encode(to: encoder)
    }
}
