import Foundation
import Glibc
import Multiprocessing
import Synchronization
import Testing

// CPython's tests of concurrent.futures' executors: submission, maps, shutdown.

private struct Failure: Error, Codable, Equatable {}

extension ProcessTests {
    @Suite(.timeLimit(.minutes(2)))
    struct ExecutorPythonTests {
        // CPython: ExecutorTest.test_submit, ExecutorTest.test_submit_keyword
        @Test(arguments: Backend.poolWorkersOfAllKinds + [.stream]) func submit(backend: Backend) async throws {
            try await withPool(processes: 2, options: backend.poolOptions) { pool async throws in
                let (base, exponent) = (2, 8)
                let power = try pool.submit { () -> Int in
                    func power(_ base: Int, exponent: Int) -> Int {
                        (0..<exponent).reduce(1) { value, _ in value * base }
                    }
                    return power(base, exponent: exponent)
                }
                #expect(try await power.value == 256)
            }
        }

        // CPython: ExecutorTest.test_map, ProcessPoolExecutorTest.test_map_chunksize
        @Test(arguments: Backend.poolWorkersAnywhere) func map(backend: Backend) async throws {
            try await withPool(processes: 2, options: backend.poolOptions) { pool async throws in
                let expected = (0..<100).map { $0 * $0 }
                for chunkSize in [6, 50, 40, nil] {
                    #expect(try await pool.map(0..<100, chunkSize: chunkSize) { $0 * $0 } == expected)
                }
                for chunkSize in [0, -1] {
                    try await check(pool: .invalidArgument) { try await pool.map(0..<9, chunkSize: chunkSize) { $0 } }
                }
            }
        }

        // CPython: ExecutorTest.test_map_exception
        @Test(arguments: Backend.poolWorkersAnywhere) func anErrorAfterResults(backend: Backend) async throws {
            try await withPool(processes: 2, options: backend.poolOptions) { pool async throws in
                var quotients = try pool.imap([1, 1, 0, 1]) { number -> Int in
                    if number == 0 { throw Failure() }
                    return 5 / number
                }.makeAsyncIterator()
                #expect(try await quotients.next() == 5)
                #expect(try await quotients.next() == 5)
                await #expect(throws: Failure.self) { try await quotients.next() }
            }
        }

        // CPython: ExecutorTest.test_map_timeout
        @Test func resultsBeforeAnItemThatTakesTooLong() async throws {
            try await withPool(processes: 2) { pool async throws in
                var values = try pool.imap([0, 0, 60], chunkSize: 1, timeout: .seconds(2)) { seconds -> Int in
                    pause(.seconds(seconds))
                    return seconds
                }.makeAsyncIterator()
                #expect(try await values.next() == 0)
                #expect(try await values.next() == 0)
                try await check(pool: .timedOut) { try await values.next() }
            }
        }

        // CPython: ExecutorTest.test_shutdown_race_issue12456
        @Test(arguments: Backend.poolWorkersAnywhere) func closeAfterManyTasks(backend: Backend) async throws {
            let pool = try Pool(processes: 2, options: backend.poolOptions)
            let tasks = try (0..<1000).map { number in try pool.submit { number } }
            pool.close()
            #expect(try await pool.join(timeout: .seconds(60)))
            #expect(try await tasks[999].value == 999)
        }

