import Glibc
import Multiprocessing
import Synchronization
import Testing

extension ProcessTests {
    /// Who holds a recursive lock: a task or a thread of a process.
    @Suite struct RecursiveLockTests {
        @Test(arguments: Backend.allCases) func otherThreadsAndProcesses(backend: Backend) async throws {
            let lock = try RecursiveLock()
            for _ in 0..<3 { #expect(try await lock.acquire()) }
            #expect(lock.owner == getpid())
            let other = try backend.run {
                try check(!lock.tryAcquire())
                try check(!lock.acquire(timeout: .milliseconds(20)))
                try check(failure { try lock.release() }, is: .notOwner)
                try check(failure { try lock.withLock(timeout: .milliseconds(10)) {} }, is: .timedOut)
            }
            try await other.value()
            for _ in 0..<2 { try lock.release() }
            let second = try backend.run { lock.tryAcquire() }
            #expect(try await second.value() == false)
            try lock.release()
            #expect(!lock.isLocked)
            #expect(failure { try lock.release() } == .overReleased)
            let third = try backend.run {
                try lock.withLock { try lock.withLock { try check(lock.isLocked) } }
                try check(!lock.isLocked)
            }
            try await third.value()
        }

        /// A task holds the lock wherever it resumes: on what serves the main actor, and back on one of the pool's threads.
        ///
        /// In a test program any thread may serve the main actor: how many of the hops change the thread is left to chance.
        @Test func aTaskChangesThreads() async throws {
            let lock = try RecursiveLock()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<8 {
                    group.addTask {
                        for _ in 0..<20 {
                            try await lock.acquire(timeout: .seconds(50))
                            try await MainActor.run { try check(lock.tryAcquire()) }
                            try await Task.sleep(for: .microseconds(100))
                            try lock.release()
                            try check(lock.isLocked)
                            try await MainActor.run { try lock.release() }
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(!lock.isLocked)
        }

        /// Tasks are told apart, whatever thread they run on, and from the threads.
        @Test func tasksAreOtherHolders() async throws {
            let lock = try RecursiveLock()
            try await lock.acquire()
            async let child = lock.tryAcquire()
            #expect(await child == false)
            #expect(await Task { lock.tryAcquire() }.value == false)
            #expect(await Task { failure { try lock.release() } }.value == .notOwner)
            #expect(try await onThread { lock.tryAcquire() } == false)
            // Synchronous code that the task calls is the task.
            @Sendable func synchronous() throws -> Bool {
                guard lock.tryAcquire() else { return false }
                try lock.release()
                return true
            }
            #expect(try synchronous())
            try lock.release()
            // A task that comes later is not taken for one that ended, though it may have its place in memory.
            try await Task { _ = try await lock.acquire() }.value
            for _ in 0..<50 { #expect(await Task { lock.tryAcquire() }.value == false) }
        }

        /// A thread that ended is not mistaken for a later one at the same address.
        @Test func threadsAreNotMistaken() async throws {
            let lock = try RecursiveLock()
            _ = try await onThread { try lock.acquire() }
            for _ in 0..<20 { #expect(try await onThread { lock.tryAcquire() } == false) }
            #expect(lock.isLocked)
        }

        @Test(arguments: Backend.processes) func ownersThatDie(backend: Backend) async throws {
            let lock = try RecursiveLock()
            let other = try backend.run { () -> Int in
                for _ in 0..<3 { try lock.acquire() }
                raise(SIGKILL)
                return 0
            }
            let pid = other.process?.processIdentifier
            try await onThread { _ = try other.join() }
            #expect(try await lock.acquire(timeout: .seconds(10)))
            #expect(try await lock.acquire(timeout: .seconds(10)))
            #expect(lock.abandonment?.processIdentifier == pid)
            try lock.release()
            #expect(lock.abandonment?.processIdentifier == pid)
            try lock.release()
            #expect(lock.abandonment == nil && !lock.isLocked)
        }

        /// Two handles of one lock in one process share the holder.
        @Test func twoHandles() async throws {
            let lock = try RecursiveLock()
            let child = try ChildProcess { () -> RecursiveLock in lock }
            try child.start()
            let other = try await child.value
            try await lock.acquire()
            #expect(other.tryAcquire())
            try lock.release()
            try other.release()
            #expect(!lock.isLocked && !other.isLocked)
        }
    }
}
