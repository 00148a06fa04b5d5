import Glibc
import MultiprocessingTestKit
import Synchronization
import Testing

@testable import Multiprocessing

private struct Undecodable: Codable, Sendable {
    struct Refusal: Error {}
    init() {}
    init(from decoder: any Decoder) throws { throw Refusal() }
    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(1)
    }
}

/// Dies where it is decoded, but not in the process that made it.
private struct Deadly: Codable, Sendable {
    var home = getpid()
    init() {}
    init(from decoder: any Decoder) throws {
        home = try decoder.singleValueContainer().decode(Int32.self)
        if home != getpid() { fatalError("decoded") }
    }
    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(home)
    }
}

/// Ends the process, in a way or another, where it is encoded.
private struct DeadlyResult: Codable, Sendable {
    var exits: Bool
    init(exits: Bool) { self.exits = exits }
    init(from decoder: any Decoder) throws { exits = try decoder.singleValueContainer().decode(Bool.self) }
    func encode(to encoder: any Encoder) throws {
        if exits { exit(3) }
        fatalError("encoded")
    }
}

extension ProcessTests {
    @Suite(.timeLimit(.minutes(3)))
    struct PoolFailureTests {
        /// Ends in kill -9, at random, all the time; each result is there, once, and is right; and nothing is left.
        @Test func killStorm() async throws {
            let count = StormSize.tasks
            try await isolated {
                try await LeakCheck.expectNoLeaks(within: .seconds(30)) {
                    var options = PoolOptions()
                    // Many die with nothing to do.
                    options.restartBudget.count = .max
                    let pool = try Pool(processes: 4, options: options)
                    let isOver = Atomic(false)
                    async let kills = onThread { () -> Int in
                        var kills = 0
                        while !isOver.load(ordering: .acquiring) {
                            pause(.milliseconds(20))
                            guard let victim = pool.processIdentifiers.randomElement() else { continue }
                            // Its pool has not reaped it as long as it names it, so the number is nobody else's.
                            if kill(victim, SIGKILL) == 0 { kills += 1 }
                        }
                        return kills
                    }
                    let ends = Mutex<[Int]>(Array(repeating: 0, count: count))
                    var next = 0
                    do {
                        while next < count {
                            let batch = try (next..<min(next + 1000, count)).map { number in
                                let task = try pool.submit(retries: 1000) { number * 3 }
                                task.observe { ends.withLock { $0[number] += 1 } }
                                return task
                            }
                            for (place, task) in batch.enumerated() {
                                try check(try await task.value, is: (next + place) * 3)
                            }
                            next += batch.count
                        }
                    } catch {
                        isOver.store(true, ordering: .releasing)
                        pool.terminate()
                        _ = try await kills
                        throw error
                    }
                    isOver.store(true, ordering: .releasing)
                    try check(try await kills > 0, "nobody was killed")
                    try check(ends.withLock { $0.allSatisfy { $0 == 1 } }, "a task ended more or less than once")
                    pool.close()
                    try check(try await pool.join(timeout: .seconds(30)), "the pool did not end")
                }
            }
        }

        /// The same for the items of a map, whose chunks are taken apart again and again.
        @Test func killStormOfAMap() async throws {
            let count = StormSize.tasks
            try await isolated {
                try await LeakCheck.expectNoLeaks(within: .seconds(30)) {
                    var options = PoolOptions()
                    options.restartBudget.count = .max
                    let pool = try Pool(processes: 3, options: options)
                    let storm = Task.detached {
                        while !Task.isCancelled {
                            try? await Task.sleep(for: .milliseconds(20))
                            if let victim = pool.processIdentifiers.randomElement() { kill(victim, SIGKILL) }
                        }
                    }
                    defer { storm.cancel() }
                    let values = try await pool.map(0..<count, retries: 1000) { number in
                        if number % 10 == 0 { pause(.milliseconds(1)) }
                        return number * 3
                    }
                    try check(values == (0..<count).map { $0 * 3 })
                    var seen = 0
                    let results = try pool.imap(0..<count, ordered: false, chunkSize: 50, retries: 1000) { $0 }
                    for try await outcome in results.outcomes {
                        try check(try outcome.result.get(), is: outcome.index)
                        seen += 1
                    }
                    try check(seen, is: count)
                    storm.cancel()
                    await storm.value
                    pool.close()
                    try check(try await pool.join(timeout: .seconds(30)), "the pool did not end")
                }
            }
        }

