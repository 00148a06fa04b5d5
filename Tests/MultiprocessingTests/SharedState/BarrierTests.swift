import Foundation
import Multiprocessing
import Testing

extension ProcessTests {
    @Suite struct BarrierTests {
        @Test func arguments() throws {
            for parties in [0, -1, 65_537, Int.max, Int.min] {
                let error = #expect(throws: SharedStateError.self) { try Barrier(parties: parties) }
                #expect(error?.code == .invalidArgument)
            }
            let large = try Barrier(parties: 65_536, timeout: .seconds(1 << 40))
            #expect(large.parties == 65_536 && large.timeout == nil && large.waitingCount == 0)
            #expect("\(large)" == "<Barrier, 0 of 65536 waiting>")
            large.abort()
            #expect("\(large)" == "<Barrier broken>")
            #expect(throws: SharedStateError.self) { try JSONEncoder().encode(large) }
        }

        /// What was said when it was made is known wherever it arrives.
        @Test(arguments: StartMethod.allCases) func travels(method: StartMethod) async throws {
            for timeout: Duration? in [nil, .zero, .milliseconds(1234)] {
                let barrier = try Barrier(parties: 7, timeout: timeout)
                let child = try ChildProcess(startMethod: method) {
                    try check(barrier.parties, is: 7)
                    try check(barrier.timeout, is: timeout)
                    barrier.abort()
                }
                try child.start()
                try await child.value
                #expect(barrier.isBroken)
            }
        }

        /// One of each index in each round, over processes, threads and tasks.
        @Test func mixedParties() async throws {
            let barrier = try Barrier(parties: 5)
            let rounds = 300
            let others = try [.forkServer, .spawn, .fork, .threads].map { (backend: Backend) in
                try backend.run { try (0..<rounds).map { _ in try barrier.wait(timeout: .seconds(20)) } }
            }
            var indices: [Int] = []
            for _ in 0..<rounds { indices.append(try await barrier.wait(timeout: .seconds(20))) }
            var all = [indices]
            for other in others { all.append(try await other.value()) }
            for round in 0..<rounds { #expect(all.map { $0[round] }.sorted() == [0, 1, 2, 3, 4]) }
            #expect(barrier.waitingCount == 0 && !barrier.isBroken)
        }

        /// More callers than parties: who is not let in for one round is in the next.
        @Test func moreCallersThanParties() async throws {
            let barrier = try Barrier(parties: 3)
            let workers = try (0..<6).map { index in
                try (index == 0 ? Backend.forkServer : .threads).run {
                    var counts = [0, 0, 0]
                    while try !brokenness({
                        let index = try barrier.wait(timeout: .seconds(20)) {
                            if index == 3 { pause(.microseconds(10)) }
                        }
                        counts[index] += 1
                        return index
                    }) {}
                    return counts
                }
            }
            try await Task.sleep(for: .seconds(1))
            barrier.abort()
            var total = [0, 0, 0]
            for worker in workers { total = zip(total, try await worker.value()).map(+) }
            #expect(total[0] > 0)
            #expect(Set(total).count == 1, "\(total)")
        }

        @Test(arguments: Backend.allCases) func timeoutBreaks(backend: Backend) async throws {
            let barrier = try Barrier(parties: 3)
            let patient = try backend.run { try brokenness { try barrier.wait(timeout: .seconds(20)) } }
            try await eventuallyWaiting(barrier, 1)
            let error = await #expect(throws: SharedStateError.self) {
                try await barrier.wait(timeout: .milliseconds(20))
            }
            #expect(error?.code == .broken)
            #expect(try await patient.value())
            #expect(barrier.isBroken && barrier.waitingCount == 0)
            await #expect(throws: SharedStateError.self) { try await barrier.wait() }
            barrier.reset()
            #expect(!barrier.isBroken)
            try await pass(barrier)
        }

