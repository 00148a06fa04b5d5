import Multiprocessing
import Testing

extension ProcessTests {
    /// Processes killed at every step of a barrier's operations. The others go on, and the barrier is whole after a reset.
    @Suite(.enabled(if: Chaos.isAvailable)) struct BarrierChaosTests {
        /// A party that comes first, second or last of three.
        @Test(arguments: 0...2) func party(position: Int) async throws {
            try await Victim.atEveryStep { step in
                let barrier = try Barrier(parties: 3)
                // So that there are slots and marks of earlier rounds.
                try await pass(barrier)
                var others = try (0..<position).map { _ in try comer(barrier) }
                try await waiting(barrier, position)
                // Two rounds, so that it is also killed where it opens one.
                let victim = try Victim(killedAt: step) {
                    try barrier.wait(timeout: .seconds(20))
                    try barrier.wait(timeout: .seconds(20))
                }
                if position < 2 {
                    // It may be dead before it has come.
                    _ = try await eventually(within: .milliseconds(300)) { barrier.waitingCount > position }
                    others += try (position..<2).map { _ in try comer(barrier) }
                }
                let survived = try await finish(victim, barrier, &others)
                for other in others { _ = try await other.value() }
                barrier.reset()
                try await pass(barrier)
                return survived
            }
        }

        @Test(arguments: [false, true]) func abortOrReset(isReset: Bool) async throws {
            try await Victim.atEveryStep { step in
                let barrier = try Barrier(parties: 3)
                let others = try (0..<2).map { _ in try comer(barrier) }
                try await waiting(barrier, 2)
                let survived = try await Victim(killedAt: step) {
                    isReset ? barrier.reset() : barrier.abort()
                }.survives()
                // As if it had done it, or as if it had not.
                if barrier.waitingCount == 2 { _ = try await barrier.wait(timeout: .seconds(20)) }
                for other in others { _ = try await other.value() }
                barrier.reset()
                try await pass(barrier)
                return survived
            }
        }

        /// One whose time is over.
        @Test func timeout() async throws {
            try await Victim.atEveryStep { step in
                let barrier = try Barrier(parties: 3)
                let other = try comer(barrier)
                try await waiting(barrier, 1)
                let survived = try await Victim(killedAt: step) {
                    do {
                        try barrier.wait(timeout: .milliseconds(10))
                    } catch let error as SharedStateError {
                        try check(error.code == .broken, "\(error)")
                    }
                }.survives()
                if barrier.waitingCount == 1 { barrier.abort() }
                try check(try await other.value() == nil)
                barrier.reset()
                try await pass(barrier)
                return survived
            }
        }
    }
}

/// Waits for the victim's end, and comes in its place as long as others wait for it.
private func finish(_ victim: Victim, _ barrier: Barrier, _ others: inout [Backend.Running<Int?>]) async throws -> Bool
{
    let deadline = ContinuousClock.now + .seconds(20)
    while victim.isAlive || others.contains(where: \.isAlive), ContinuousClock.now < deadline {
        if (1..<3).contains(barrier.waitingCount), others.count < 30 { others.append(try comer(barrier)) }
        try await Task.sleep(for: .milliseconds(2))
    }
    return try await victim.survives()
}

/// A thread that comes to the barrier; nil if it breaks.
private func comer(_ barrier: Barrier) throws -> Backend.Running<Int?> {
    try Backend.threads.run {
        do {
            return try barrier.wait(timeout: .seconds(20))
        } catch let error as SharedStateError where error.code == .broken {
            return nil
        }
    }
}

private func waiting(_ barrier: Barrier, _ count: Int) async throws {
    try check(try await eventually(within: .seconds(20)) { barrier.waitingCount == count })
}