        /// A worker dies at one step of its connection after the other, with and without descriptors on their way.
        @Test(arguments: [false, true])
        func deathAtEveryStep(withHandles: Bool) async throws {
            guard ChaosPlan.isAvailable else { return }
            let lock = try Lock()
            try await withPool(processes: 1) { pool async throws in
                for step in 0..<40 {
                    // The plan counts the steps of the reader as well as of the sender.
                    let armed = try? await pool.apply {
                        ChaosPlan(.kill, .step(step)).arm(anyThread: true)
                        return 1
                    }
                    if let armed { #expect(armed == 1) }
                    for number in 0..<3 {
                        if withHandles {
                            let (back, value) = try await pool.apply(retries: 5) { (lock, number) }
                            #expect(value == number)
                            try await back.acquire(timeout: .seconds(10))
                            try back.release()
                        } else {
                            #expect(try await pool.apply(retries: 5) { number } == number)
                        }
                    }
                }
            }
        }

        // CPython: ProcessPoolExecutorTest.test_killed_child
        @Test func aKilledWorkerFailsOneTask() async throws {
            try await withPool(processes: 1) { pool async throws in
                let gate = try Event()
                let up = try Event()
                let task = try pool.submit { () -> Int in
                    up.set()
                    _ = try gate.wait(timeout: .seconds(60))
                    return 1
                }
                let next = try pool.submit { 2 }
                #expect(try await up.wait(timeout: .seconds(30)))
                kill(try #require(pool.processIdentifiers.first), SIGKILL)
                let crash = await #expect(throws: ProcessCrash.self) { try await task.value }
                #expect(crash?.reason == .killed && crash?.task?.contains("task at") == true)
                #expect(try await next.value == 2)
                #expect(try await pool.apply { 3 } == 3)
            }
        }

        @Test func aStoppedWorkerIsTerminated() async throws {
            let pool = try Pool(processes: 2)
            let pids = try await Self.workers(of: pool, 2)
            for pid in pids { kill(pid, SIGSTOP) }
            try check(try await eventually { pids.allSatisfy { state(of: $0) == "T" } }, "the workers do not stop")
            // More than fits on the way to those that take nothing.
            let payload = [UInt8](repeating: 7, count: 50_000)
            let tasks = try (0..<50).map { _ in try pool.submit { payload.count } }
            pool.terminate()
            #expect(try await pool.join(timeout: .seconds(8)))
            for task in tasks { try await check(pool: .terminated) { try await task.value } }
        }

        @Test func aStoppedWorkerIsEndedByTheTimeout() async throws {
            try await withPool(processes: 1) { pool async throws in
                let pid = try await Self.workers(of: pool, 1)[0]
                let running = try pool.submit(timeout: .milliseconds(300)) { () -> Int in
                    // The thread that calls it may go on for a moment.
                    while true { kill(getpid(), SIGSTOP) }
                }
                try await check(pool: .timedOut) { try await running.value }
                #expect(try await pool.apply { 2 } == 2)
                #expect(!pool.processIdentifiers.contains(pid))
                // And one that is stopped before it could begin.
                let other = try #require(pool.processIdentifiers.first)
                kill(other, SIGSTOP)
                try check(try await eventually { state(of: other) == "T" }, "the worker does not stop")
                let first = try pool.submit(timeout: .seconds(100)) { 5 }
                let sent = try pool.submit(timeout: .milliseconds(300)) { 3 }
                let next = try pool.submit { 4 }
                first.cancel()
                try await check(pool: .timedOut) { try await sent.value }
                #expect(try await next.value == 4)
            }
        }

        @Test func aBusyPoolThatIsDropped() async throws {
            try await isolated {
                try await LeakCheck.expectNoLeaks(within: .seconds(30)) {
                    var pool: Pool? = try Pool(processes: 3)
                    let tasks = try (0..<10).map { _ in try pool!.submit { () -> Int in while true {} } }
                    try await Task.sleep(for: .milliseconds(50))
                    pool = nil
                    for task in tasks { try await check(pool: .terminated) { try await task.value } }
                }
            }
        }

        /// It is the pool's process that has no room: the worker did nothing wrong, and the error must not say so.
        @Test func aResultForWhichThereIsNoDescriptor() async throws {
            try await isolated {
                try await withPool(processes: 2) { pool async throws in
                    _ = try await pool.map(0..<8, chunkSize: 1) { $0 }
                    var limit = rlimit()
                    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
                    limit.rlim_cur = 128
                    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
                    var held: [Int32] = []
                    while case let descriptor = dup(0), descriptor >= 0 { held.append(descriptor) }
                    do {
                        _ = try await pool.apply { [UInt8](repeating: 1, count: 5_000_000) }
                        throw CheckFailure(text: "threw nothing", place: "")
                    } catch let error as ProcessError {
                        try check(error.code, is: .cannotTravel)
                        try check(error.message.hasPrefix("In the task at "), error.message)
                    }
                    try check(try await pool.apply { 1 }, is: 1)
                    for descriptor in held { close(descriptor) }
                    let large = try await pool.map(0..<8, chunkSize: 1) { _ in [UInt8](repeating: 1, count: 2_000_000) }
                    try check(large.count, is: 8)
                }
            }
        }

        @Test func aProgramThatIsKilledLeavesNothing() async throws {
            let (ours, theirs) = try Connection.pair()
            let program = try ChildProcess(startMethod: .spawn) {
                let pool = try Pool(processes: 3)
                for _ in 0..<10 { _ = try pool.submit { () -> Int in while true {} } }
                while pool.processIdentifiers.count < 3 { try await Task.sleep(for: .milliseconds(5)) }
                try await theirs.send(pool.processIdentifiers)
                try await Task.sleep(for: .seconds(60))
            }
            try program.start()
            let workers = try await ours.receive([Int32].self, timeout: .seconds(60))
            try program.kill()
            try await program.join(timeout: .seconds(30))
            #expect(try await eventually(within: .seconds(20)) { workers.allSatisfy { kill($0, 0) != 0 } })
        }

        // CPython: ExecutorDeadlockTest.test_exit_during_func_exec_on_worker
        @Test(arguments: [Int32(0), 3])
        func aTaskThatExits(status: Int32) async throws {
            try await withPool(processes: 1) { pool async throws in
                let task = try pool.submit { () -> Int in exit(status) }
                let next = try pool.submit { 2 }
                let error = await #expect(throws: ProcessError.self) { try await task.value }
                #expect(error?.code == .noValue)
                #expect(error?.exitStatus == .exited(status))
                #expect(error?.message.contains("the task at") == true, "\(String(describing: error))")
                #expect(try await next.value == 2)
            }
        }

        // CPython: ExecutorDeadlockTest.test_crash_during_func_exec_on_worker
        // CPython: ExecutorDeadlockTest.test_error_during_func_exec_on_worker
        @Test func crashesAndErrors() async throws {
            struct Mine: Error, Codable {}
            try await withPool(processes: 1) { pool async throws in
                let crash = try pool.submit { () -> Int in
                    UnsafeMutablePointer<Int>(bitPattern: 8)!.pointee = 1
                    return 1
                }
                let error = try pool.submit { () -> Int in throw Mine() }
                await #expect(throws: ProcessCrash.self) { try await crash.value }
                await #expect(throws: Mine.self) { try await error.value }
            }
        }

        // CPython: ExecutorDeadlockTest.test_error_at_task_pickle, ExecutorDeadlockTest.test_error_at_task_unpickle
        // CPython: ExecutorDeadlockTest.test_crash_at_task_unpickle, ExecutorDeadlockTest.test_exit_at_task_unpickle
        @Test func argumentsThatCannotBeDecoded() async throws {
            let (bad, deadly) = (Undecodable(), Deadly())
            try await withPool(processes: 1) { pool async throws in
                await #expect(throws: (any Error).self) { try await pool.map([bad]) { _ in 1 } }
                await #expect(throws: ProcessCrash.self) { try await pool.map([deadly]) { _ in 1 } }
                // As something that the function captures.
                await #expect(throws: (any Error).self) { try await pool.apply { bad } }
                let next = try pool.submit { 5 }
                await #expect(throws: ProcessCrash.self) { try await pool.apply { deadly.home } }
                await #expect(throws: ProcessCrash.self) { try await pool.map([1]) { $0 + deadly.home } }
                #expect(try await next.value == 5)
            }
        }

        // CPython: ExecutorDeadlockTest.test_crash_during_result_pickle_on_worker
        // CPython: ExecutorDeadlockTest.test_exit_during_result_pickle_on_worker
        // CPython: ExecutorDeadlockTest.test_error_during_result_pickle_on_worker
        // CPython: ExecutorDeadlockTest.test_error_during_result_unpickle_in_result_handler
        @Test func resultsThatCannotBeCoded() async throws {
            try await withPool(processes: 1) { pool async throws in
                await #expect(throws: ProcessCrash.self) { try await pool.apply { DeadlyResult(exits: false) } }
                let left = await #expect(throws: ProcessError.self) {
                    try await pool.apply { DeadlyResult(exits: true) }
                }
                #expect(left?.exitStatus == .exited(3))
                try await check(pool: .cannotTravel) { try await pool.apply { Undecodable() } }
                // More descriptors than a message can have.
                await #expect(throws: (any Error).self) {
                    try await pool.apply { try (0..<600).map { _ in try Connection.pair().0 } }
                }
                #expect(try await pool.apply { 1 } == 1)
            }
        }