        @Test func cancellationBreaks() async throws {
            let barrier = try Barrier(parties: 2)
            let task = Task { try await barrier.wait() }
            try await eventuallyWaiting(barrier, 1)
            task.cancel()
            await #expect(throws: CancellationError.self) { try await task.value }
            #expect(barrier.isBroken)
            barrier.reset()
            // Who is cancelled already does not come in.
            let late = Task {
                withUnsafeCurrentTask { $0?.cancel() }
                return try await barrier.wait()
            }
            await #expect(throws: CancellationError.self) { try await late.value }
            #expect(!barrier.isBroken && barrier.waitingCount == 0)
            try await pass(barrier)
        }

        @Test func action() async throws {
            let barrier = try Barrier(parties: 2)
            let other = try Backend.threads.run { try barrier.wait(timeout: .seconds(20)) { throw Oops() } }
            try await eventuallyWaiting(barrier, 1)
            // Whoever comes last runs what it brought, while nobody is let go.
            let index = try await barrier.wait(timeout: .seconds(20)) {
                try await Task.sleep(for: .milliseconds(10))
                #expect(barrier.waitingCount == 2)
            }
            #expect(index == 1)
            #expect(try await other.value() == 0)

            let second = try Backend.threads.run { try brokenness { try barrier.wait(timeout: .seconds(20)) } }
            try await eventuallyWaiting(barrier, 1)
            await #expect(throws: Oops.self) { try await barrier.wait(timeout: .seconds(20)) { throw Oops() } }
            #expect(try await second.value())
            #expect(barrier.isBroken)
        }

        /// What becomes of a round while its action runs.
        @Test(arguments: ["timeout", "abort", "reset", "newcomer"]) func duringAction(what: String) async throws {
            let (barrier, goOn) = (try Barrier(parties: 2), try Event())
            let first = try Backend.threads.run {
                try brokenness { try barrier.wait(timeout: what == "timeout" ? .milliseconds(50) : .seconds(20)) }
            }
            try await eventuallyWaiting(barrier, 1)
            let runner = try Backend.forkServer.run {
                try brokenness {
                    try barrier.wait(timeout: .seconds(20)) { try goOn.wait(timeout: .seconds(20)) }
                }
            }
            try await eventuallyWaiting(barrier, 2)
            switch what {
            case "abort": barrier.abort()
            case "reset": barrier.reset()
            case "timeout": break
            default:
                // It never came in, so nobody else is concerned.
                let error = await #expect(throws: SharedStateError.self) {
                    try await barrier.wait(timeout: .milliseconds(20))
                }
                #expect(error?.code == .timedOut)
                goOn.set()
            }
            #expect(try await first.value() == (what != "newcomer"))
            goOn.set()
            #expect(try await runner.value() == (what != "newcomer"))
            #expect(barrier.isBroken == (what == "timeout" || what == "abort"))
            barrier.reset()
            try await pass(barrier)
        }

        /// A round that has passed stays so; whoever comes afterwards fails.
        @Test func abortAfterPassing() async throws {
            let barrier = try Barrier(parties: 2)
            let other = try Backend.threads.run { try barrier.wait(timeout: .seconds(20)) }
            _ = try await barrier.wait(timeout: .seconds(20))
            barrier.abort()
            #expect(try await (0...1).contains(other.value()))
            #expect(barrier.isBroken)
            await #expect(throws: SharedStateError.self) { try await barrier.wait() }
            barrier.reset()
            try await pass(barrier)
            barrier.reset()
            try await pass(barrier)
        }

