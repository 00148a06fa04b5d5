/// The lock of a condition: one of the two kinds.
enum ConditionLock: Sendable, Codable {
    case plain(Lock)
    case recursive(RecursiveLock)

    var isHeldByCaller: Bool {
        switch self {
        case .plain(let lock): lock.isHeldByCaller
        case .recursive(let lock): lock.isHeldByCaller
        }
    }

    var abandonment: Abandonment? {
        switch self {
        case .plain(let lock): lock.abandonment
        case .recursive(let lock): lock.abandonment
        }
    }

    @available(*, noasync)
    func acquire(timeout: Duration?) throws -> Bool {
        switch self {
        case .plain(let lock): try lock.acquire(timeout: timeout)
        case .recursive(let lock): try lock.acquire(timeout: timeout)
        }
    }

    func acquire(timeout: Duration?) async throws -> Bool {
        switch self {
        case .plain(let lock): try await lock.acquire(timeout: timeout)
        case .recursive(let lock): try await lock.acquire(timeout: timeout)
        }
    }

    func tryAcquire() -> Bool {
        switch self {
        case .plain(let lock): lock.tryAcquire()
        case .recursive(let lock): lock.tryAcquire()
        }
    }

    func release() throws {
        switch self {
        case .plain(let lock): try lock.release()
        case .recursive(let lock): try lock.release()
        }
    }

    /// Gives it up however often it was taken; returns what ``attempt(_:restoring:)`` needs.
    func releaseCompletely() throws -> Int {
        switch self {
        case .plain(let lock): try lock.releaseCompletely()
        case .recursive(let lock): try lock.releaseCompletely()
        }
    }

    /// One attempt to take it as often as it was taken before.
    func attempt(_ progress: WaitProgress, restoring depth: Int) -> Attempt<Bool> {
        switch self {
        case .plain(let lock): lock.attempt(progress, restoring: depth)
        case .recursive(let lock): lock.attempt(progress, restoring: depth)
        }
    }
}
