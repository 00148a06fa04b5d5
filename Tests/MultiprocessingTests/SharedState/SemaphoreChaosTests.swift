import Glibc
import Multiprocessing
import MultiprocessingTestKit
import Testing

extension ProcessTests {
    /// Processes killed at every step of a semaphore's operations. The count is right, and the survivors go on.
    @Suite struct SemaphoreChaosTests {
        @Test(arguments: [ChaosPlan.Action.kill, .stop]) func acquireAndRelease(action: ChaosPlan.Action) async throws {
            let report = try await killAtEveryStep(action: action) {
                try CountingSemaphore(value: 2)
            } operation: { semaphore in
                for _ in 0..<2 { try semaphore.acquire(timeout: .seconds(10)) }
                try semaphore.release(2)
                try semaphore.acquire()
                try semaphore.release()
            } survivors: { semaphore, _ in
                // Whatever it held came back.
                try await usable(semaphore, 2)
            }
            if ChaosPlan.isAvailable { #expect(report.steps.contains("semaphore.held")) }
        }

        /// One process holds a permit meanwhile, and one slot is a dead process's.
        @Test func besideOthers() async throws {
            try await killAtEveryStep {
                let semaphore = try BoundedSemaphore(value: 3)
                try await semaphore.acquire()
                let dead = try Backend.forkServer.run { try semaphore.acquire() }
                _ = try await dead.value()
                return semaphore
            } operation: { semaphore in
                try semaphore.acquire(timeout: .seconds(10))
                // The dead one's.
                try semaphore.acquire(timeout: .seconds(10))
                try check(semaphore.value, is: 0)
                try semaphore.release(2)
            } survivors: { semaphore, _ in
                try check(semaphore.value, is: 2)
                try semaphore.release()
                try check(semaphore.value, is: 3)
                try check(failure { try semaphore.release() }, is: .overReleased)
            }
        }

        /// The guard's holder is stopped: who releases is told so in the end, and has lost nothing.
        @Test(.enabled(if: ChaosPlan.isAvailable), arguments: [true, false])
        func stoppedWithTheGuard(returnsPermits: Bool) async throws {
            let semaphore = try CountingSemaphore(value: 3, returnsPermits: returnsPermits)
            try await semaphore.acquire()
            let plan = ChaosPlan(.stop, .named("semaphore.guarded"))
            let child = try ChildProcess {
                plan.arm()
                try semaphore.acquire()
                ChaosPlan.disarm()
                return semaphore.value
            }
            try child.start()
            let pid = child.processIdentifier!
            #expect(try await eventually(within: .seconds(10)) { state(of: pid) == "T" })
            let begin = ContinuousClock.now
            #expect(failure { try semaphore.release() } == .timedOut)
            let time = ContinuousClock.now - begin
            #expect(time >= .milliseconds(500) && time < .seconds(10))
            try child.send(signal: SIGCONT)
            #expect(try await child.value == 1)
            try semaphore.release()
            #expect(semaphore.value == (returnsPermits ? 3 : 2))
        }

        /// What a process releases beyond what it holds: all of it, or nothing.
        @Test(arguments: [true, false]) func growth(returnsPermits: Bool) async throws {
            try await killAtEveryStep {
                try CountingSemaphore(value: 1, returnsPermits: returnsPermits)
            } operation: { semaphore in
                if returnsPermits { try semaphore.acquire() }
                try semaphore.release(returnsPermits ? 3 : 2)
            } survivors: { semaphore, death in
                let value = semaphore.value
                try check(value == 3 || death != nil && value == 1, "\(value)")
                try await usable(semaphore, value)
            }
        }

        /// One that waits, and sleeps, for a permit that comes in the end.
        @Test func contended() async throws {
            let report = try await killAtEveryStep {
                let semaphore = try CountingSemaphore(value: 1)
                try await semaphore.acquire()
                Task.detached {
                    try await Task.sleep(for: .milliseconds(40))
                    try semaphore.release()
                }
                return semaphore
            } operation: { semaphore in
                try semaphore.acquire(timeout: .seconds(10))
                try semaphore.release()
            } survivors: { semaphore, _ in
                try check(try await eventually { semaphore.value == 1 })
                try await usable(semaphore, 1)
            }
            if ChaosPlan.isAvailable { #expect(report.steps.contains("semaphore.guarded")) }
        }

        /// One that releases while a thread and a task of this process sleep.
        @Test(.enabled(if: Chaos.isAvailable)) func sleepersOfTheVictim() async throws {
            try await Victim.atEveryStep { step in
                let semaphore = try CountingSemaphore(value: 2)
                let victim = try Victim(killedAt: step, after: { for _ in 0..<2 { try semaphore.acquire() } }) {
                    pause(.milliseconds(60))
                    try semaphore.release(2)
                }
                try check(try await eventually(within: .seconds(20)) { semaphore.value == 0 })
                let thread = try Backend.threads.run { try semaphore.acquire(timeout: .seconds(20)) }
                async let task = semaphore.acquire(timeout: .seconds(20))
                try check(try await thread.value())
                try check(try await task)
                let survives = try await victim.survives()
                try check(semaphore.value, is: 0)
                try semaphore.release(2)
                try check(semaphore.value, is: 2)
                return survives
            }
        }
    }
}

/// All permits can be taken, not one more, and released.
private func usable(_ semaphore: CountingSemaphore, _ value: Int) async throws {
    try check(semaphore.value, is: value)
    for _ in 0..<value { try check(try await semaphore.acquire(timeout: .seconds(10))) }
    try check(!semaphore.tryAcquire())
    let thread = try Backend.threads.run { try semaphore.acquire(timeout: .seconds(10)) }
    try semaphore.release(value)
    try check(try await thread.value())
    try semaphore.release()
    try check(semaphore.value, is: value)
}