        /// The death of one that waits breaks the barrier for the others, long before their time is over.
        @Test(arguments: Backend.processes) func deathOfAWaiter(backend: Backend) async throws {
            let barrier = try Barrier(parties: 4)
            let survivors = try [Backend.threads, .forkServer].map { backend in
                try backend.run { try brokenness { try barrier.wait(timeout: .seconds(50)) } }
            }
            let victim = try backend.run { try barrier.wait(timeout: .seconds(50)) }
            try await eventuallyWaiting(barrier, 3)
            try victim.process!.kill()
            let start = ContinuousClock.now
            for survivor in survivors { #expect(try await survivor.value()) }
            #expect(ContinuousClock.now - start < .seconds(10))
            #expect(barrier.isBroken)
            barrier.reset()
            try await pass(barrier)
        }

        /// The same while an action runs: of those who wait for it, and of a newcomer.
        @Test func deathOfTheRunner() async throws {
            for hasWaiter in [true, false] {
                let (barrier, running) = (try Barrier(parties: hasWaiter ? 2 : 1), try Event())
                let first = try Backend.threads.run {
                    try !hasWaiter || brokenness { try barrier.wait(timeout: .seconds(50)) }
                }
                if hasWaiter { try await eventuallyWaiting(barrier, 1) }
                let runner = try Backend.forkServer.run {
                    try barrier.wait {
                        running.set()
                        sleepForever()
                    }
                }
                #expect(try await running.wait(timeout: .seconds(20)))
                let newcomer = try Backend.threads.run { try brokenness { try barrier.wait(timeout: .seconds(50)) } }
                try await Task.sleep(for: .milliseconds(20))
                try runner.process!.kill()
                #expect(try await first.value())
                #expect(try await newcomer.value())
                barrier.reset()
                try await pass(barrier)
            }
        }

        /// Parties that give up, are cancelled, abort, reset, or come back at random. Every round that passes gives out each index
        /// once; nobody hangs.
        @Test func stress() async throws {
            let (barrier, over) = (try Barrier(parties: 3), try Event())
            @Sendable func worker() throws -> [Int] {
                var random = SystemRandomNumberGenerator()
                var passes = [0, 0, 0]
                while !over.isSet {
                    do {
                        let timeout = Duration.microseconds(Int.random(in: 0..<4000, using: &random))
                        passes[try barrier.wait(timeout: timeout)] += 1
                    } catch let error as SharedStateError where error.code == .broken {
                        if Int.random(in: 0..<3, using: &random) == 0 { barrier.reset() }
                    } catch let error as SharedStateError where error.code == .timedOut {}
                    switch Int.random(in: 0..<40, using: &random) {
                    case 0: barrier.abort()
                    case 1: barrier.reset()
                    default: break
                    }
                }
                return passes
            }
            let workers = try [.forkServer, .fork, .threads, .threads].map { (backend: Backend) in
                try backend.run { try worker() }
            }
            var total = [0, 0, 0]
            let end = ContinuousClock.now + .seconds(3)
            while ContinuousClock.now < end {
                let task = Task { try await barrier.wait(timeout: .milliseconds(3)) }
                if Bool.random() { task.cancel() }
                if case .success(let index) = await task.result { total[index] += 1 }
                barrier.reset()
            }
            over.set()
            for worker in workers { total = zip(total, try await worker.value()).map(+) }
            #expect(total[0] > 0)
            #expect(Set(total).count == 1, "\(total)")
            barrier.reset()
            try await pass(barrier)
        }
    }
}

private struct Oops: Error, Codable {}

/// Whether `body` found the barrier broken; false if it went through. Other errors are thrown on.
@Sendable private func brokenness(_ body: () throws -> Int) throws -> Bool {
    do {
        _ = try body()
        return false
    } catch let error as SharedStateError where error.code == .broken {
        return true
    }
}

private func eventuallyWaiting(_ barrier: Barrier, _ count: Int) async throws {
    try check(
        try await eventually(within: .seconds(20)) { barrier.waitingCount == count },
        "\(barrier.waitingCount) are waiting, not \(count)"
    )
}

/// Has as many threads as there are parties pass it twice.
func pass(_ barrier: Barrier) async throws {
    let threads = try (0..<barrier.parties).map { _ in
        try Backend.threads.run { try [barrier.wait(timeout: .seconds(20)), barrier.wait(timeout: .seconds(20))] }
    }
    var rounds: [[Int]] = []
    for thread in threads { rounds.append(try await thread.value()) }
    for round in 0...1 { try check(rounds.map { $0[round] }.sorted(), is: Array(0..<barrier.parties)) }
}
