import Synchronization
import Testing

@testable import Multiprocessing

// CPython's tests of concurrent.futures.Future, wait and as_completed.

private struct Failure: Error, Codable, Equatable {}

/// Tasks in every state, in a pool with one worker that is held up.
private struct Zoo {
    let pool: Pool
    let gate: Gate
    let finished, failed, cancelled, running, waiting: PoolTask<Int>

    init(_ backend: Backend) async throws {
        let gate = Gate()
        self.gate = gate
        pool = try Pool(processes: 1, options: backend.poolOptions)
        finished = try pool.submit { 42 }
        failed = try pool.submit { throw Failure() }
        _ = try await finished.wait(timeout: .seconds(30))
        _ = try await failed.wait(timeout: .seconds(30))
        running = try pool.submit { try event(gate, 1) }
        waiting = try pool.submit { try event(gate, 2) }
        cancelled = try pool.submit { 3 }
        cancelled.cancel()
        let running = running
        try check(try await eventually(within: .seconds(30)) { running.state == .running }, "\(running)")
    }

    func end() async throws {
        gate.set()
        pool.close()
        try check(try await pool.join(timeout: .seconds(30)), "the pool did not end")
        gate.remove()
    }
}

private func event(_ gate: Gate, _ value: Int) throws -> Int {
    try check(gate.wait(timeout: .seconds(60)))
    return value
}

extension ProcessTests {
    @Suite(.timeLimit(.minutes(2)))
    struct FuturePythonTests {
        // CPython: FutureTests.test_cancelled, FutureTests.test_done, FutureTests.test_running
        // CPython: FutureTests.test_repr
        @Test(arguments: Backend.poolWorkersAnywhere) func states(backend: Backend) async throws {
            let zoo = try await Zoo(backend)
            #expect(zoo.finished.state == .finished && zoo.finished.isReady)
            #expect(zoo.failed.state == .failed && zoo.failed.isReady)
            #expect(zoo.cancelled.state == .cancelled && zoo.cancelled.isReady)
            #expect(zoo.running.state == .running && !zoo.running.isReady)
            #expect(zoo.waiting.state == .waiting && !zoo.waiting.isReady)
            #expect("\(zoo.failed)".contains("Failure") && "\(zoo.waiting)".contains("waiting"))
            try await zoo.end()
            #expect(try await zoo.running.value == 1)
        }

        // CPython: FutureTests.test_cancel
        @Test func cancel() async throws {
            let zoo = try await Zoo(.forkServer)
            zoo.finished.cancel()
            #expect(zoo.finished.state == .finished)
            zoo.cancelled.cancel()
            #expect(zoo.cancelled.state == .cancelled)
            zoo.waiting.cancel()
            #expect(zoo.waiting.state == .cancelled)
            // Unlike Python's: it ends the work.
            zoo.running.cancel()
            #expect(zoo.running.state == .cancelled)
            #expect(try await zoo.pool.apply { 1 } == 1)
            try await zoo.end()
        }

        // CPython: FutureTests.test_result_with_timeout, FutureTests.test_exception_with_timeout
        @Test(arguments: Backend.poolWorkersAnywhere) func resultsWithoutWaiting(backend: Backend) async throws {
            let zoo = try await Zoo(backend)
            for task in [zoo.running, zoo.waiting] {
                try await check(pool: .timedOut) { try await onThread { try task.waitForValue(timeout: .zero) } }
                #expect(task.result == nil)
            }
            try await check(pool: .cancelled) { try await zoo.cancelled.value }
            await #expect(throws: Failure.self) { try await zoo.failed.value }
            #expect(try zoo.finished.result?.get() == 42)
            #expect(throws: Failure.self) { try zoo.failed.result?.get() }
            try await zoo.end()
        }

        // CPython: FutureTests.test_result_with_success, FutureTests.test_result_with_cancel
        // CPython: FutureTests.test_exception_with_success
        @Test func waitersWakeUp() async throws {
            let zoo = try await Zoo(.forkServer)
            let (waiting, running) = (zoo.waiting, zoo.running)
            async let cancelled = onThread { Result { try waiting.waitForValue(timeout: .seconds(30)) } }
            async let value = onThread { try running.waitForValue(timeout: .seconds(30)) }
            try await Task.sleep(for: .milliseconds(20))
            waiting.cancel()
            zoo.gate.set()
            let ended = try await cancelled
            try await check(pool: .cancelled) { try ended.get() }
            #expect(try await value == 1)
            try await zoo.end()
        }

