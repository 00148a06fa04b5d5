import Multiprocessing
import Testing

extension ProcessTests {
    /// CPython's `_TestLock` and `_TestSemaphore`. There all of it happens in one process or thread; here in each backend.
    @Suite struct LockPythonTests {
        // CPython: _TestLock.test_lock
        @Test(arguments: Backend.allCases) func aLockOnce(backend: Backend) async throws {
            let lock = try Lock()
            let other = try backend.run {
                try check(lock.acquire())
                try check(!lock.tryAcquire())
                try lock.release()
                try check(failure { try lock.release() }, is: .notOwner)
            }
            try await other.value()
        }

        // CPython: _TestLock.test_rlock
        @Test(arguments: Backend.allCases) func aRecursiveLockThrice(backend: Backend) async throws {
            let lock = try RecursiveLock()
            let other = try backend.run {
                for _ in 0..<3 { try check(lock.acquire()) }
                for _ in 0..<3 { try lock.release() }
                try check(failure { try lock.release() }, is: .overReleased)
            }
            try await other.value()
        }

        // CPython: _TestLock.test_lock_context
        @Test(arguments: Backend.allCases) func aLockAsScope(backend: Backend) async throws {
            let lock = try Lock()
            let other = try backend.run {
                try lock.withLock {}
                try check(!lock.isLocked)
            }
            try await other.value()
        }

        // CPython: _TestSemaphore.test_semaphore
        @Test(arguments: Backend.allCases, [true, false])
        func aSemaphoreCounts(backend: Backend, returnsPermits: Bool) async throws {
            let semaphore = try CountingSemaphore(value: 2, returnsPermits: returnsPermits)
            let other = try backend.run {
                try countDownAndUp(semaphore.acquire, semaphore.tryAcquire, { try semaphore.release() }) {
                    semaphore.value
                }
                try semaphore.release()
                try check(semaphore.value, is: 3)
                try semaphore.release()
                try check(semaphore.value, is: 4)
            }
            try await other.value()
        }

        // CPython: _TestSemaphore.test_bounded_semaphore
        @Test(arguments: Backend.allCases, [true, false])
        func aBoundedSemaphoreCounts(backend: Backend, returnsPermits: Bool) async throws {
            let semaphore = try BoundedSemaphore(value: 2, returnsPermits: returnsPermits)
            let other = try backend.run {
                try countDownAndUp(semaphore.acquire, semaphore.tryAcquire, { try semaphore.release() }) {
                    semaphore.value
                }
                try check(failure { try semaphore.release() }, is: .overReleased)
                try check(semaphore.value, is: 2)
            }
            try await other.value()
        }

        // CPython: _TestSemaphore.test_timeout
        @Test(arguments: Backend.allCases) func aSemaphoreTimesOut(backend: Backend) async throws {
            let semaphore = try CountingSemaphore(value: 0)
            let other = try backend.run {
                try check(!semaphore.tryAcquire())
                for (timeout, least) in [(Duration.zero, Duration.zero), (.milliseconds(-100), .zero)] {
                    let start = ContinuousClock.now
                    try check(!semaphore.acquire(timeout: timeout))
                    try check(ContinuousClock.now - start >= least)
                }
                for timeout in [Duration.milliseconds(60), .milliseconds(120), .milliseconds(30)] {
                    let start = ContinuousClock.now
                    try check(!semaphore.acquire(timeout: timeout))
                    try check(ContinuousClock.now - start >= timeout)
                }
            }
            try await other.value()
            let start = ContinuousClock.now
            #expect(try await !semaphore.acquire(timeout: .milliseconds(60)))
            #expect(ContinuousClock.now - start >= .milliseconds(60))
        }
    }
}

/// From 2 to 0 and back.
private func countDownAndUp(
    _ acquire: (Duration?) throws -> Bool,
    _ tryAcquire: () throws -> Bool,
    _ release: () throws -> Void,
    _ value: () -> Int
) throws {
    try check(value(), is: 2)
    try check(acquire(nil))
    try check(value(), is: 1)
    try check(acquire(nil))
    try check(value(), is: 0)
    try check(!tryAcquire())
    try check(value(), is: 0)
    try release()
    try check(value(), is: 1)
    try release()
    try check(value(), is: 2)
}
