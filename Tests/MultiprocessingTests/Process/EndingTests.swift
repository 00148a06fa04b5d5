import Glibc
import Multiprocessing
import SystemPackage
import Testing

extension ProcessTests {
    /// Waiting for processes, and ending them.
    @Suite struct EndingTests {
        // CPython: _TestProcess.test_terminate
        @Test(arguments: StartMethod.allCases) func terminate(method: StartMethod) async throws {
            try await isolated { try endSleeper(method, by: { try $0.terminate() }, signal: SIGTERM) }
        }

        // CPython: _TestProcess.test_kill
        @Test(arguments: StartMethod.allCases) func kill(method: StartMethod) async throws {
            try await isolated { try endSleeper(method, by: { try $0.kill() }, signal: SIGKILL) }
        }

        @Test(arguments: StartMethod.allCases) func interrupt(method: StartMethod) async throws {
            try await isolated { try endSleeper(method, by: { try $0.interrupt() }, signal: SIGINT) }
        }

        // CPython: _TestProcess.test_many_processes
        @Test(arguments: StartMethod.allCases) func manyProcesses(method: StartMethod) async throws {
            let count = method == .spawn ? 20 : 100
            try await isolated {
                let short = try (0..<count).map { index in try ChildProcess(startMethod: method) { index } }
                for child in short { try child.start() }
                for (index, child) in short.enumerated() {
                    try check(child.waitForValue(timeout: .seconds(40)), is: index)
                    try check(child.exitStatus, is: .exited(0))
                }
                let endless = try (0..<count).map { _ in try ChildProcess(startMethod: method) { sleepForever() } }
                for child in endless {
                    try child.start()
                    try child.terminate()
                }
                for child in endless {
                    try check(child.join(timeout: .seconds(40)))
                    try check(child.exitStatus, is: .signalled(SIGTERM))
                    try check(child.exitStatus?.code, is: -15)
                }
            }
        }

        // CPython: _TestProcess.test_parent_process
        // Adapted: CPython's grandchild sees its parent go from alive to dead. Here it does not see it: it goes along.
        @Test(arguments: StartMethod.allCases) func grandchildGoesWithItsParent(method: StartMethod) async throws {
            try await isolated {
                let pipe = try PlainPipe()
                var options = ProcessOptions()
                options.startMethod = method
                options.descriptors = [pipe.writing]
                let output = pipe.writing.rawValue
                let child = try ChildProcess(options: options) {
                    var options = ProcessOptions()
                    options.startMethod = method
                    options.descriptors = [.init(rawValue: output)]
                    let grandchild = try ChildProcess(options: options) {
                        put("\(getpid())\n", to: output)
                        sleepForever()
                    }
                    try grandchild.start()
                    sleepForever()
                }
                try child.start()
                try check(isReadable(pipe.reading.rawValue, within: 20_000))
                let pid = Int32(line(from: pipe.reading.rawValue))!
                try check(!isGone(pid))
                try child.terminate()
                try check(child.join(timeout: .seconds(20)))
                try check(eventually(within: .seconds(1)) { isGone(pid) }, "a grandchild outlived its parent")
            }
        }

        // CPython: _TestPollEintr.test_poll_eintr
        @Test(arguments: StartMethod.allCases) func signalDoesNotBreakJoin(method: StartMethod) async throws {
            try await isolated {
                signal(SIGUSR1) { _ in }
                let parent = getpid()
                let child = try ChildProcess(startMethod: method) {
                    for _ in 0..<5 {
                        pause(.milliseconds(40))
                        Glibc.kill(parent, SIGUSR1)
                    }
                }
                try child.start()
                try check(child.join(timeout: .seconds(20)))
                try check(child.exitStatus, is: .exited(0))
            }
        }

        @Test(arguments: StartMethod.allCases) func joinWithTimeout(method: StartMethod) async throws {
            try await isolated {
                let child = try ChildProcess(startMethod: method) { sleepForever() }
                try child.start()
                let begin = ContinuousClock.now
                try check(!child.join(timeout: .milliseconds(150)))
                let passed = ContinuousClock.now - begin
                try check(passed >= .milliseconds(150) && passed < .seconds(5), "waited \(passed)")
                try check(throws: .timedOut) { _ = try child.waitForValue(timeout: .milliseconds(10)) }
                try check(child.isAlive)
                try child.kill()
                try check(child.join(timeout: .seconds(20)))
                // As often as one likes.
                try check(child.join())
                try check(child.join(timeout: .seconds(-1)))
                try child.terminate()
                try child.kill()
                try check(child.exitStatus, is: .signalled(SIGKILL))
            }
        }

        @Test(arguments: [StartMethod.forkServer, .spawn]) func asynchronousJoinWithTimeout(method: StartMethod)
            async throws
        {
            let child = try ChildProcess(startMethod: method) { sleepForever() }
            try child.start()
            #expect(try await !child.join(timeout: .zero))
            let begin = ContinuousClock.now
            #expect(try await !child.join(timeout: .milliseconds(150)))
            #expect(ContinuousClock.now - begin >= .milliseconds(150))
            try child.kill()
            #expect(try await child.join(timeout: .seconds(20)))
            #expect(try await child.join(timeout: .zero))
            #expect(child.exitStatus == .signalled(SIGKILL))
        }