        // CPython: FutureTests.test_done_callback_with_result, FutureTests.test_done_callback_with_exception
        // CPython: FutureTests.test_done_callback_with_cancel, FutureTests.test_done_callback_already_successful
        // CPython: FutureTests.test_done_callback_already_failed, FutureTests.test_done_callback_already_cancelled
        @Test(arguments: Backend.poolWorkersAnywhere) func callbacks(backend: Backend) async throws {
            let zoo = try await Zoo(backend)
            let seen = Mutex<[String: Int]>([:])
            @Sendable func note(_ name: String) -> @Sendable (Result<Int, any Error>) -> Void {
                { result in
                    let text: String =
                        switch result {
                        case .success(let value): "\(name) \(value)"
                        case .failure(let error as PoolError): "\(name) \(error.code)"
                        case .failure(let error): "\(name) \(type(of: error))"
                        }
                    seen.withLock { $0[text, default: 0] += 1 }
                }
            }
            zoo.finished.onCompletion(note("finished"))
            zoo.failed.onCompletion(note("failed"))
            zoo.cancelled.onCompletion(note("cancelled"))
            zoo.running.onCompletion(note("running"))
            zoo.waiting.onCompletion(note("waiting"))
            zoo.waiting.cancel()
            let late = try zoo.pool.submit { () -> Int in throw Failure() }
            late.onCompletion(note("late"))
            try await zoo.end()
            let expected = [
                "finished 42", "failed Failure", "cancelled cancelled", "running 1", "waiting cancelled",
                "late Failure",
            ]
            let all = try await eventually { seen.withLock { Set($0.keys) == Set(expected) } }
            #expect(all, "\(seen.withLock { $0 })")
            #expect(seen.withLock { $0.values.allSatisfy { $0 == 1 } })
        }

        // CPython: FutureTests.test_done_callback_raises, FutureTests.test_done_callback_raises_already_succeeded
        @Test func aCallbackThatHangsHurtsNobody() async throws {
            let gate = try Event()
            defer { gate.set() }
            try await withPool(processes: 1) { pool async throws in
                let calls = Atomic(0)
                let task = try pool.submit { 1 }
                // It cannot throw.
                task.onCompletion { _ in _ = try? gate.wait(timeout: .seconds(60)) }
                task.onCompletion { _ in calls.add(1, ordering: .relaxed) }
                #expect(try await task.value == 1)
                task.onCompletion { _ in calls.add(1, ordering: .relaxed) }
                #expect(try await eventually { calls.load(ordering: .relaxed) == 2 })
                #expect(try await pool.apply { 2 } == 2)
            }
        }

        // CPython: FutureTests.test_multiple_set_result, FutureTests.test_multiple_set_exception
        @Test func aResultIsSetOnce() async throws {
            let result = OneShot<Int>()
            let seen = Mutex<[Int]>([])
            _ = result.observe { value in seen.withLock { $0.append(value) } }
            result.set(1)
            result.set(2)
            #expect(result.value == 1)
            #expect(seen.withLock { $0 } == [1])
        }

        // CPython: WaitTests.test_20369
        @Test(arguments: Backend.poolWorkersAnywhere) func aTaskGivenTwice(backend: Backend) async throws {
            try await withPool(processes: 1, options: backend.poolOptions) { pool async throws in
                let task = try pool.submit { 1 }
                let (done, pending) = try await PoolTask.wait(for: [task, task])
                #expect(done.count == 1 && pending.isEmpty)
            }
        }

        // CPython: WaitTests.test_first_completed, WaitTests.test_first_completed_some_already_completed
        @Test(arguments: Backend.poolWorkersAnywhere) func theFirst(backend: Backend) async throws {
            let zoo = try await Zoo(backend)
            let quick = try Pool(processes: 1, options: backend.poolOptions)
            let one = try quick.submit { 1 }
            let first = try await PoolTask.wait(for: [one, zoo.running], until: .first, timeout: .seconds(30))
            #expect(first.done.count == 1 && first.done[0] === one && first.pending[0] === zoo.running)
            let known = try await PoolTask.wait(
                for: [zoo.cancelled, zoo.finished, zoo.running],
                until: .first,
                timeout: .zero
            )
            #expect(known.done.count == 2 && known.pending.count == 1)
            quick.terminate()
            try await zoo.end()
        }

