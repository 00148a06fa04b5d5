import Multiprocessing
import MultiprocessingTestKit
import Synchronization
import Testing

// CPython's tests of multiprocessing.Pool, over processes and over threads where it does so.

private struct Unsendable: Codable, Sendable, Equatable {
    struct Refusal: Error, Codable {}
    init() {}
    init(from decoder: any Decoder) throws { throw Refusal() }
    func encode(to encoder: any Encoder) throws { throw Refusal() }
}

private struct ValueError: Error, Codable, Equatable {
    var text: String
}

/// Knows how many of its kind there are in this process.
private final class Counted: Codable, Sendable {
    static let alive = Atomic(0)
    let number: Int

    init(_ number: Int) {
        self.number = number
        Self.alive.add(1, ordering: .relaxed)
    }

    init(from decoder: any Decoder) throws {
        number = try decoder.singleValueContainer().decode(Int.self)
        Self.alive.add(1, ordering: .relaxed)
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(number)
    }

    deinit {
        Self.alive.subtract(1, ordering: .relaxed)
    }
}

extension ProcessTests {
    @Suite(.timeLimit(.minutes(2)))
    struct PoolPythonTests {
        // CPython: _TestPool.test_apply
        @Test(arguments: Backend.poolWorkersAnywhere) func apply(backend: Backend) async throws {
            try await withPool(processes: 2, options: backend.poolOptions) { pool async throws in
                let number = 7
                #expect(try await pool.apply { number * number } == 49)
                #expect(try await onThread { try pool.apply { number * number } } == 49)
            }
        }

        // CPython: _TestPool.test_map
        @Test(arguments: Backend.poolWorkersOfAllKinds + [.stream]) func mapInAPool(backend: Backend) async throws {
            try await withPool(processes: 2, options: backend.poolOptions) { pool async throws in
                #expect(try await pool.map(0..<10) { $0 * $0 } == (0..<10).map { $0 * $0 })
                #expect(try await pool.map(0..<100, chunkSize: 20) { $0 * $0 } == (0..<100).map { $0 * $0 })
                #expect(try await onThread { try pool.map(0..<100) { $0 * $0 } } == (0..<100).map { $0 * $0 })
            }
        }

        // CPython: _TestPool.test_starmap, _TestPool.test_starmap_async
        @Test(arguments: Backend.poolWorkersAnywhere) func starMap(backend: Backend) async throws {
            try await withPool(processes: 2, options: backend.poolOptions) { pool async throws in
                let pairs = Array(zip(0..<100, (0..<100).reversed()))
                let expected = pairs.map { $0 * $1 }
                #expect(try await pool.starMap(pairs) { $0 * $1 } == expected)
                async let later = pool.starMap(pairs, chunkSize: 20) { $0 * $1 }
                #expect(try await later == expected)
            }
        }

        // CPython: _TestPool.test_map_async, _TestPool.test_map_async_callbacks
        @Test(arguments: Backend.poolWorkersAnywhere) func mapInTheBackground(backend: Backend) async throws {
            try await withPool(processes: 2, options: backend.poolOptions) { pool async throws in
                async let squares = pool.map(0..<10) { $0 * $0 }
                let failing = Task {
                    try await pool.map(0..<10) { number -> Int in throw ValueError(text: "no \(number)") }
                }
                #expect(try await squares == (0..<10).map { $0 * $0 })
                await #expect(throws: ValueError.self) { try await failing.value }
            }
        }

        // CPython: _TestPool.test_map_unplicklable
        @Test(arguments: Backend.poolWorkersAnywhere) func anItemThatCannotBeSent(backend: Backend) async throws {
            try await withPool(processes: 2, options: backend.poolOptions) { pool async throws in
                await #expect(throws: (any Error).self) { try await pool.map([Unsendable()]) { _ in 1 } }
                #expect(try await pool.apply { 1 } == 1)
            }
        }

        // CPython: _TestPool.test_map_chunksize, _TestPool.test_empty_iterable
        @Test(arguments: Backend.poolWorkersAnywhere) func nothing(backend: Backend) async throws {
            try await withPool(processes: 2, options: backend.poolOptions) { pool async throws in
                #expect(try await pool.map([Int](), chunkSize: 1) { $0 }.isEmpty)
                #expect(try await pool.map([Int]()) { $0 }.isEmpty)
                for ordered in [true, false] {
                    for try await value in try pool.imap([Int](), ordered: ordered, { $0 }) {
                        Issue.record("\(value) of nothing")
                    }
                }
            }
        }