        @Test(arguments: StartMethod.allCases) func waitForAnyOfSeveral(method: StartMethod) async throws {
            try await isolated {
                let children = try (0..<3).map { _ in try ChildProcess(startMethod: method) { sleepForever() } }
                for child in children { try child.start() }
                let handles = try children.map { try $0.handle }
                try check(ProcessHandle.waitAny(of: handles, timeout: .milliseconds(100)), is: [])
                try children[1].terminate()
                try check(ProcessHandle.waitAny(of: handles, timeout: .seconds(20)), is: [handles[1]])
                try children[0].terminate()
                try check(children[0].join(timeout: .seconds(20)))
                try check(ProcessHandle.waitAny(of: handles, timeout: .seconds(20)), is: [handles[0], handles[1]])
                try children[2].terminate()
                try check(children[2].join(timeout: .seconds(20)))
                try check(ProcessHandle.waitAny(of: handles), is: handles)
            }
        }

        // CPython: TestWait.test_wait_timeout
        @Test(arguments: StartMethod.allCases) func waitForAnyTimesOut(method: StartMethod) async throws {
            try await isolated {
                let child = try ChildProcess(startMethod: method) { sleepForever() }
                try child.start()
                let begin = ContinuousClock.now
                try check(ProcessHandle.waitAny(of: [child.handle], timeout: .milliseconds(300)), is: [])
                let passed = ContinuousClock.now - begin
                try check(passed >= .milliseconds(300) && passed < .seconds(5), "waited \(passed)")
                try child.kill()
                try check(ProcessHandle.waitAny(of: [child.handle], timeout: .seconds(20)).count, is: 1)
            }
        }

        // CPython: TestWait.test_neg_timeout
        @Test func waitForAnyWithANegativeTimeoutLooksOnce() async throws {
            try await isolated {
                let child = try ChildProcess { sleepForever() }
                try child.start()
                let begin = ContinuousClock.now
                try check(ProcessHandle.waitAny(of: [child.handle], timeout: .seconds(-1)), is: [])
                try check(ContinuousClock.now - begin < .milliseconds(500))
                try check(ProcessHandle.waitAny(of: [], timeout: nil), is: [])
                try child.kill()
            }
        }

        @Test func asynchronousWaitForAny() async throws {
            let children = try (0..<3).map { _ in try ChildProcess { sleepForever() } }
            for child in children { try child.start() }
            let handles = try children.map { try $0.handle }
            #expect(try await ProcessHandle.waitAny(of: handles, timeout: .seconds(-1)).isEmpty)
            #expect(try await ProcessHandle.waitAny(of: handles, timeout: .milliseconds(50)).isEmpty)
            try children[2].terminate()
            #expect(try await ProcessHandle.waitAny(of: handles, timeout: .seconds(20)) == [handles[2]])
            // A waiting task that is cancelled ends nobody.
            let waiting = Task { try await ProcessHandle.waitAny(of: Array(handles[..<2])) }
            try await Task.sleep(for: .milliseconds(50))
            waiting.cancel()
            await #expect(throws: CancellationError.self) { try await waiting.value }
            #expect(children[0].isAlive && children[1].isAlive)
            for child in children {
                try child.kill()
                try await child.join()
            }
        }

        @Test(arguments: StartMethod.allCases) func aStoppedProcessIsAliveAndCanBeKilled(method: StartMethod)
            async throws
        {
            try await isolated {
                let child = try ChildProcess(startMethod: method) { sleepForever() }
                try child.start()
                try child.send(signal: SIGSTOP)
                try check(eventually { state(of: child.processIdentifier!) == "T" })
                try check(child.isAlive)
                try check(!child.join(timeout: .milliseconds(50)))
                try child.kill()
                try check(child.join(timeout: .seconds(20)))
                try check(child.exitStatus, is: .signalled(SIGKILL))
            }
        }

        @Test(arguments: StartMethod.allCases) func droppedHandlesLeaveNoZombie(method: StartMethod) async throws {
            try await isolated {
                for _ in 0..<10 { try ChildProcess(startMethod: method) { pause(.milliseconds(30)) }.start() }
                try check(ChildProcess.activeChildren.count > 0)
                try check(eventually { ChildProcess.activeChildren.isEmpty && zombies().isEmpty }, "\(zombies())")
            }
        }

        @Test(arguments: StartMethod.allCases) func manyThreadsJoinOneProcess(method: StartMethod) async throws {
            try await isolated { @concurrent () async throws -> Void in
                let child = try ChildProcess(startMethod: method == .fork ? .forkServer : method) {
                    pause(.milliseconds(100))
                }
                try child.start()
                try await withThrowingTaskGroup(of: Bool.self) { group in
                    for index in 0..<40 {
                        group.addTask {
                            if index.isMultiple(of: 2) { return try await child.join(timeout: .seconds(20)) }
                            return try await onThread { try child.join(timeout: .seconds(20)) }
                        }
                    }
                    for try await joined in group { try check(joined) }
                }
                try check(child.exitStatus, is: .exited(0))
            }
        }
    }
}

/// Starts a process that sleeps, ends it, and looks at how it ended.
private func endSleeper(
    _ method: StartMethod,
    by end: (ProcessHandle) throws -> Void,
    signal: Int32
) throws {
    let child = try ChildProcess(startMethod: method) { sleepForever() }
    try child.start()
    try check(child.isAlive)
    for timeout in [Duration.zero, .seconds(-1)] {
        let begin = ContinuousClock.now
        try check(!child.join(timeout: timeout))
        try check(ContinuousClock.now - begin < .milliseconds(500))
    }
    try check(child.isAlive)
    // Once it runs: a child that is still being set up would be no test of a running one.
    pause(.milliseconds(50))
    try end(child.handle)
    try check(child.join(timeout: .seconds(20)))
    try check(!child.isAlive)
    try check(child.exitStatus, is: .signalled(signal))
    try check(child.crash?.signal, is: signal)
}