        // CPython: WaitTests.test_first_exception, WaitTests.test_first_exception_some_already_complete
        // CPython: WaitTests.test_first_exception_one_already_failed
        @Test(arguments: Backend.poolWorkersAnywhere) func theFirstFailure(backend: Backend) async throws {
            let zoo = try await Zoo(backend)
            try await withPool(processes: 1, options: backend.poolOptions) { pool async throws in
                let good = try pool.submit { 1 }
                let bad = try pool.submit { () -> Int in throw Failure() }
                let tasks = [good, bad, zoo.running, zoo.finished, zoo.cancelled]
                let found = try await PoolTask.wait(for: tasks, until: .firstFailure, timeout: .seconds(30))
                #expect(found.done.contains { $0 === bad } && found.pending.contains { $0 === zoo.running })
                // Neither a value nor a cancellation is a failure.
                let none = try await PoolTask.wait(
                    for: [zoo.finished, zoo.cancelled, zoo.running],
                    until: .firstFailure,
                    timeout: .milliseconds(20)
                )
                #expect(none.pending.count == 1)
                let known = try await PoolTask.wait(for: [zoo.failed, zoo.running], until: .firstFailure)
                #expect(known.done.count == 1 && known.pending.count == 1)
            }
            try await zoo.end()
        }

        // CPython: WaitTests.test_all_completed, WaitTests.test_timeout
        @Test(arguments: Backend.poolWorkersAnywhere) func all(backend: Backend) async throws {
            let zoo = try await Zoo(backend)
            let tasks = [zoo.finished, zoo.failed, zoo.cancelled, zoo.running, zoo.waiting]
            let early = try await PoolTask.wait(for: tasks, timeout: .milliseconds(50))
            #expect(early.done.count == 3 && early.pending.count == 2)
            zoo.gate.set()
            let late = try await onThread { PoolTask.wait(for: tasks, timeout: .seconds(30)) }
            #expect(late.done.count == 5 && late.pending.isEmpty)
            try await zoo.end()
        }

        // CPython: ThreadPoolWaitTests.test_pending_calls_race
        @Test(arguments: Backend.poolWorkersAnywhere) func noWakeUpIsLost(backend: Backend) async throws {
            try await withPool(processes: 8, options: backend.poolOptions) { pool async throws in
                let tasks = try (0..<100).map { number in
                    try pool.submit { () -> Int in
                        pause(.microseconds(number * 10))
                        return number
                    }
                }
                let (done, pending) = try await PoolTask.wait(for: tasks, timeout: .seconds(60))
                #expect(done.count == 100 && pending.isEmpty)
            }
        }

        // CPython: AsCompletedTests.test_no_timeout, AsCompletedTests.test_duplicate_futures
        @Test(arguments: Backend.poolWorkersAnywhere) func asTheyAreDone(backend: Backend) async throws {
            let zoo = try await Zoo(backend)
            zoo.gate.set()
            let tasks = [zoo.finished, zoo.failed, zoo.cancelled, zoo.running, zoo.waiting]
            var seen: [PoolTask<Int>] = []
            for try await task in PoolTask.asCompleted(tasks + tasks, timeout: .seconds(60)) {
                #expect(task.isReady)
                seen.append(task)
            }
            #expect(seen.count == 5 && Set(seen.map { ObjectIdentifier($0) }).count == 5)
            try await zoo.end()
        }

        // CPython: AsCompletedTests.test_future_times_out, AsCompletedTests.test_correct_timeout_exception_msg
        @Test(arguments: Backend.poolWorkersAnywhere, [0, 100])
        func asTheyAreDoneInTime(backend: Backend, milliseconds: Int) async throws {
            let zoo = try await Zoo(backend)
            var seen: [PoolTask<Int>] = []
            do {
                let tasks = [zoo.finished, zoo.failed, zoo.cancelled, zoo.running]
                for try await task in PoolTask.asCompleted(tasks, timeout: .milliseconds(milliseconds)) {
                    seen.append(task)
                }
                Issue.record("no error")
            } catch let error as PoolError {
                #expect(error.code == .timedOut)
                #expect(error.message.contains("1 (of 4)"))
            }
            #expect(seen.count == 3 && !seen.contains { $0 === zoo.running })
            try await zoo.end()
        }

        // CPython: AsCompletedTests.test_free_reference_yielded_future
        @Test func watchedTasksAreReleased() async throws {
            try await withPool(processes: 1) { pool async throws in
                let kept = try await Self.completed(by: pool)
                #expect(try await eventually { kept.task == nil })
            }
        }

        private struct Weak {
            weak var task: PoolTask<Int>?
        }

        private static func completed(by pool: Pool) async throws -> Weak {
            let task = try pool.submit { 1 }
            for try await task in PoolTask.asCompleted([task]) { #expect(try await task.value == 1) }
            return Weak(task: task)
        }
    }
}