        // CPython: _TestPool.test_async
        @Test(arguments: Backend.poolWorkersAnywhere) func aResultThatTakesItsTime(backend: Backend) async throws {
            try await withPool(processes: 1, options: backend.poolOptions) { pool async throws in
                let task = try pool.submit { () -> Int in
                    pause(.milliseconds(100))
                    return 49
                }
                #expect(try await onThread { try task.waitForValue(timeout: .seconds(30)) } == 49)
            }
        }

        // CPython: _TestPool.test_async_timeout
        @Test(arguments: Backend.poolWorkers) func aWaitThatIsTooShort(backend: Backend) async throws {
            let event = try Event()
            let pool = try Pool(processes: 1, options: backend.poolOptions)
            let task = try pool.submit { try event.wait(timeout: .seconds(60)) }
            try await check(pool: .timedOut) {
                try await onThread { try task.waitForValue(timeout: .milliseconds(50)) }
            }
            pool.terminate()
            #expect(try await pool.join(timeout: .seconds(30)))
            // A thread cannot be ended.
            event.set()
        }

        // CPython: _TestPool.test_imap, ExecutorTest.test_free_reference
        @Test(arguments: Backend.poolWorkersAnywhere) func imap(backend: Backend) async throws {
            try await withPool(processes: 2, options: backend.poolOptions) { pool async throws in
                var values = try pool.imap(0..<10) { $0 * $0 }.makeAsyncIterator()
                for number in 0..<10 { #expect(try await values.next() == number * number) }
                #expect(try await values.next() == nil)
                #expect(try await values.next() == nil)
                var next = 0
                for try await value in try pool.imap(0..<1000, chunkSize: 100, { $0 * $0 }) {
                    #expect(value == next * next)
                    next += 1
                }
                #expect(next == 1000)
                let before = Counted.alive.load(ordering: .relaxed)
                for try await value in try pool.imap(0..<100, chunkSize: 1, { Counted($0) }) {
                    _ = value
                }
                #expect(Counted.alive.load(ordering: .relaxed) == before)
            }
        }

        // CPython: _TestPool.test_imap_unordered
        @Test(arguments: Backend.poolWorkersAnywhere) func imapUnordered(backend: Backend) async throws {
            try await withPool(processes: 2, options: backend.poolOptions) { pool async throws in
                for chunkSize in [1, 53] {
                    var values: [Int] = []
                    for try await value in try pool.imap(0..<200, ordered: false, chunkSize: chunkSize, { $0 * $0 }) {
                        values.append(value)
                    }
                    #expect(values.sorted() == (0..<200).map { $0 * $0 })
                }
            }
        }

        // CPython: _TestPool.test_make_pool, ExecutorTest.test_max_workers_negative
        @Test(arguments: Backend.poolWorkersAnywhere) func sizes(backend: Backend) async throws {
            for count in [0, -1] {
                try await check(pool: .invalidArgument) { try Pool(processes: count, options: backend.poolOptions) }
            }
            try await withPool(processes: 3, options: backend.poolOptions) { pool async throws in
                #expect(pool.processCount == 3)
                guard backend != .threads else { return }
                #expect(try await eventually(within: .seconds(30)) { pool.processIdentifiers.count == 3 })
            }
        }

        // CPython: _TestPool.test_terminate
        @Test(arguments: Backend.poolWorkers) func terminateDropsTenThousandTasks(backend: Backend) async throws {
            let event = try Event()
            let pool = try Pool(processes: 3, options: backend.poolOptions)
            let tasks = try (0..<10_000).map { _ in try pool.submit { try event.wait(timeout: .seconds(60)) } }
            pool.terminate()
            #expect(try await pool.join(timeout: .seconds(30)))
            #expect(tasks.allSatisfy { $0.isReady })
            event.set()
        }

        // CPython: _TestPool.test_context, _TestPool.test_enter
        @Test(arguments: Backend.poolWorkersAnywhere) func theEndOfTheScope(backend: Backend) async throws {
            let pool = try await withPool(processes: 2, options: backend.poolOptions) { pool async throws in
                let values = try await pool.map(0..<20) { $0 * $0 }
                #expect(values == (0..<20).map { $0 * $0 })
                return pool
            }
            try await check(pool: .closed) { try pool.submit { 1 } }
            try await check(pool: .closed) { try await pool.map(0..<20) { $0 } }
            #expect(try await pool.join(timeout: .zero))
        }

        // CPython: _TestPool.test_traceback, ProcessPoolExecutorTest.test_traceback
        @Test func anErrorThatCannotTravelIsDescribed() async throws {
            struct Opaque: Error { var number = 123 }
            try await withPool(processes: 1) { pool async throws in
                let error = await #expect(throws: RemoteError.self) { try await pool.apply { throw Opaque() } }
                #expect(error?.typeName.contains("Opaque") == true)
                #expect(error?.message.contains("123") == true)
                // What goes wrong here has none of that.
                await #expect(throws: (any Error).self) { try await pool.map([Unsendable()]) { _ in 1 } }
            }
        }

        // CPython: _TestPool.test_wrapped_exception
        @Test func threadsThrowTheErrorItself() async throws {
            try await withPool(processes: 1, options: Backend.threads.poolOptions) { pool async throws in
                let task = try pool.submit { throw ValueError(text: "itself") }
                await #expect(throws: ValueError(text: "itself")) { try await task.value }
            }
        }

        // CPython: _TestPool.test_map_no_failfast
        @Test(arguments: Backend.poolWorkersAnywhere) func hugeErrors(backend: Backend) async throws {
            let pool = try Pool(processes: 2, options: backend.poolOptions)
            await #expect(throws: ValueError.self) {
                try await pool.map(0..<2, chunkSize: 1) { _ -> Int in
                    throw ValueError(text: String(repeating: "x", count: 1 << 20))
                }
            }
            pool.close()
            #expect(try await pool.join(timeout: .seconds(30)))
        }

