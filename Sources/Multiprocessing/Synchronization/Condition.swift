internal import MultiprocessingSystem
internal import Synchronization

/// A lock, and a place to wait without it until somebody says that what it protects has changed.
///
///     let changed = try Condition()
///     // one side
///     try changed.withLock {
///         try changed.wait(until: { items.count > 0 })
///         take(&items)
///     }
///     // the other
///     try changed.withLock {
///         put(&items)
///         try changed.notify()
///     }
///
/// **Exact.** `n` notifications wake `n` of those who wait, the longest waiting first, and nobody else: ``wait(timeout:)``
/// returns true if and only if it was notified. A notification that comes together with a timeout or a cancellation counts: the wait
/// returns true then, and it is for the caller to look at `Task.isCancelled`.
///
/// **Nobody's death matters to others.** Who died while it waited is passed over. Who was notified and is killed before its
/// wait has returned with the lock, hands its notification on to another that waited at the time, within about half a second. Who dies
/// with the lock leaves it to the next, as always; one that is killed in ``notifyAll()`` may have woken only some, and
/// ``abandonment`` says so to those.
///
/// Waiting and notifying cost some atomic operations, and one system call for each sleep and each wake-up. A condition takes a
/// descriptor and 257 KiB of address space, of which only the pages in use cost memory: 64 bytes for each who waits.
///
/// Python: `multiprocessing.Condition`. There a waiter that was killed can block `notify_all` for ever.
public final class Condition: Sendable, Codable {
    private let lock: ConditionLock
    private let table: ConditionTable
    private let spin = AdaptiveSpin()

    /// Makes a condition with a lock of its own, a ``RecursiveLock``. A few system calls.
    ///
    /// - Throws: ``SharedStateError`` (`outOfResources`).
    public convenience init() throws {
        try self.init(.recursive(RecursiveLock()))
    }

    /// Makes a condition over a lock; several can share one. A few system calls.
    ///
    /// - Throws: ``SharedStateError`` (`outOfResources`).
    public convenience init(lock: RecursiveLock) throws {
        try self.init(.recursive(lock))
    }

    /// Makes a condition over a lock; several can share one. A few system calls.
    ///
    /// A ``Lock`` is held by a process, so that a thread which calls without it while another thread of its process has it is
    /// not found out; the lock has to be held by the caller nevertheless.
    /// - Throws: ``SharedStateError`` (`outOfResources`).
    public convenience init(lock: Lock) throws {
        try self.init(.plain(lock))
    }

    private init(_ lock: ConditionLock) throws {
        self.lock = lock
        table = try ConditionTable()
    }

    // MARK: The lock

    /// Takes the lock, waiting for it if need be; blocks the thread. See ``RecursiveLock`` and ``Lock``.
    ///
    /// - Parameter timeout: how long to wait at most; nil is without end, zero or less is not at all.
    /// - Returns: whether the lock was taken; false is no error.
    @available(*, noasync, message: "Use the async acquire: this one blocks the thread")
    @discardableResult
    public func acquire(timeout: Duration? = nil) throws -> Bool {
        try lock.acquire(timeout: timeout)
    }

    /// Takes the lock, waiting for it if need be; suspends the task. See ``RecursiveLock`` and ``Lock``.
    ///
    /// - Parameter timeout: how long to wait at most; nil is without end, zero or less is not at all.
    /// - Returns: whether the lock was taken; false is no error.
    /// - Throws: `CancellationError` if the task is cancelled before the lock is taken.
    @discardableResult
    public func acquire(timeout: Duration? = nil) async throws -> Bool {
        try await lock.acquire(timeout: timeout)
    }

    /// Takes the lock if that needs no waiting; returns whether it did. See ``RecursiveLock`` and ``Lock``.
    public func tryAcquire() -> Bool {
        lock.tryAcquire()
    }

    /// Undoes one acquisition. Does not block.
    ///
    /// - Throws: ``SharedStateError`` (`notOwner`, `overReleased`) if the caller does not hold the lock.
    public func release() throws {
        try lock.release()
    }

