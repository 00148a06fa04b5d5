import Glibc
import Multiprocessing
import MultiprocessingTestKit
import Testing

extension ProcessTests {
    /// Processes killed at every step of taking and releasing a lock. The survivors go on, and learn of it.
    @Suite struct LockChaosTests {
        @Test(arguments: [ChaosPlan.Action.kill, .stop]) func uncontended(action: ChaosPlan.Action) async throws {
            let report = try await killAtEveryStep(action: action) {
                try Lock()
            } operation: { lock in
                try lock.acquire(timeout: .seconds(10))
                try lock.release()
                try check(lock.tryAcquire())
                try lock.release()
            } survivors: { lock, death in
                try await usable(lock, death)
            }
            if ChaosPlan.isAvailable { #expect(report.steps.contains("word.taken")) }
        }

        /// One that waits, and sleeps, for a lock that is released in the end.
        @Test func contended() async throws {
            let report = try await killAtEveryStep {
                let lock = try Lock()
                try await lock.acquire()
                // By a thread of this process, which is the holder, when the waiter has had time to fall asleep.
                Task.detached {
                    try await Task.sleep(for: .milliseconds(40))
                    try lock.release()
                }
                return lock
            } operation: { lock in
                try lock.acquire(timeout: .seconds(10))
                try lock.release()
            } survivors: { lock, death in
                try check(try await eventually { lock.owner != getpid() })
                try await usable(lock, death)
            }
            if ChaosPlan.isAvailable { #expect(report.steps.contains("word.waiting")) }
        }

        /// One that releases while a thread and a task of this process sleep: they wake, if late.
        @Test(.enabled(if: Chaos.isAvailable)) func sleepersOfTheVictim() async throws {
            try await Victim.atEveryStep { step in
                let lock = try Lock()
                let victim = try Victim(killedAt: step, after: { try lock.acquire() }) {
                    pause(.milliseconds(60))
                    try lock.release()
                }
                try check(try await eventually(within: .seconds(20)) { lock.isLocked })
                let thread = try Backend.threads.run { try lock.withLock(timeout: .seconds(20)) {} }
                async let task: Void = lock.withLock(timeout: .seconds(20)) {}
                try await thread.value()
                try await task
                #expect(!lock.isLocked)
                return try await victim.survives()
            }
        }

        @Test func recursive() async throws {
            let report = try await killAtEveryStep {
                try RecursiveLock()
            } operation: { lock in
                for _ in 0..<2 { try lock.acquire(timeout: .seconds(10)) }
                for _ in 0..<2 { try lock.release() }
                try lock.withLock { try lock.withLock {} }
            } survivors: { lock, death in
                let wasHeld = lock.isLocked
                try check(try await lock.acquire(timeout: .seconds(10)))
                try check((lock.abandonment != nil) == wasHeld)
                // Nothing of the dead one's depth is left.
                try check(try await lock.acquire(timeout: .seconds(10)))
                try lock.release()
                try check(lock.isLocked)
                try lock.release()
                try check(!lock.isLocked)
                try check(failure { try lock.release() }, is: .overReleased)
            }
            if ChaosPlan.isAvailable { #expect(report.steps.contains("recursive.entered")) }
        }
    }
}

/// What the lock of a process that died, or did not, has to do.
private func usable(_ lock: Lock, _ death: String?) async throws {
    let wasHeld = lock.isLocked
    let thread = try Backend.threads.run { try lock.withLock(timeout: .seconds(10)) { lock.abandonment != nil } }
    try check(try await thread.value(), is: wasHeld)
    try check(!lock.isLocked)
    try await lock.withLock(timeout: .seconds(10)) { try check(lock.abandonment == nil) }
}
