internal import MultiprocessingSystem

/// A ``CountingSemaphore`` that never has more free permits than it began with: one release too many is an error.
///
///     let seats = try BoundedSemaphore(value: 2)
///     try seats.withPermit { … }
///     try seats.release()        // throws: overReleased
///
/// What ``CountingSemaphore`` says of permits of the dead, of fairness and of cost goes for this one as well.
///
/// Python: `multiprocessing.BoundedSemaphore`.
public final class BoundedSemaphore: Sendable, Codable {
    private let permits: PermitCounter

    /// Makes a semaphore. No system call, unless this process has no room left for small shared things.
    ///
    /// - Parameters:
    ///   - value: the number of permits at first, and at most, 0 to 2³¹ − 1.
    ///   - returnsPermits: whether permits of a process that ends come back. Then at most 4000 processes hold permits at once.
    /// - Throws: ``SharedStateError`` (`invalidArgument`, `outOfResources`).
    public init(value: Int = 1, returnsPermits: Bool = true) throws {
        permits = try PermitCounter(value: value, isBounded: true, returnsPermits: returnsPermits)
    }

    /// Finds the semaphore that a message names; called when a handle arrives in a process.
    ///
    /// - Throws: ``SharedStateError`` (`cannotTravel`, `malformed`).
    public init(from decoder: any Decoder) throws {
        permits = try PermitCounter(from: decoder, isBounded: true)
    }

    /// Writes a handle into a message to another process; the semaphore itself stays where it is.
    ///
    /// - Throws: ``SharedStateError`` (`cannotTravel`) where only bytes go, into a file for instance.
    public func encode(to encoder: any Encoder) throws {
        try permits.encode(to: encoder)
    }

    // MARK: Acquiring

    /// Takes a permit, waiting for one if need be; blocks the thread.
    ///
    /// No system call if one is free. Python: `acquire(block, timeout)`.
    /// - Parameter timeout: how long to wait at most; nil is without end, zero or less is not at all.
    /// - Returns: whether a permit was taken; false is no error.
    /// - Throws: ``SharedStateError`` (`outOfResources`) if 4000 processes hold permits already.
    @available(*, noasync, message: "Use the async acquire: this one blocks the thread")
    @discardableResult
    public func acquire(timeout: Duration? = nil) throws -> Bool {
        try permits.acquire(deadline: Deadline(after: timeout))
    }

    /// Takes a permit, waiting for one if need be; suspends the task and blocks no thread.
    ///
    /// No system call if one is free. Python: `acquire(block, timeout)`.
    /// - Parameter timeout: how long to wait at most; nil is without end, zero or less is not at all.
    /// - Returns: whether a permit was taken; false is no error.
    /// - Throws: `CancellationError` if the task is cancelled before it has a permit, and then it has none;
    ///   ``SharedStateError`` (`outOfResources`) if 4000 processes hold permits already.
    @discardableResult
    public func acquire(timeout: Duration? = nil) async throws -> Bool {
        try await permits.acquire(deadline: Deadline(after: timeout))
    }

    /// Takes a permit if that needs no waiting; returns whether it did.
    ///
    /// If none is free, it costs some ten microseconds for each process that holds permits, to see whether that one lives; else
    /// no system call. False as well, after a second, if a process was stopped in the middle of an operation on the semaphore.
    /// Python: `acquire(block=False)`.
    /// - Throws: ``SharedStateError`` (`outOfResources`) if 4000 processes hold permits already.
    public func tryAcquire() throws -> Bool {
        try permits.tryAcquire()
    }

    /// Gives permits back, whoever took them. A system call if somebody waits.
    ///
    /// A process may release what another one took; what that one releases, or leaves by its death, is then too many. Blocks for as
    /// long as another process is in the middle of an operation on the semaphore, which takes less than a microsecond; for a
    /// second at most.
    /// - Parameter count: how many, at least 1.
    /// - Throws: ``SharedStateError``: `invalidArgument`, and `overReleased` if more would be free than at first; `timedOut` if such a
    ///   process was stopped. Then nothing has changed, and it can be tried again.
    public func release(_ count: Int = 1) throws {
        try permits.release(count)
    }

    // MARK: Scopes

    /// Runs `body` with a permit; blocks the thread until it has one. Python: `with semaphore:`.
    ///
    /// - Parameter timeout: how long to wait for a permit at most; nil is without end.
    /// - Throws: ``SharedStateError`` (`timedOut`), and what `body` throws; the permit is given back in every case.
    @available(*, noasync, message: "Use the async withPermit: this one blocks the thread")
    public func withPermit<Result>(timeout: Duration? = nil, _ body: () throws -> Result) throws -> Result {
        guard try acquire(timeout: timeout) else { throw PermitCounter.timedOut }
        return try Scope.run(body) { try release() }
    }

    /// Runs `body` with a permit; suspends the task until it has one. Python: `with semaphore:`.
    ///
    /// - Parameter timeout: how long to wait for a permit at most; nil is without end.
    /// - Throws: ``SharedStateError`` (`timedOut`), `CancellationError` if the task is cancelled before it has a permit, and what
    ///   `body` throws; the permit is given back in every case.
    public func withPermit<Result>(timeout: Duration? = nil, _ body: () async throws -> Result) async throws -> Result {
        guard try await acquire(timeout: timeout) else { throw PermitCounter.timedOut }
        return try await Scope.run(body) { try release() }
    }

    /// Runs `body`, which does not suspend, with a permit; suspends the task until it has one. Python: `with semaphore:`.
    ///
    /// - Parameter timeout: how long to wait for a permit at most; nil is without end.
    /// - Throws: ``SharedStateError`` (`timedOut`), `CancellationError` if the task is cancelled before it has a permit, and what
    ///   `body` throws; the permit is given back in every case.
    public func withPermit<Result>(timeout: Duration? = nil, _ body: () throws -> Result) async throws -> Result {
        guard try await acquire(timeout: timeout) else { throw PermitCounter.timedOut }
        return try Scope.run(body) { try release() }
    }

    // MARK: Looking

    /// The number of free permits; out of date as soon as it is known. Python: `get_value()`.
    ///
    /// Permits of processes that died count as free. That costs some ten microseconds for each other process that holds any.
    /// Blocks for a second, and may leave out the dead, if a process was stopped in the middle of an operation on the semaphore.
    public var value: Int { permits.value }
}
