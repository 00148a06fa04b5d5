import Glibc
import MultiprocessingSystem
import MultiprocessingTestKit
import Synchronization
import Testing

@testable import Multiprocessing

/// Memory that a task leaves behind.
nonisolated(unsafe) private var hoard: [[UInt8]] = []

extension ProcessTests {
    /// Limits of tasks, of starts, and of how often workers are replaced.
    @Suite(.timeLimit(.minutes(2)))
    struct PoolLimitTests {
        private struct Broken: Error, Codable {}

        private func failure(
            _ options: PoolOptions = PoolOptions(),
            _ initializer: @escaping @Sendable () throws -> Void
        ) async throws -> PoolError {
            var options = options
            // A crash report takes its time.
            options.restartBudget.inARow = 4
            let pool = try Pool(processes: 2, options: options, initializer: initializer)
            let task = try pool.submit { 1 }
            let error = await #expect(throws: PoolError.self) { try await task.value }
            #expect(try await pool.join(timeout: .seconds(30)))
            let late = #expect(throws: PoolError.self) { try pool.submit { 2 } }
            #expect(error?.code == .workersFail && late?.code == .workersFail)
            return try #require(error)
        }

        @Test func initializersThatFail() async throws {
            #expect(try await failure { throw Broken() }.message.contains("Broken"))
            #expect(try await failure { fatalError("no good") }.message.contains("no good"))
            #expect(try await failure { exit(4) }.message.contains("4"))
        }

        @Test func initializersThatDoNotReturn() async throws {
            var options = PoolOptions()
            options.initializerTimeout = .milliseconds(300)
            let error = try await failure(options) { while true { pause(.seconds(10)) } }
            #expect(error.message.contains("did not return within 0.3 seconds"), "\(error)")
        }

        @Test func aSlowInitializerIsNoHarm() async throws {
            var options = PoolOptions()
            options.initializerTimeout = .seconds(60)
            try await withPool(processes: 2, options: options, initializer: { pause(.milliseconds(200)) }) {
                pool async throws in
                #expect(try await pool.map(0..<10) { $0 }.count == 10)
            }
        }

        @Test func workersThatAreKilledWithNothingToDo() async throws {
            var options = PoolOptions()
            options.restartBudget.inARow = 3
            let pool = try Pool(processes: 1, options: options)
            #expect(try await pool.apply { 1 } == 1)
            for _ in 0..<3 {
                #expect(try await eventually(within: .seconds(20)) { pool.snapshot.workers.first?.state == .idle })
                let victim = try #require(pool.processIdentifiers.first)
                kill(victim, SIGKILL)
                #expect(try await eventually(within: .seconds(20)) { pool.processIdentifiers.first != victim })
            }
            #expect(try await pool.join(timeout: .seconds(20)))
            let error = #expect(throws: PoolError.self) { try pool.submit { 1 } }
            #expect(error?.code == .workersFail && error?.message.contains("killed") == true)
        }

        @Test func optionsThatMakeNoSense() throws {
            let changes: [(inout PoolOptions) -> Void] = [
                { $0.restartBudget.inARow = 0 }, { $0.restartBudget.count = 0 }, { $0.restartBudget.period = .zero },
                { $0.memoryPerTask = 0 }, { $0.initializerTimeout = .zero },
                { $0.drain = SignalDrain(on: [SIGKILL]) }, { $0.drain = SignalDrain(on: [-1]) },
            ]
            for change in changes {
                var options = PoolOptions()
                change(&options)
                let error = #expect(throws: PoolError.self) { try Pool(processes: 1, options: options) }
                #expect(error?.code == .invalidArgument)
            }
        }

        @Test func aTaskThatUsesTooMuchMemory() async throws {
            try await withPool(processes: 2) { pool async throws in
                // Both are up, and one of them stays.
                _ = try await pool.map(0..<8, chunkSize: 1) { $0 }
                let gate = try Event()
                let other = try pool.submit {
                    _ = try gate.wait(timeout: .seconds(60))
                    return ChildProcess<Void>.current.processIdentifier
                }
                let greedy = try pool.submit(memoryLimit: 300 << 20) {
                    hoard.append([UInt8](repeating: 1, count: 500 << 20))
                    pause(.seconds(60))
                }
                let error = await #expect(throws: PoolError.self) { try await greedy.value }
                #expect(error?.code == .memoryExceeded)
                #expect(error?.message.contains("of 300 MiB that it may have") == true, "\(String(describing: error))")
                let before = pool.processIdentifiers
                gate.set()
                #expect(before.contains(try await other.value))
                #expect(try await pool.apply(memoryLimit: 300 << 20) { 3 } == 3)
            }
        }

        @Test func anItemThatUsesTooMuchMemory() async throws {
            var options = PoolOptions()
            options.memoryPerTask = 300 << 20
            try await withPool(processes: 1, options: options) { pool async throws in
                let results = try pool.imap(0..<6, chunkSize: 3) { number in
                    if number == 4 {
                        hoard.append([UInt8](repeating: 1, count: 500 << 20))
                        pause(.seconds(60))
                    }
                    return number
                }
                for try await outcome in results.outcomes {
                    switch outcome.result {
                    case .success(let value): #expect(value == outcome.index && value != 4)
                    case .failure(let error):
                        #expect((error as? PoolError)?.code == .memoryExceeded && outcome.index == 4)
                    }
                }
            }
        }

