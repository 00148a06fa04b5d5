internal import MultiprocessingSystem
internal import Synchronization

/// A lock that its holder may take again, and has to release as often.
///
/// **The holder is one task, or one thread, of one process.** Called within a Swift task, also from synchronous code that the
/// task calls, the holder is that task, and stays it wherever the task resumes; else it is the thread. So
///
/// - a task may take the lock, suspend, resume on another thread, and release it there;
/// - a child task (`async let`, a task group's) and a `Task { }` are *other* holders than the task that started them. A task
///   that holds the lock and awaits a child task which wants it waits for itself;
/// - a thread that a task starts is another holder, and so is a closure that runs on a dispatch queue;
/// - a child process is another holder, one made by a fork included.
///
/// A thread or task that ends while it holds the lock leaves it locked as long as its process lives: use
/// `withLock`. When the *process* dies, or ends without releasing, the next to take the lock gets
/// it, and ``abandonment`` says whose it was.
///
/// Fairness and cost are those of ``Lock``; taking it again costs two loads and a store.
///
/// Python: `multiprocessing.RLock`, whose holder is a thread.
public final class RecursiveLock: Sendable, Codable {
    private static let version: UInt32 = 1

    private let block: SharedBlock
    private let spin = AdaptiveSpin()
    private let word: OwnerWord
    private let record: AbandonmentRecord
    private let inner: Inner

    /// Makes a lock that nobody holds. No system call, unless this process has no room left for small shared things.
    ///
    /// - Throws: ``SharedStateError`` (`outOfResources`).
    public init() throws {
        block = try SharedBlock(.recursiveLock, version: Self.version, byteCount: 64)
        word = OwnerWord(block.word(0))
        record = AbandonmentRecord(block, at: 8)
        inner = Inner(block, at: 24)
    }

    /// Finds the lock that a message names; called when a handle arrives in a process.
    ///
    /// - Throws: ``SharedStateError`` (`cannotTravel`, `malformed`).
    public init(from decoder: any Decoder) throws {
        block = try SharedBlock(from: decoder, .recursiveLock, version: Self.version)
        word = OwnerWord(block.word(0))
        record = AbandonmentRecord(block, at: 8)
        inner = Inner(block, at: 24)
    }

    /// Writes a handle into a message to another process; the lock itself stays where it is.
    ///
    /// - Throws: ``SharedStateError`` (`cannotTravel`) where only bytes go, into a file for instance.
    public func encode(to encoder: any Encoder) throws {
        try block.encode(to: encoder)
    }

    // MARK: Acquiring

    /// Takes the lock, once more if the caller holds it, waiting for it if need be; blocks the thread.
    ///
    /// No system call if the lock is free or the caller's. Python: `acquire(block, timeout)`.
    /// - Parameter timeout: how long to wait at most; nil is without end, zero or less is not at all.
    /// - Returns: whether the lock was taken; false is no error. Look at ``abandonment`` if the lock protects what can be halfway.
    @available(*, noasync, message: "Use the async acquire: this one blocks the thread")
    @discardableResult
    public func acquire(timeout: Duration? = nil) throws -> Bool {
        if takeIfUncontended() { return true }
        return try Wait.blocking(deadline: Deadline(after: timeout), spin: spin, attempt) ?? false
    }

    /// Takes the lock, once more if the task holds it, waiting for it if need be; suspends the task and blocks no thread.
    ///
    /// No system call if the lock is free or the caller's. Python: `acquire(block, timeout)`.
    /// - Parameter timeout: how long to wait at most; nil is without end, zero or less is not at all.
    /// - Returns: whether the lock was taken; false is no error. Look at ``abandonment`` if the lock protects what can be halfway.
    /// - Throws: `CancellationError` if the task is cancelled before the lock is taken.
    @discardableResult
    public func acquire(timeout: Duration? = nil) async throws -> Bool {
        if takeIfUncontended() { return true }
        return try await Wait.suspending(deadline: Deadline(after: timeout), attempt) ?? false
    }

    /// Takes the lock, once more if the caller holds it, if that needs no waiting; returns whether it did.
    ///
    /// Some microseconds if another process has it, spent to see whether that process lives; else no system call.
    /// Python: `acquire(block=False)`.
    public func tryAcquire() -> Bool {
        if takeIfUncontended() { return true }
        let look = try? Wait.blocking(deadline: Deadline(after: .zero), spin: spin, attempt)
        return look == true
    }

    @inline(__always)
    private func takeIfUncontended() -> Bool {
        let holder = Holder.current
        if inner.isHeld(by: holder) {
            inner.enter(1)
            return true
        }
        guard word.takeIfUncontended() else { return false }
        inner.set(holder, 1)
        return true
    }

    /// Undoes one acquisition, the last one gives the lock up. A system call if that is so and somebody waits; does not block.
    ///
    /// - Throws: ``SharedStateError``: `notOwner` if another task, thread or process holds it, `overReleased` if nobody does. Then
    ///   nothing has changed.
    public func release() throws {
        guard inner.isHeld(by: Holder.current) else { throw refusal() }
        if inner.leave() { giveUp() }
    }