        // CPython: _TestPool.test_release_task_refs, ExecutorTest.test_no_stale_references
        // CPython: ProcessPoolExecutorTest.test_ressources_gced_in_workers
        @Test(arguments: Backend.poolWorkersAnywhere) func argumentsAndResultsAreReleased(backend: Backend) async throws
        {
            try await withPool(processes: 1, options: backend.poolOptions) { pool async throws in
                let before = Counted.alive.load(ordering: .relaxed)
                let sum = try await pool.map((0..<100).map { Counted($0) }) { Counted($0.number) }
                    .reduce(0) { $0 + $1.number }
                #expect(sum == 4950)
                let there = try await pool.apply { Counted.alive.load(ordering: .relaxed) }
                #expect(there == (backend == .threads ? before : 0))
                #expect(Counted.alive.load(ordering: .relaxed) == before)
            }
        }

        // CPython: _TestPoolWorkerErrors.test_async_error_callback
        @Test func theCallbackGetsTheError() async throws {
            try await withPool(processes: 2) { pool async throws in
                let task = try pool.submit { () -> Int in throw ValueError(text: "sqrt") }
                let seen = Mutex<[any Error]>([])
                task.onCompletion { if case .failure(let error) = $0 { seen.withLock { $0.append(error) } } }
                await #expect(throws: ValueError(text: "sqrt")) { try await task.value }
                #expect(try await eventually { seen.withLock { $0.count == 1 && $0[0] is ValueError } })
            }
        }

        // CPython: _TestPoolWorkerErrors.test_unpickleable_result
        @Test func resultsThatCannotBeSent() async throws {
            try await withPool(processes: 2) { pool async throws in
                for _ in 0..<20 {
                    await #expect(throws: (any Error).self) { try await pool.apply { Unsendable() } }
                }
                let task = try pool.submit { ChildProcess<Void>.current.processIdentifier }
                #expect(pool.processIdentifiers.contains(try await task.value))
            }
        }