        @Test func theSnapshotHasProcessorTime() async throws {
            try await withPool(processes: 1) { pool async throws in
                try await pool.apply {
                    let end = ContinuousClock.now + .milliseconds(300)
                    while ContinuousClock.now < end {}
                }
                let used = try #require(pool.snapshot.workers.first?.processorTime)
                #expect(used >= .milliseconds(30) && used < .seconds(60), "\(used)")
            }
        }

        @Test func aTaskThatKillsIsNotTriedWithoutEnd() async throws {
            try await withPool(processes: 2) { pool async throws in
                let poison = try pool.submit(retries: 2) { () -> Int in fatalError("poison") }
                let crash = await #expect(throws: ProcessCrash.self) { try await poison.value }
                #expect(crash?.attempts == 3 && crash?.message?.contains("poison") == true)
                #expect(try await pool.apply { 1 } == 1)
            }
        }

        /// Tasks are cancelled just when they end: the ones behind do not suffer for it, and do not even begin twice.
        @Test func cancellationHitsNobodyElse() async throws {
            let begun = try SharedAtomic(0)
            try await withPool(processes: 2) { pool async throws in
                for round in 0..<300 {
                    let first = try pool.submit { pause(.microseconds(300)) }
                    let others = try (0..<4).map { number in
                        try pool.submit { () -> Int in
                            begun.wrappingAdd(1)
                            return round + number
                        }
                    }
                    try await Task.sleep(for: .microseconds(100 + round * 2))
                    first.cancel()
                    for (number, task) in others.enumerated() { #expect(try await task.value == round + number) }
                }
            }
            #expect(begun.load() == 1200)
        }

        /// Cancelled just when it begins, a task must not run on in its worker as nobody's.
        @Test func cancellationAtTheBeginning() async throws {
            try await withPool(processes: 2) { pool async throws in
                _ = try await pool.map(0..<8, chunkSize: 1) { $0 }
                for round in 0..<40 {
                    let task = try pool.submit { pause(.seconds(60)) }
                    let end = ContinuousClock.now + .microseconds(round * 5)
                    while ContinuousClock.now < end {}
                    task.cancel()
                    try await check(pool: .cancelled) { try await task.value }
                }
                // The pool has to look: what a worker is at, it only notes.
                let isFree = try await eventually(within: .seconds(20)) {
                    pool.snapshot.workers.allSatisfy { $0.state == .idle } && pool.snapshot.workers.count == 2
                }
                #expect(isFree, "\(pool.snapshot)")
                #expect(try await pool.map(0..<8, chunkSize: 1) { $0 }.count == 8)
            }
        }

        @Test func limitsBeyondWhatAClockCanCount() async throws {
            var options = PoolOptions()
            options.initializerTimeout = .seconds(Int64.max)
            options.exitTimeout = .seconds(Int64.max)
            options.grace = .seconds(Int64.max)
            try await withPool(processes: 1, options: options, state: { 1 }, onExit: { $0 += 1 }) { pool async throws in
                #expect(try await pool.apply(timeout: .seconds(Int64.max)) { 1 } == 1)
                #expect(try await pool.map(0..<9, chunkSize: 3, timeout: .seconds(Int64.max)) { $0 }.count == 9)
                let ends = try pool.submit { () async throws -> Void in try await Task.sleep(for: .seconds(60)) }
                #expect(try await eventually { ends.state == .running })
                ends.cancel()
                #expect(try await pool.apply { 1 } == 1)
            }
        }

        /// The runtime keeps a sleep that is cancelled until its time has come; there would be one for every task with a limit.
        @Test func timersOfTasksThatAreDoneLeaveNothing() async throws {
            try await isolated {
                func sleepAndCancel() async throws -> Int {
                    let sleeps = (0..<10_000).map { _ in Task.detached { await PoolCore.sleep(for: .seconds(3600)) } }
                    try await Task.sleep(for: .milliseconds(20))
                    for sleep in sleeps { sleep.cancel() }
                    for sleep in sleeps { await sleep.value }
                    // They are kept for a moment.
                    try await Task.sleep(for: .milliseconds(250))
                    return ProcessUsage(of: getpid())?.residentMemory ?? 0
                }
                // What a process has grows at first, whatever is given back.
                for _ in 0..<3 { _ = try await sleepAndCancel() }
                let before = try await sleepAndCancel()
                var after = 0
                for _ in 0..<4 { after = try await sleepAndCancel() }
                // It would be several hundred bytes for each of 40 000.
                try check(after - before < 8 << 20, "\(after - before) bytes are kept")
            }
        }

        @Test func poolsInsidePoolsShareWhatThereIs() async throws {
            try await isolated {
                setenv("SWIFT_MULTIPROCESSING_CPU_COUNT", "8", 1)
                try await withPool(processes: 2) { pool async throws in
                    // Eight, less two, for two of them.
                    let counts = try await pool.apply {
                        let first = try Pool()
                        let second = try Pool()
                        let third = try Pool(processes: 2)
                        let deeper = try await first.apply { [try Pool().processCount, try Pool().processCount] }
                        first.terminate()
                        try await first.join()
                        let later = [first.processCount, second.processCount, third.processCount] + deeper
                        return later + [try Pool().processCount]
                    }
                    try check(counts, is: [3, 1, 2, 1, 1, 1])
                    // A pool that was dropped has its workers until they are gone.
                    let fresh = try await pool.apply {
                        try check(try await eventually(within: .seconds(20)) { PoolBudget.standard == 3 })
                        return try Pool().processCount
                    }
                    try check(fresh, is: 3)
                }
                try check(try Pool().processCount, is: 8)
            }
        }
    }
}