    /// Runs `body` with the lock held; blocks the thread until it has it. Python: `with condition:`.
    ///
    /// - Parameter timeout: how long to wait for the lock at most; nil is without end.
    /// - Throws: ``SharedStateError`` (`timedOut`), and what `body` throws; the lock is released in every case.
    @available(*, noasync, message: "Use the async withLock: this one blocks the thread")
    public func withLock<Result>(timeout: Duration? = nil, _ body: () throws -> Result) throws -> Result {
        guard try acquire(timeout: timeout) else { throw Self.timedOut }
        return try Scope.run(body, release)
    }

    /// Runs `body` with the lock held; suspends the task until it has it. Python: `with condition:`.
    ///
    /// - Parameter timeout: how long to wait for the lock at most; nil is without end.
    /// - Throws: ``SharedStateError`` (`timedOut`), `CancellationError` if the task is cancelled before the lock is taken, and
    ///   what `body` throws; the lock is released in every case.
    public func withLock<Result>(timeout: Duration? = nil, _ body: () async throws -> Result) async throws -> Result {
        guard try await acquire(timeout: timeout) else { throw Self.timedOut }
        return try await Scope.run(body, release)
    }

    /// Runs a `body` that does not suspend; without this the compiler would choose the call that blocks.
    public func withLock<Result>(timeout: Duration? = nil, _ body: () throws -> Result) async throws -> Result {
        guard try await acquire(timeout: timeout) else { throw Self.timedOut }
        return try Scope.run(body, release)
    }

    private static var timedOut: SharedStateError {
        SharedStateError(.timedOut, "The condition's lock was not to be had in time")
    }

    /// Whose death gave the caller the lock; nil if it was released properly. A load or two.
    public var abandonment: Abandonment? { lock.abandonment }

    // MARK: Waiting

    /// Gives the lock up, blocks the thread until it is notified, and takes the lock again.
    ///
    /// However often the lock was taken, it is free meanwhile, and is held as often afterwards: also when the time is over, and
    /// when this throws after the lock was given up. Having to wait for the lock may take it past the time.
    /// - Parameter timeout: how long to wait at most; nil is without end, zero or less is not at all.
    /// - Returns: whether it was notified; false if the time was over first, which is no error.
    /// - Throws: ``SharedStateError``: `notOwner` if the caller does not hold the lock, `outOfResources` if 4096 wait.
    @available(*, noasync, message: "Use the async wait: this one blocks the thread")
    @discardableResult
    public func wait(timeout: Duration? = nil) throws -> Bool {
        try blockingWait(Deadline(after: timeout))
    }

    /// Gives the lock up, suspends the task until it is notified, and takes the lock again.
    ///
    /// However often the lock was taken, it is free meanwhile, and is held as often afterwards: also when the time is over, when
    /// the task is cancelled, and when this throws after the lock was given up. Cancellation ends the wait for a notification, but not
    /// the wait for the lock, which may also take it past the time.
    /// - Parameter timeout: how long to wait at most; nil is without end, zero or less is not at all.
    /// - Returns: whether it was notified; false if the time was over first, which is no error.
    /// - Throws: ``SharedStateError``: `notOwner` if the caller does not hold the lock, `outOfResources` if 4096 wait.
    ///   `CancellationError` if the task was cancelled before it was notified.
    @discardableResult
    public func wait(timeout: Duration? = nil) async throws -> Bool {
        try await suspendingWait(Deadline(after: timeout))
    }

    /// Waits, by ``wait(timeout:)``, until the predicate holds; blocks the thread. Python: `wait_for`.
    ///
    /// - Parameters:
    ///   - timeout: how long to wait at most; nil is without end, zero or less is a look.
    ///   - predicate: called with the lock held, at first and after each notification, and once when the time is over.
    /// - Returns: the predicate's last value; false if the time was over first, which is no error.
    /// - Throws: as ``wait(timeout:)``; what the predicate throws. The lock is held afterwards in every case.
    @available(*, noasync, message: "Use the async wait: this one blocks the thread")
    @discardableResult
    public func wait(timeout: Duration? = nil, until predicate: () throws -> Bool) throws -> Bool {
        try requireLock()
        let deadline = Deadline(after: timeout)
        while true {
            if try predicate() { return true }
            if deadline.hasPassed { return false }
            _ = try blockingWait(deadline)
        }
    }

