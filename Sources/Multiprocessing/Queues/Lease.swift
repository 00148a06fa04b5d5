internal import MultiprocessingSystem
internal import Synchronization

extension Queue {
    /// Takes the first value on trust; blocks while there is none. What is not completed comes back.
    ///
    /// The value goes to somebody else, first in line, if this process ends, if `duration` is over, or if the lease is released or dropped:
    /// within half a second while others wait, else when somebody comes. No system call unless it waits.
    /// - Parameters:
    ///   - duration: how long the lease lasts unless it is extended; nil for as long as this process lives. It begins when the value is
    ///     taken, before it is decoded.
    ///   - timeout: nil waits without end, zero looks once.
    /// - Throws: as `get`; `notOwner` if the lease ran out before the value was decoded, because this process was stopped, say; `cannotTravel` if the first value holds handles, which cannot be sent twice: it stays where it is;
    ///   `outOfResources` if there are 1024 dead letters. With 1024 leases it waits.
    @available(*, noasync, message: "Use the async lease: this one blocks the thread")
    public func lease(for duration: Duration? = nil, timeout: Duration? = nil) throws -> Lease<Element> {
        try throwPending()
        return try Lease(core.take(.lease(for: Lease<Element>.nanoseconds(duration)), QueueCore.Limit(timeout)), core)
    }

    /// Takes the first value on trust; waits while there is none, without blocking the thread. What is not completed comes back.
    ///
    /// As the blocking `lease`.
    /// - Parameters:
    ///   - duration: how long the lease lasts unless it is extended; nil for as long as this process lives.
    ///   - timeout: nil waits without end, zero looks once.
    /// - Throws: as the blocking `lease`, and `CancellationError`.
    public func lease(for duration: Duration? = nil, timeout: Duration? = nil) async throws -> Lease<Element> {
        try throwPending()
        return try Lease(
            await core.take(.lease(for: Lease<Element>.nanoseconds(duration)), QueueCore.Limit(timeout)),
            core
        )
    }
}

/// A value that was taken from a queue on trust: completed, it is done with; otherwise it goes to somebody else.
///
/// Dropping the last reference releases it. Of a process that was forked, the copy cannot do anything.
public final class Lease<Element: Codable & Sendable>: Sendable {
    /// The value.
    public let value: Element
    /// How often the value was leased, this time included.
    public let deliveryCount: Int

    private let core: QueueCore
    /// Nil when it has ended.
    private let token: Mutex<QueueCore.LeaseToken?>

    static func nanoseconds(_ duration: Duration?) -> UInt64 {
        guard let duration, duration < Deadline.longest else { return .max }
        let (seconds, attoseconds) = max(duration, .zero).components
        return UInt64(seconds) * 1_000_000_000 + UInt64(attoseconds / 1_000_000_000)
    }

    init(_ item: TakenItem, _ core: QueueCore) throws {
        do {
            value = try item.decode()
        } catch {
            try core.drop(item)
            throw error
        }
        let lease = try core.begin(item)
        self.core = core
        deliveryCount = lease.deliveries
        token = Mutex(lease)
    }

    deinit {
        try? end { try core.release($0) }
    }

    /// Says that the value is done with: nobody else gets it, and `join` counts it as done.
    ///
    /// A compare-and-swap; does not block.
    /// - Throws: ``SharedStateError`` (`notOwner`) if the lease had ended: then somebody else has got the value, or will.
    public func complete() throws {
        try end { try core.complete($0) }
    }

    /// Gives the value to somebody else, first in line; or makes it a dead letter, if it was delivered as often as may be.
    ///
    /// A compare-and-swap; a system call if somebody sleeps. Does not block.
    /// - Throws: ``SharedStateError`` (`notOwner`) if the lease had ended.
    public func release() throws {
        try end { try core.release($0) }
    }

    private func end(_ body: (QueueCore.LeaseToken) throws -> Void) throws {
        guard let lease = token.withLock({ $0.take() }) else { throw QueueCore.leaseLost }
        try body(lease)
    }

    /// Has the lease last for `duration` from now.
    ///
    /// A compare-and-swap; does not block.
    /// - Throws: ``SharedStateError`` (`notOwner`) if the lease had ended.
    public func extend(by duration: Duration) throws {
        try token.withLock { lease in
            guard lease != nil else { throw QueueCore.leaseLost }
            try core.extend(&lease!, by: Self.nanoseconds(duration))
        }
    }

    /// Whether the lease has not ended, as far as anybody noticed.
    public var isHeld: Bool {
        token.withLock { $0.map(core.isCurrent) ?? false }
    }
}