        // CPython: ExecutorDeadlockTest.test_shutdown_deadlock, ExecutorDeadlockTest.test_shutdown_deadlock_pickle
        @Test func aCrashAfterClose() async throws {
            let pool = try Pool(processes: 2)
            let crash = try pool.submit { () -> Int in
                pause(.milliseconds(50))
                fatalError("late")
            }
            let bad = try pool.submit { Undecodable() }
            pool.close()
            #expect(try await pool.join(timeout: .seconds(30)))
            await #expect(throws: ProcessCrash.self) { try await crash.value }
            try await check(pool: .cannotTravel) { try await bad.value }
        }

        // CPython: ExecutorDeadlockTest.test_crash_big_data
        @Test func crashesWhileMuchIsSent() async throws {
            try await withPool(processes: 2) { pool async throws in
                let payload = [UInt8](repeating: 1, count: 4 << 20)
                let tasks = try (0..<8).map { number in
                    try pool.submit { () -> Int in
                        if number % 2 == 0 { fatalError("big") }
                        return payload.count
                    }
                }
                for (number, task) in tasks.enumerated() {
                    if number % 2 == 0 {
                        await #expect(throws: ProcessCrash.self) { try await task.value }
                    } else {
                        #expect(try await task.value == payload.count)
                    }
                }
            }
        }

