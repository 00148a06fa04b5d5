import Multiprocessing
import Testing

extension ProcessTests {
    /// Processes killed at every step of a condition's operations. Notifications reach those who live, once.
    @Suite(.enabled(if: Chaos.isAvailable)) struct ConditionChaosTests {
        /// The one who has waited longest, and is to be notified.
        @Test func waiter() async throws {
            try await Victim.atEveryStep { step in
                let (condition, entered) = (try Condition(), try Event())
                let victim = try Victim(killedAt: step) {
                    try condition.acquire()
                    entered.set()
                } _: {
                    try check(try condition.wait(timeout: .seconds(20)))
                }
                try check(try await entered.wait(timeout: .seconds(20)))
                let heirs = try await startWaiters(condition, [.threads])
                try await condition.withLock { try condition.notify() }
                let survived = try await victim.survives()
                // Either the notification has gone on; or the victim had it, and with it the lock, until its end.
                let isAbandoned = try await isAbandoned(condition)
                if survived || isAbandoned { try await condition.withLock { try condition.notify() } }
                try check(try await heirs[0].value())
                try await expectNobody(condition)
                return survived
            }
        }

        /// One whose time is over.
        @Test func timeout() async throws {
            try await Victim.atEveryStep { step in
                let condition = try Condition()
                let survived = try await Victim(killedAt: step) {
                    try condition.acquire()
                } _: {
                    try check(!(try condition.wait(timeout: .milliseconds(10))))
                }.survives()
                let waiters = try await startWaiters(condition, [.threads, .forkServer])
                try await condition.withLock { try condition.notify() }
                try check(try await waiters[0].value())
                try await condition.withLock { try condition.notify() }
                try check(try await waiters[1].value())
                try await expectNobody(condition)
                return survived
            }
        }

        /// One that notifies two of three.
        @Test(arguments: [1, 2, Int.max]) func notifier(count: Int) async throws {
            try await Victim.atEveryStep { step in
                let condition = try Condition()
                // The longest waiting is dead, which takes more steps.
                let dead = try await startWaiters(condition, [.forkServer])
                let waiters = try await startWaiters(condition, [.threads, .forkServer, .threads])
                try await Task.sleep(for: .milliseconds(10))
                try dead[0].process!.kill()
                _ = try await dead[0].join()
                let survived = try await Victim(killedAt: step) {
                    try condition.acquire()
                } _: {
                    try condition.notify(count)
                }.survives()
                // It held the lock, so whoever is next has reason to look.
                let isAbandoned = try await isAbandoned(condition)
                let isKnown = try await eventually { survived || isAbandoned || waiters.contains { !$0.isAlive } }
                try check(isKnown)
                if survived {
                    let awake = min(count, 3)
                    let isDone = try await eventually { waiters.count { !$0.isAlive } >= awake }
                    try check(isDone)
                    try await Task.sleep(for: .milliseconds(5))
                    try check(waiters.count { !$0.isAlive }, is: awake)
                }
                try await condition.withLock { try condition.notifyAll() }
                for waiter in waiters { try check(try await waiter.value()) }
                try await expectNobody(condition)
                return survived
            }
        }

        /// One that inherits a notification.
        @Test func heir() async throws {
            for step in 0..<24 {
                let (condition, entered) = (try Condition(), try Event())
                let dead = try await startWaiters(condition, [.forkServer])
                let victim = try Victim(killedAt: step) {
                    try condition.acquire()
                    entered.set()
                } _: {
                    try condition.wait(timeout: .seconds(20))
                }
                #expect(try await entered.wait(timeout: .seconds(20)))
                let heirs = try await startWaiters(condition, [.threads])
                try await condition.acquire()
                try condition.notify()
                try dead[0].process!.kill()
                #expect(try await dead[0].join())
                try condition.release()
                // The victim inherits. If it is killed before it has the lock, the other one does.
                let survived = try await victim.survives()
                let isAbandoned = try await isAbandoned(condition)
                if !survived, !isAbandoned { #expect(try await heirs[0].value()) }
                try await condition.withLock { try condition.notifyAll() }
                #expect(try await heirs[0].value())
                try await expectNobody(condition)
            }
        }
    }
}

/// Whether a process died with the lock, and nobody has had it since.
private func isAbandoned(_ condition: Condition) async throws -> Bool {
    try await condition.withLock(timeout: .seconds(20)) { condition.abandonment != nil }
}