    private func giveUp() {
        inner.clear()
        record.clear()
        word.release()
    }

    private func refusal() -> SharedStateError {
        isLocked
            ? SharedStateError(.notOwner, "Another task, thread or process holds the lock")
            : SharedStateError(.overReleased, "The lock was released more often than it was taken")
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

    /// Whether somebody holds the lock, the caller included; out of date as soon as it is known. A load. Python: `locked()`.
    ///
    /// Also true for a lock whose holder's process died, until somebody takes it.
    public var isLocked: Bool { word.owner != .nobody }

    /// The process whose task or thread holds the lock, or that died with it; nil if nobody does. A load.
    public var owner: Int32? {
        let owner = word.owner
        return owner == .nobody ? nil : owner.processIdentifier
    }

    /// Whose death gave this process the lock; nil if it was released properly, or if this process does not hold it.
    ///
    /// Known from the moment the lock is taken over until it is given up. If the one that took it over dies as well, the next
    /// learns of that one. A load or two.
    public var abandonment: Abandonment? {
        word.owner == .current ? record.value : nil
    }

    // MARK: For conditions

    /// Whether the caller may release it.
    var isHeldByCaller: Bool { inner.isHeld(by: Holder.current) }

    /// One attempt to take it, or to take it once more.
    func attempt(_ progress: WaitProgress) -> Attempt<Bool> {
        attempt(progress, restoring: 1)
    }

    /// Gives it up however often it was taken; returns what ``attempt(_:restoring:)`` needs.
    ///
    /// - Throws: as ``release()``.
    func releaseCompletely() throws -> Int {
        guard inner.isHeld(by: Holder.current) else { throw refusal() }
        let depth = inner.depth
        giveUp()
        return depth
    }

    /// One attempt to take it `depth` times at once.
    func attempt(_ progress: WaitProgress, restoring depth: Int) -> Attempt<Bool> {
        let holder = Holder.current
        if inner.isHeld(by: holder) {
            inner.enter(depth)
            return .done(true)
        }
        switch word.take(progress) {
        case .taken(let dead):
            if let dead { record.write(dead) }
            inner.set(holder, depth)
            return .done(true)
        case .busy(let word, let value):
            return .wait(word, while: value)
        }
    }
}

/// Which task or thread of the process that holds the word holds the lock, and how often.
///
/// Written only by the holder, so a dead process's content needs no repair: it names that process, and the next holder writes
/// its own. Offsets: 0, the holder; 8, the depth; 16, the holder's process.
private struct Inner: @unchecked Sendable {
    // Unchecked: addresses that are only used by atomic operations. No lock.
    private let holder: UnsafeMutablePointer<Atomic<UInt64>>
    private let count: UnsafeMutablePointer<Atomic<UInt64>>
    private let process: UnsafeMutablePointer<Atomic<UInt64>>

    init(_ block: SharedBlock, at offset: Int) {
        holder = block.word(offset)
        count = block.word(offset + 8)
        process = block.word(offset + 16)
    }

    /// Whether the caller, who is `me`, holds the lock.
    ///
    /// If it does, it wrote both words itself and nobody else writes them meanwhile. If it does not: the process is this one only
    /// while a task or thread of this process holds the lock, which stored its own number before; the number is not `me`, as no
    /// other has that. The process is looked at first, so the number seen is that one's or a later one's.
    @inline(__always)
    func isHeld(by me: UInt64) -> Bool {
        process.pointee.load(ordering: .acquiring) == ProcessStamp.current.rawValue
            && holder.pointee.load(ordering: .relaxed) == me
    }

    var depth: Int { Int(clamping: count.pointee.load(ordering: .relaxed)) }

    /// The word has just been taken.
    @inline(__always)
    func set(_ me: UInt64, _ depth: Int) {
        count.pointee.store(UInt64(depth), ordering: .relaxed)
        holder.pointee.store(me, ordering: .relaxed)
        chaosStep("recursive.named")
        process.pointee.store(ProcessStamp.current.rawValue, ordering: .releasing)
        chaosStep("recursive.taken")
    }

    /// Taken again.
    @inline(__always)
    func enter(_ more: Int) {
        count.pointee.store(count.pointee.load(ordering: .relaxed) &+ UInt64(more), ordering: .relaxed)
        chaosStep("recursive.entered")
    }

    /// Released once; returns whether that was the last time.
    @inline(__always)
    func leave() -> Bool {
        let depth = count.pointee.load(ordering: .relaxed)
        guard depth > 1 else { return true }
        count.pointee.store(depth - 1, ordering: .relaxed)
        chaosStep("recursive.left")
        return false
    }

    /// The word is about to be released.
    @inline(__always)
    func clear() {
        process.pointee.store(0, ordering: .relaxed)
        chaosStep("recursive.cleared")
    }
}
