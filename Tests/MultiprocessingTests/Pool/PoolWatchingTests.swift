import Multiprocessing
import Testing

/// Memory that a task leaves behind.
nonisolated(unsafe) private var hoard: [[UInt8]] = []

extension ProcessTests {
    @Suite(.timeLimit(.minutes(2)))
    struct PoolWatchingTests {
        @Test func aSnapshot() async throws {
            let gate = try Event()
            let pool = try Pool(processes: 1)
            #expect(try await pool.apply { 1 } == 1)
            let task = try pool.submit { try gate.wait(timeout: .seconds(60)) }
            let next = try pool.submit { 2 }
            let later = try pool.submit { 3 }
            #expect(try await eventually { task.state == .running })
            let snapshot = pool.snapshot
            let worker = try #require(snapshot.workers.first)
            #expect(snapshot.workers.count == 1 && worker.name == "Pool-1" && worker.state == .busy)
            #expect(worker.processIdentifier == pool.processIdentifiers.first && worker.finishedTasks == 1)
            #expect(worker.task?.contains("the task at") == true)
            #expect(worker.residentMemory ?? 0 > 1 << 20 && worker.age > .zero)
            #expect(snapshot.unresolvedTasks == 3 && snapshot.waitingTasks == 1)
            gate.set()
            #expect(try await next.value + later.value == 5)
            pool.close()
            #expect(try await pool.join(timeout: .seconds(30)))
            #expect(pool.snapshot.workers.isEmpty)
        }

        @Test func workersThatGrowAreReplaced() async throws {
            var options = PoolOptions()
            options.memoryPerWorker = 300 << 20
            try await withPool(processes: 1, options: options) { pool async throws in
                let first = try await pool.apply { ChildProcess<Void>.current.processIdentifier }
                #expect(try await pool.apply { ChildProcess<Void>.current.processIdentifier } == first)
                try await pool.apply { hoard.append([UInt8](repeating: 1, count: 400 << 20)) }
                #expect(try await pool.apply { ChildProcess<Void>.current.processIdentifier } != first)
            }
        }

        @Test func oldWorkersAreReplaced() async throws {
            var options = PoolOptions()
            options.timePerWorker = .milliseconds(200)
            try await withPool(processes: 1, options: options) { pool async throws in
                var workers: Set<Int32> = []
                for _ in 0..<4 {
                    workers.insert(
                        try await pool.apply {
                            pause(.milliseconds(210))
                            return ChildProcess<Void>.current.processIdentifier
                        }
                    )
                }
                #expect(workers.count == 4)
            }
        }
    }
}