        // CPython: _TestPoolWorkerLifetime.test_pool_worker_lifetime, ProcessPoolExecutorTest.test_max_tasks_per_child
        // CPython: ProcessPoolExecutorTest.test_max_tasks_per_child_defaults_to_spawn_context
        @Test(arguments: Backend.poolProcesses + [.stream]) func workersAreReplaced(backend: Backend) async throws {
            var options = backend.poolOptions
            options.tasksPerWorker = 10
            try await withPool(processes: 2, options: options) { pool async throws in
                let tasks = try (0..<60).map { number in
                    try pool.submit { (number, ChildProcess<Void>.current.processIdentifier) }
                }
                var counts: [Int32: Int] = [:]
                for (number, task) in tasks.enumerated() {
                    let (value, worker) = try await task.value
                    #expect(value == number)
                    counts[worker, default: 0] += 1
                }
                #expect(counts.count >= 6 && counts.values.allSatisfy { $0 <= 10 })
            }
        }

        // CPython: _TestPoolWorkerLifetime.test_pool_worker_lifetime_early_close
        // CPython: ProcessPoolExecutorTest.test_max_tasks_early_shutdown
        @Test func workersOfOneTaskAndAnEarlyClose() async throws {
            var options = PoolOptions()
            options.tasksPerWorker = 1
            let pool = try Pool(processes: 3, options: options)
            let tasks = try (0..<6).map { number in
                try pool.submit { () -> Int in
                    pause(.milliseconds(100))
                    return number * number
                }
            }
            pool.close()
            #expect(try await pool.join(timeout: .seconds(60)))
            for (number, task) in tasks.enumerated() { #expect(try await task.value == number * number) }
        }

        // CPython: _TestPoolWorkerLifetime.test_pool_maxtasksperchild_invalid
        @Test func workersOfNoTask() async throws {
            for most in [0, -1] {
                var options = PoolOptions()
                options.tasksPerWorker = most
                try await check(pool: .invalidArgument) { try Pool(processes: 1, options: options) }
            }
        }

        // CPython: TestInitializers.test_pool_initializer, InitializerMixin.test_initializer
        @Test(arguments: Backend.poolWorkersOfAllKinds)
        func initializersRunOnceInEachWorker(backend: Backend) async throws {
            let counter = try CountingSemaphore(value: 0)
            let pool = try Pool(processes: 2, options: backend.poolOptions) { try counter.release() }
            #expect(try await pool.apply { 1 } == 1)
            for _ in 0..<2 { #expect(try await counter.acquire(timeout: .seconds(30))) }
            pool.close()
            #expect(try await pool.join(timeout: .seconds(30)))
            #expect(try await !counter.acquire(timeout: .zero))
        }

        // CPython: TestStdinBadfiledescriptor.test_pool_in_process
        @Test func aPoolInAProcess() async throws {
            let sum = try await ChildProcess.run {
                try await withPool(processes: 2) { pool in try await pool.map(0..<10) { $0 }.reduce(0, +) }
            }
            #expect(sum == 45)
        }

        // CPython: TestPoolNotLeakOnFailure.test_release_unused_processes
        // CPython: FailingInitializerMixin.test_initializer
        // CPython: FailingInitializerResourcesTest.test_forkserver, FailingInitializerResourcesTest.test_spawn
        @Test(arguments: [Backend.forkServer, .spawn, .stream])
        func aPoolThatCannotStartLeavesNothing(backend: Backend) async throws {
            try await isolated {
                try await LeakCheck.expectNoLeaks(within: .seconds(20)) {
                    let pool = try Pool(processes: 3, options: backend.poolOptions) {
                        throw ValueError(text: "not today")
                    }
                    do {
                        _ = try await pool.apply { 1 }
                        throw CheckFailure(text: "no error", place: "")
                    } catch let error as PoolError {
                        try check(error.code, is: .workersFail)
                        try check(error.message.contains("not today"), error.message)
                    }
                    try await check(pool: .workersFail) { try pool.submit { 1 } }
                    try check(try await pool.join(timeout: .seconds(30)))
                }
            }
        }

        @Test func workersByForkAreRefused() async throws {
            try await check(pool: .invalidArgument) { try Pool(processes: 1, options: Backend.fork.poolOptions) }
        }

        // CPython: MiscTestCase.test_large_pool
        @Test func manyWorkers() async throws {
            try await withPool(processes: 64) { pool async throws in
                #expect(try await pool.map(0..<128, chunkSize: 1) { $0 } == Array(0..<128))
            }
        }
    }
}