    /// Waits, by ``wait(timeout:)``, until the predicate holds; suspends the task. Python: `wait_for`.
    ///
    /// - Parameters:
    ///   - timeout: how long to wait at most; nil is without end, zero or less is a look.
    ///   - predicate: called with the lock held, at first and after each notification, and once when the time is over.
    /// - Returns: the predicate's last value; false if the time was over first, which is no error.
    /// - Throws: as ``wait(timeout:)``; what the predicate throws. The lock is held afterwards in every case.
    @discardableResult
    public func wait(timeout: Duration? = nil, until predicate: () async throws -> Bool) async throws -> Bool {
        try requireLock()
        let deadline = Deadline(after: timeout)
        while true {
            if try await predicate() { return true }
            if deadline.hasPassed { return false }
            _ = try await suspendingWait(deadline)
        }
    }

    /// Takes a `predicate` that does not suspend; without this the compiler would choose the call that blocks.
    @discardableResult
    public func wait(timeout: Duration? = nil, until predicate: () throws -> Bool) async throws -> Bool {
        try await wait(timeout: timeout, until: { () async throws in try predicate() })
    }

    @available(*, noasync)
    private func blockingWait(_ deadline: Deadline) throws -> Bool {
        var (waiter, depth) = try begin()
        let woken = try Wait.blocking(deadline: deadline, spin: spin) { table.look(&waiter, $0) }
        let isNotified = woken != nil || !table.withdraw(waiter)
        _ = try Wait.blocking(deadline: .never, spin: spin) { lock.attempt($0, restoring: depth) }
        if isNotified { table.leave(waiter) }
        return isNotified
    }

    private func suspendingWait(_ deadline: Deadline) async throws -> Bool {
        var (waiter, depth) = try begin()
        let end: Result<Bool?, any Error>
        do {
            end = .success(try await Wait.suspending(deadline: deadline) { table.look(&waiter, $0) })
        } catch {
            end = .failure(error)
        }
        let isNotified = (try? end.get()) == true || !table.withdraw(waiter)
        // Without a deadline, and past cancellation, this cannot fail.
        _ = try await Wait.suspending(deadline: .never, heedsCancellation: false) {
            lock.attempt($0, restoring: depth)
        }
        // Only now: who is killed before this hands its notification on.
        if isNotified { table.leave(waiter) }
        if !isNotified, case .failure(let error) = end { throw error }
        return isNotified
    }

    /// Takes a slot, then gives the lock up: a notification that comes after that is not missed.
    private func begin() throws -> (ConditionTable.Waiter, depth: Int) {
        try requireLock()
        let waiter = try table.enter()
        do {
            return (waiter, try lock.releaseCompletely())
        } catch {
            table.leave(waiter)
            throw error
        }
    }

    private func requireLock() throws {
        guard lock.isHeldByCaller else {
            throw SharedStateError(
                .notOwner,
                "Waiting and notifying need the condition's lock, which the caller does not hold"
            )
        }
    }

    // MARK: Notifying

    /// Wakes those who have waited longest; they go on once they get the lock. Does not block.
    ///
    /// A system call for each one woken. Some ten microseconds for each waiter that died since the last time.
    /// - Parameter count: how many; all if fewer wait, none if zero.
    /// - Throws: ``SharedStateError``: `notOwner` if the caller does not hold the lock, `invalidArgument` for less than zero.
    public func notify(_ count: Int = 1) throws {
        guard count >= 0 else { throw SharedStateError(.invalidArgument, "Nobody can notify \(count) waiters") }
        try requireLock()
        table.notify(count)
    }

    /// Wakes all who wait; they go on one after the other, as they get the lock. Does not block. Python: `notify_all`.
    ///
    /// - Throws: ``SharedStateError``: `notOwner` if the caller does not hold the lock.
    public func notifyAll() throws {
        try requireLock()
        table.notify(.max)
    }

    // MARK: Travelling

    private enum CodingKeys: CodingKey {
        case lock, table
    }
}