        @Test func hugeArgumentsAndResults() async throws {
            try await withPool(processes: 2) { pool async throws in
                let huge = [UInt8](repeating: 3, count: 64 << 20)
                let tasks = try (0..<3).map { _ in try pool.submit { huge } }
                for task in tasks { #expect(try await task.value == huge) }
            }
        }

        // CPython: ExecutorDeadlockTest.test_gh105829_should_not_deadlock_if_wakeup_pipe_full
        @Test func submissionFromEverywhere() async throws {
            try await withPool(processes: 3) { pool async throws in
                let sum = try await withThrowingTaskGroup(of: Int.self) { group in
                    for side in 0..<8 {
                        group.addTask {
                            var sum = 0
                            for number in 0..<250 {
                                sum += try await pool.apply { side * 1000 + number } - side * 1000
                            }
                            return sum
                        }
                        group.addTask {
                            try await onThread {
                                let tasks = try (0..<250).map { number in try pool.submit { number } }
                                return try tasks.reduce(0) { try $0 + $1.waitForValue(timeout: .seconds(60)) }
                            }
                        }
                    }
                    return try await group.reduce(0, +)
                }
                #expect(sum == 16 * 250 * 249 / 2)
            }
        }

        @Test func aPoolDoesNotTravel() async throws {
            try await withPool(processes: 1) { pool async throws in
                do {
                    _ = try pool.submit { pool.processCount }
                    Issue.record("no error")
                } catch let error as PoolError {
                    #expect(error.code == .cannotTravel && error.message.contains("Pool"), "\(error)")
                }
            }
        }

        @Test func poolsInsideWorkersEndWithThem() async throws {
            let (ours, theirs) = try Connection.pair()
            let pool = try Pool(processes: 1)
            let sum = try await pool.apply {
                try await withPool(processes: 2) { inner in try await inner.map(0..<10) { $0 }.reduce(0, +) }
            }
            #expect(sum == 45)
            let task = try pool.submit { try await Self.haveBusyPool(reporting: theirs) }
            let workers = try await ours.receive([Int32].self, timeout: .seconds(60))
            task.cancel()
            #expect(try await eventually(within: .seconds(20)) { workers.allSatisfy { kill($0, 0) != 0 } })
            pool.close()
            #expect(try await pool.join(timeout: .seconds(30)))
        }

        private static func haveBusyPool(reporting connection: Connection) async throws -> Int {
            let inner = try Pool(processes: 2)
            _ = try inner.submit { () -> Int in while true {} }
            while inner.processIdentifiers.count < 2 { try await Task.sleep(for: .milliseconds(5)) }
            try await connection.send(inner.processIdentifiers)
            try await Task.sleep(for: .seconds(60))
            return inner.processCount
        }

        @Test func tenPoolsAtOnce() async throws {
            try await withThrowingTaskGroup(of: Int.self) { group async throws in
                for number in 0..<10 {
                    group.addTask {
                        try await withPool(processes: 2) { pool in
                            try await pool.map(0..<200) { $0 + number }.reduce(0, +)
                        }
                    }
                }
                #expect(try await group.reduce(0, +) == 10 * 19_900 + 200 * 45)
            }
        }

        /// The pids of the workers, once there are so many and they are up.
        private static func workers(of pool: Pool, _ count: Int) async throws -> [Int32] {
            #expect(try await pool.map(0..<count * 4, chunkSize: 1) { $0 }.count == count * 4)
            try check(try await eventually(within: .seconds(30)) { pool.processIdentifiers.count == count })
            return pool.processIdentifiers
        }
    }
}

private enum StormSize {
    /// How many tasks the storm has: MP_STORM_TASKS, or what a build for debugging does in some seconds.
    static var tasks: Int {
        if let text = getenv("MP_STORM_TASKS"), let count = Int(String(cString: text)) { return count }
        return ChaosPlan.isAvailable ? 20_000 : 200_000
    }
}