        // CPython: ProcessPoolExecutorTest.test_saturation, ThreadPoolExecutorTest.test_saturation
        @Test(arguments: Backend.poolWorkers) func noMoreWorkersThanAsked(backend: Backend) async throws {
            try await withPool(processes: 3, options: backend.poolOptions) { pool async throws in
                let permits = try CountingSemaphore(value: 0)
                let tasks = try (0..<45).map { _ in try pool.submit { try permits.acquire(timeout: .seconds(60)) } }
                if backend != .threads {
                    #expect(try await eventually(within: .seconds(30)) { pool.processIdentifiers.count == 3 })
                }
                #expect(try await eventually(within: .seconds(30)) { tasks.count { $0.state == .running } == 3 })
                for _ in tasks { try permits.release() }
                for task in tasks { #expect(try await task.value) }
            }
        }

        // CPython: ProcessPoolExecutorTest.test_idle_process_reuse_one, ThreadPoolExecutorTest.test_idle_thread_reuse
        // CPython: ProcessPoolExecutorTest.test_idle_process_reuse_multiple
        @Test(arguments: Backend.poolWorkersAnywhere) func workersAreUsedAgain(backend: Backend) async throws {
            try await withPool(processes: 2, options: backend.poolOptions) { pool async throws in
                var threads: Set<String?> = []
                for _ in 0..<30 { threads.insert(try await pool.apply { linkTarget("/proc/thread-self") }) }
                // A worker process has its tasks run by any of a few threads.
                if backend == .threads { #expect(threads.count <= 2) }
                var workers: Set<Int32> = []
                for _ in 0..<30 { workers.insert(try await pool.apply { getpid() }) }
                #expect(workers.count <= 2)
            }
        }

        // CPython: ThreadPoolExecutorTest.test_map_submits_without_iteration
        @Test func mapRunsWithoutIteration() async throws {
            try await withPool(processes: 2, options: Backend.threads.poolOptions) { pool async throws in
                let count = try CountingSemaphore(value: 0)
                async let values = pool.map(0..<10) { number in
                    try count.release()
                    return number
                }
                for _ in 0..<10 { #expect(try await count.acquire(timeout: .seconds(30))) }
                #expect(try await values.count == 10)
            }
        }

        // CPython: ThreadPoolExecutorTest.test_default_workers
        @Test func asManyWorkersAsProcessors() async throws {
            try await withPool(options: Backend.threads.poolOptions) { pool async throws in
                #expect(pool.processCount == availableProcessorCount)
            }
        }

        // CPython: ThreadPoolExecutorTest.test_executor_map_current_future_cancel
        @Test(arguments: Backend.poolWorkers) func leavingTheLoopCancelsTheRest(backend: Backend) async throws {
            let ran = try CountingSemaphore(value: 0)
            try await withPool(processes: 1, options: backend.poolOptions) { pool async throws in
                for try await _ in try pool.imap(
                    0..<1000,
                    chunkSize: 1,
                    { number -> Int in
                        try ran.release()
                        return number
                    }
                ) { break }
                // What waits is done after whatever was left.
                _ = try await pool.apply { 1 }
                #expect(pool.unresolvedCount == 0)
            }
            var count = 0
            while try await ran.acquire(timeout: .zero) { count += 1 }
            #expect(count < 20)
        }

        // CPython: ExecutorShutdownTest.test_run_after_shutdown
        @Test(arguments: Backend.poolWorkersAnywhere) func nothingAfterTheEnd(backend: Backend) async throws {
            let pool = try Pool(processes: 1, options: backend.poolOptions)
            pool.close()
            try await check(pool: .closed) { try pool.submit { 1 } }
            pool.terminate()
            try await check(pool: .closed) { try await pool.apply { 1 } }
        }

        // CPython: ExecutorShutdownTest.test_hang_issue12364
        @Test(arguments: Backend.poolWorkersAnywhere) func tasksAreDoneAfterClose(backend: Backend) async throws {
            let pool = try Pool(processes: 5, options: backend.poolOptions)
            let tasks = try (0..<50).map { _ in
                try pool.submit { () -> Int in
                    pause(.milliseconds(10))
                    return 1
                }
            }
            pool.close()
            for task in tasks { #expect(try await task.value == 1) }
            #expect(try await pool.join(timeout: .seconds(30)))
        }

        // CPython: ExecutorShutdownTest.test_cancel_futures, ThreadPoolShutdownTest.test_cancel_futures_wait_false
        @Test(arguments: Backend.poolWorkersAnywhere) func closeCancelsWhatWaits(backend: Backend) async throws {
            let pool = try Pool(processes: 5, options: backend.poolOptions)
            let tasks = try (0..<50).map { _ in
                try pool.submit { () -> Int in
                    pause(.milliseconds(50))
                    return 1
                }
            }
            _ = try await tasks[0].value
            pool.close(cancellingWaiting: true)
            #expect(try await pool.join(timeout: .seconds(30)))
            #expect(tasks.count { $0.state == .cancelled } > 20)
            #expect(tasks.count { $0.state == .finished } >= 1)
            #expect(tasks.allSatisfy { $0.isReady })
        }

        // CPython: ExecutorShutdownTest.test_hang_gh94440
        @Test(arguments: Backend.poolWorkersAnywhere) func cancelJustBeforeClose(backend: Backend) async throws {
            for _ in 0..<10 {
                let pool = try Pool(processes: 1, options: backend.poolOptions)
                _ = try await pool.apply { 1 }
                let task = try pool.submit { 2 }
                task.cancel()
                pool.close()
                #expect(try await pool.join(timeout: .seconds(30)))
                #expect(task.isReady)
            }
        }

        // CPython: ExecutorShutdownTest.test_interpreter_shutdown, ExecutorShutdownTest.test_hang_gh83386
        @Test(arguments: [false, true]) func aProgramThatEndsWithItsPool(isWaitedFor: Bool) async throws {
            let (ours, theirs) = try Connection.pair()
            let program = try ChildProcess(startMethod: .spawn) {
                let pool = try Pool(processes: 2)
                let task = try pool.submit { () -> Int in
                    pause(.milliseconds(200))
                    try theirs.send("apple")
                    return 1
                }
                pool.close()
                // A program ends when its main function does, so it is this that waits.
                if isWaitedFor {
                    try await pool.join(timeout: .seconds(30))
                } else {
                    try await task.wait(timeout: .zero)
                }
            }
            try program.start()
            #expect(try await program.join(timeout: .seconds(60)))
            #expect(program.exitStatus == .exited(0))
            if isWaitedFor { #expect(try await ours.receive(String.self, timeout: .seconds(10)) == "apple") }
        }

        // CPython: ProcessPoolShutdownTest.test_processes_terminate, ProcessPoolShutdownTest.test_context_manager_shutdown
        @Test(arguments: Backend.poolProcesses + [.stream]) func noWorkerOutlivesThePool(backend: Backend) async throws
        {
            let pids = try await withPool(processes: 3, options: backend.poolOptions) { pool in
                let values = try await pool.map(0..<9, chunkSize: 1) { $0 }
                try check(values, is: Array(0..<9))
                return pool.processIdentifiers
            }
            #expect(!pids.isEmpty && pids.allSatisfy { kill($0, 0) != 0 })
        }

        // CPython: ProcessPoolShutdownTest.test_del_shutdown, ProcessPoolShutdownTest.test_shutdown_no_wait
        // CPython: ThreadPoolShutdownTest.test_del_shutdown, ThreadPoolShutdownTest.test_shutdown_no_wait
        @Test(arguments: Backend.poolWorkersAnywhere) func aClosedPoolThatIsDroppedDoesItsTasks(backend: Backend)
            async throws
        {
            var pool: Pool? = try Pool(processes: 2, options: backend.poolOptions)
            let tasks = try (0..<10).map { number in try pool!.submit { -number } }
            pool!.close()
            pool = nil
            for (number, task) in tasks.enumerated() { #expect(try await task.value == -number) }
        }

        // CPython: ThreadPoolShutdownTest.test_threads_terminate, ThreadPoolShutdownTest.test_context_manager_shutdown
        // CPython: ThreadPoolShutdownTest.test_thread_names_assigned
        @Test func threadsHaveNamesAndEnd() async throws {
            var options = Backend.threads.poolOptions
            options.name = "Special"
            let names = try await withPool(processes: 3, options: options) { pool async throws in
                Set(try await pool.map(0..<30, chunkSize: 1) { _ in Self.nameOfThread() })
            }
            #expect(!names.isEmpty && names.allSatisfy { $0.hasPrefix("Special-") })
            #expect(try await eventually(within: .seconds(10)) { names.isDisjoint(with: Self.namesOfThreads()) })
        }

        // CPython: ThreadPoolShutdownTest.test_thread_names_default
        @Test func threadsAreNamedAfterThePool() async throws {
            try await withPool(processes: 1, options: Backend.threads.poolOptions) { pool async throws in
                #expect(try await pool.apply { Self.nameOfThread() } == "Pool-1")
            }
        }

        private static func nameOfThread() -> String {
            text(of: "/proc/thread-self/comm")?.split(separator: "\n").first.map(String.init) ?? ""
        }

        private static func namesOfThreads() -> Set<String> {
            let threads = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")) ?? []
            return Set(
                threads.compactMap {
                    text(of: "/proc/self/task/\($0)/comm")?.split(separator: "\n").first.map(String.init)
                }
            )
        }
    }
}
