import Multiprocessing
import Testing

extension ProcessTests {
    /// CPython's own tests of conditions. Its semaphores are tallies here.
    @Suite struct ConditionPythonTests {
        // CPython: _TestCondition.test_notify
        @Test(arguments: Backend.allCases) func notifyOne(backend: Backend) async throws {
            try await withStage(backend, count: 2) { stage in
                try stage.condition.withLock { try stage.condition.notify() }
                try stage.expectWoken(1)
                try stage.condition.withLock { try stage.condition.notify() }
                try stage.expectWoken(2)
            }
        }

        // CPython: _TestCondition.test_notify_all
        @Test(arguments: Backend.allCases) func notifyAll(backend: Backend) async throws {
            // First those whose time runs out: they leave nothing behind.
            try await withStage(backend, count: 6, timeout: .milliseconds(100)) { stage in
                try stage.woken.reaches(6)
                try stage.condition.withLock { try stage.condition.notifyAll() }
                try stage.addWaiters(backend, count: 6, timeout: nil)
                try check(stage.woken.count, is: 6)
                try stage.condition.withLock { try stage.condition.notifyAll() }
                try stage.expectWoken(12)
            }
        }

        // CPython: _TestCondition.test_notify_n
        @Test(arguments: Backend.allCases) func notifySeveral(backend: Backend) async throws {
            try await withStage(backend, count: 6) { stage in
                try check(stage.woken.count, is: 0)
                try stage.condition.withLock { try stage.condition.notify(2) }
                try stage.expectWoken(2)
                try stage.condition.withLock { try stage.condition.notify(4) }
                try stage.expectWoken(6)
                // Does nothing more.
                try stage.condition.withLock { try stage.condition.notify(3) }
                try stage.expectWoken(6)
            }
        }

        // CPython: _TestCondition.test_timeout
        @Test func conditionTimeout() async throws {
            let condition = try Condition()
            try await onThread {
                try condition.acquire()
                let start = ContinuousClock.now
                try check(try condition.wait(timeout: .milliseconds(100)), is: false)
                try check(ContinuousClock.now - start >= .milliseconds(100))
                try condition.release()
            }
        }

        // CPython: _TestCondition.test_waitfor
        @Test(arguments: Backend.allCases) func waitForPredicate(backend: Backend) async throws {
            let condition = try Condition()
            try await withTemporaryDirectory { directory in
                let state = try Tally(in: directory, "state")
                try await onThread {
                    let other = try backend.run {
                        try condition.withLock {
                            try state.add()
                            try condition.notify()
                            try check(try condition.wait(timeout: .seconds(30), until: { state.count == 5 }))
                            try check(state.count, is: 5)
                        }
                    }
                    try condition.withLock {
                        try check(try condition.wait(timeout: .seconds(30), until: { state.count == 1 }))
                    }
                    for _ in 0..<4 {
                        pause(.milliseconds(10))
                        try condition.withLock {
                            try state.add()
                            try condition.notify()
                        }
                    }
                    try other.value()
                }
            }
        }

        // CPython: _TestCondition.test_waitfor_timeout
        @Test(arguments: Backend.allCases) func waitForPredicateTimesOut(backend: Backend) async throws {
            let (condition, started) = (try Condition(), try Event())
            try await withTemporaryDirectory { directory in
                let state = try Tally(in: directory, "state")
                try await onThread {
                    let other = try backend.run {
                        started.set()
                        try condition.withLock {
                            let start = ContinuousClock.now
                            let isTrue = try condition.wait(timeout: .milliseconds(100), until: { state.count == 4 })
                            try check(!isTrue)
                            try check(ContinuousClock.now - start >= .milliseconds(100))
                        }
                    }
                    try check(try started.wait(timeout: .seconds(30)))
                    // Three times only, so that four is never reached.
                    for _ in 0..<3 {
                        pause(.milliseconds(10))
                        try condition.withLock {
                            try state.add()
                            try condition.notify()
                        }
                    }
                    try other.value()
                }
            }
        }

        // CPython: _TestCondition.test_wait_result
        // There, a signal interrupts the last wait; here, cancelling the task does.
        @Test(arguments: Backend.allCases) func waitResult(backend: Backend) async throws {
            let condition = try Condition()
            try await condition.acquire()
            #expect(try await condition.wait(timeout: .zero) == false)
            #expect(try await condition.wait(timeout: .milliseconds(100)) == false)
            let other = try backend.run { try condition.withLock { try condition.notify() } }
            #expect(try await condition.wait(timeout: .seconds(50)))
            try condition.release()
            let task = Task { try await condition.withLock { try await condition.wait(timeout: .seconds(50)) } }
            try await Task.sleep(for: .milliseconds(50))
            task.cancel()
            await #expect(throws: CancellationError.self) { try await task.value }
            try await other.value()
        }
    }
}

/// Runs `body` beside waiters that are there already: half of them in the backend, half threads.
private func withStage(
    _ backend: Backend,
    count: Int,
    timeout: Duration? = nil,
    _ body: @escaping @Sendable (inout Stage) throws -> Void
) async throws {
    try await withTemporaryDirectory { directory in
        try await onThread {
            var stage = try Stage(directory)
            try stage.addWaiters(backend, count: count, timeout: timeout)
            if timeout == nil {
                // Nobody wakes by itself.
                pause(.milliseconds(100))
                try check(stage.woken.count, is: 0)
            }
            try body(&stage)
            for waiter in stage.waiters { try waiter.value() }
            try stage.condition.withLock { try check(try stage.condition.wait(timeout: .zero), is: false) }
        }
    }
}

private struct Stage {
    let condition: Condition
    let woken: Tally
    private let sleeping: Tally
    private(set) var waiters: [Backend.Running<Void>] = []

    init(_ directory: String) throws {
        condition = try Condition()
        woken = try Tally(in: directory, "woken")
        sleeping = try Tally(in: directory, "sleeping")
    }

    mutating func addWaiters(_ backend: Backend, count: Int, timeout: Duration?) throws {
        let (condition, woken, sleeping) = (condition, woken, sleeping)
        for index in 0..<count {
            waiters.append(
                try (index % 2 == 0 ? backend : .threads).run {
                    try condition.acquire()
                    try sleeping.add()
                    try condition.wait(timeout: timeout)
                    try woken.add()
                    try condition.release()
                }
            )
        }
        try sleeping.reaches(waiters.count)
        // The last one has the lock until it sleeps.
        try condition.withLock {}
    }

    /// Checks that so many have woken, and stay so many.
    func expectWoken(_ count: Int) throws {
        try woken.reaches(count)
        pause(.milliseconds(100))
        try check(woken.count, is: count)
    }
}
