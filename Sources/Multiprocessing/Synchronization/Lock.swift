internal import MultiprocessingSystem

/// Mutual exclusion between processes, and between the threads and tasks in them.
///
///     let lock = try Lock()
///     let child = try ChildProcess { try lock.withLock { append(line, to: log) } }
///
/// The holder is a *process*: whichever of its threads or tasks took the lock, any of them may release it, and a thread that
/// takes it twice waits for itself. ``RecursiveLock`` tells threads and tasks apart.
///
/// When the holder dies, or ends without releasing, the next to take the lock gets it, and ``abandonment`` says whose it was.
/// Who waits finds out within some milliseconds.
///
/// Nobody starves: after a millisecond of waiting, newcomers have to queue up behind. <doc:SharedState> states the policy.
///
/// Taking and releasing costs no system call while nobody waits. A copy of the handle in another process is the same lock.
///
/// Python: `multiprocessing.Lock`, which any process may release, and which stays locked for ever when its holder dies.
public final class Lock: Sendable, Codable {
    private static let version: UInt32 = 1

    private let block: SharedBlock
    private let spin = AdaptiveSpin()
    private let word: OwnerWord
    private let record: AbandonmentRecord

    /// Makes a lock that nobody holds. No system call, unless this process has no room left for small shared things.
    ///
    /// - Throws: ``SharedStateError`` (`outOfResources`).
    public init() throws {
        block = try SharedBlock(.lock, version: Self.version, byteCount: 64)
        word = OwnerWord(block.word(0))
        record = AbandonmentRecord(block, at: 8)
    }

    /// Finds the lock that a message names; called when a handle arrives in a process.
    ///
    /// - Throws: ``SharedStateError`` (`cannotTravel`, `malformed`).
    public init(from decoder: any Decoder) throws {
        block = try SharedBlock(from: decoder, .lock, version: Self.version)
        word = OwnerWord(block.word(0))
        record = AbandonmentRecord(block, at: 8)
    }

    /// Writes a handle into a message to another process; the lock itself stays where it is.
    ///
    /// - Throws: ``SharedStateError`` (`cannotTravel`) where only bytes go, into a file for instance.
    public func encode(to encoder: any Encoder) throws {
        try block.encode(to: encoder)
    }

    // MARK: Acquiring

    /// Takes the lock, waiting for it if need be; blocks the thread.
    ///
    /// No system call if the lock is free. Python: `acquire(block, timeout)`.
    /// - Parameter timeout: how long to wait at most; nil is without end, zero or less is not at all.
    /// - Returns: whether the lock was taken; false is no error. Look at ``abandonment`` if the lock protects what can be halfway.
    @available(*, noasync, message: "Use the async acquire: this one blocks the thread")
    @discardableResult
    public func acquire(timeout: Duration? = nil) throws -> Bool {
        if word.takeIfUncontended() { return true }
        return try Wait.blocking(deadline: Deadline(after: timeout), spin: spin, attempt) ?? false
    }

    /// Takes the lock, waiting for it if need be; suspends the task and blocks no thread.
    ///
    /// No system call if the lock is free. Python: `acquire(block, timeout)`.
    /// - Parameter timeout: how long to wait at most; nil is without end, zero or less is not at all.
    /// - Returns: whether the lock was taken; false is no error. Look at ``abandonment`` if the lock protects what can be halfway.
    /// - Throws: `CancellationError` if the task is cancelled before the lock is taken.
    @discardableResult
    public func acquire(timeout: Duration? = nil) async throws -> Bool {
        if word.takeIfUncontended() { return true }
        return try await Wait.suspending(deadline: Deadline(after: timeout), attempt) ?? false
    }

    /// Takes the lock if that needs no waiting; returns whether it did.
    ///
    /// Some microseconds if another process has it, spent to see whether that process lives; else no system call.
    /// Python: `acquire(block=False)`.
    public func tryAcquire() -> Bool {
        if word.takeIfUncontended() { return true }
        let look = try? Wait.blocking(deadline: Deadline(after: .zero), spin: spin, attempt)
        return look == true
    }

    /// Gives the lock up, whichever thread or task of this process took it. A system call if somebody waits; does not block.
    ///
    /// - Throws: ``SharedStateError`` (`notOwner`) if this process does not hold it; then nothing has changed.
    public func release() throws {
        record.clear()
        guard word.release() else { throw SharedStateError(.notOwner, "This process does not hold the lock") }
    }

    // MARK: Scopes

    /// Runs `body` with the lock held; blocks the thread until it has it. Python: `with lock:`.
    ///
    /// - Parameter timeout: how long to wait for the lock at most; nil is without end.
    /// - Throws: ``SharedStateError`` (`timedOut`), and what `body` throws; the lock is released in every case.
    @available(*, noasync, message: "Use the async withLock: this one blocks the thread")
    public func withLock<Result>(timeout: Duration? = nil, _ body: () throws -> Result) throws -> Result {
        guard try acquire(timeout: timeout) else { throw Self.timedOut }
        return try Scope.run(body, release)
    }

    /// Runs `body` with the lock held; suspends the task until it has it. Python: `with lock:`.
    ///
    /// - Parameter timeout: how long to wait for the lock at most; nil is without end.
    /// - Throws: ``SharedStateError`` (`timedOut`), `CancellationError` if the task is cancelled before the lock is taken, and
    ///   what `body` throws; the lock is released in every case.
    public func withLock<Result>(timeout: Duration? = nil, _ body: () async throws -> Result) async throws -> Result {
        guard try await acquire(timeout: timeout) else { throw Self.timedOut }
        return try await Scope.run(body, release)
    }

    private static var timedOut: SharedStateError {
        SharedStateError(.timedOut, "The lock was not to be had in time")
    }

    // MARK: Looking

    /// Whether some process holds the lock, this one included; out of date as soon as it is known. A load. Python: `locked()`.
    ///
    /// Also true for a lock whose holder died, until somebody takes it.
    public var isLocked: Bool { word.owner != .nobody }

    /// The process that holds the lock, or that died with it; nil if nobody does. A load.
    public var owner: Int32? {
        let owner = word.owner
        return owner == .nobody ? nil : owner.processIdentifier
    }

    /// Whose death gave this process the lock; nil if it was released properly, or if this process does not hold it.
    ///
    /// Known from the moment the lock is taken over until it is released. If the one that took it over dies as well, the next
    /// learns of that one. A load or two.
    public var abandonment: Abandonment? {
        word.owner == .current ? record.value : nil
    }

    // MARK: For conditions

    /// Whether the caller may release it.
    var isHeldByCaller: Bool { word.owner == .current }

    /// One attempt to take it.
    func attempt(_ progress: WaitProgress) -> Attempt<Bool> {
        switch word.take(progress) {
        case .taken(let dead):
            if let dead { record.write(dead) }
            return .done(true)
        case .busy(let word, let value):
            return .wait(word, while: value)
        }
    }

    /// Gives it up altogether; returns what ``attempt(_:restoring:)`` needs.
    ///
    /// - Throws: ``SharedStateError`` (`notOwner`).
    func releaseCompletely() throws -> Int {
        try release()
        return 1
    }

    /// One attempt to take it as it was when it was released.
    func attempt(_ progress: WaitProgress, restoring depth: Int) -> Attempt<Bool> {
        attempt(progress)
    }
}
