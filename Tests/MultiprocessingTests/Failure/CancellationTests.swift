import Glibc
import Multiprocessing
import SystemPackage
import Testing

extension ProcessTests {
    /// Cancelling the task that waits for a process ends the process.
    @Suite struct CancellationTests {
        @Test(arguments: [StartMethod.forkServer, .spawn]) func cancellingRunEndsTheChild(method: StartMethod)
            async throws
        {
            let pipe = try PlainPipe()
            var options = ProcessOptions()
            options.startMethod = method
            options.descriptors = [pipe.writing]
            let number = pipe.writing.rawValue
            let setting = options
            let task = Task {
                try await ChildProcess.run(options: setting) { () -> Void in
                    put("\(getpid())\n", to: number)
                    sleepForever()
                }
            }
            let pid = try await onThread { Int32(line(from: pipe.reading.rawValue))! }
            let begin = ContinuousClock.now
            task.cancel()
            await #expect(throws: CancellationError.self) { try await task.value }
            // By the soft signal, long before the grace is over.
            #expect(ContinuousClock.now - begin < .milliseconds(1500))
            #expect(isGone(pid))
            try pipe.writing.close()
            try pipe.reading.close()
        }

        @Test func aChildThatIgnoresTheSoftSignalIsKilledAfterTheGrace() async throws {
            var options = ProcessOptions()
            options.ignoredSignals = [SIGTERM]
            options.terminationGrace = .milliseconds(300)
            let child = try ChildProcess(options: options) { () -> Void in sleepForever() }
            try child.start()
            let task = Task { try await child.value }
            try await Task.sleep(for: .milliseconds(100))
            let begin = ContinuousClock.now
            task.cancel()
            await #expect(throws: CancellationError.self) { try await task.value }
            let passed = ContinuousClock.now - begin
            #expect(passed >= .milliseconds(300) && passed < .seconds(2), "\(passed)")
            #expect(child.exitStatus == .signalled(SIGKILL))
        }

        @Test func aStoppedChildIsEndedToo() async throws {
            let child = try ChildProcess { sleepForever() }
            try child.start()
            try child.send(signal: SIGSTOP)
            let task = Task { try await child.join() }
            try await Task.sleep(for: .milliseconds(50))
            task.cancel()
            await #expect(throws: CancellationError.self) { try await task.value }
            #expect(child.exitStatus == .signalled(SIGTERM))
        }

        @Test func aTaskThatIsCancelledBeforeStartsNothing() async throws {
            let task = Task {
                withUnsafeCurrentTask { $0?.cancel() }
                try await ChildProcess.run { () -> Void in sleepForever() }
            }
            await #expect(throws: CancellationError.self) { try await task.value }
        }

        @Test func manyCancellationsAtOnce() async throws {
            let before = Set(childrenOfThisProcess())
            await withTaskGroup(of: Bool.self) { group in
                for index in 0..<30 {
                    group.addTask {
                        do {
                            try await withThrowingTaskGroup(of: Void.self) { race in
                                race.addTask { try await ChildProcess.run { () -> Void in sleepForever() } }
                                // From before the start to well after it.
                                try await Task.sleep(for: .milliseconds(index * 2))
                                race.cancelAll()
                                try await race.waitForAll()
                            }
                            return false
                        } catch {
                            return error is CancellationError
                        }
                    }
                }
                for await cancelled in group { #expect(cancelled) }
            }
            // Nobody but the server and those kept ready.
            #expect(try await eventually { ChildProcess.activeChildren.isEmpty })
            #expect(try await eventually { Set(childrenOfThisProcess()).subtracting(before).count <= 3 })
        }

        @Test func theOtherWaitersLearnOfTheEnd() async throws {
            let child = try ChildProcess { sleepForever() }
            try child.start()
            let patient = Task { try await child.join() }
            let blocking = Task { try await onThread { try child.join(timeout: .seconds(20)) } }
            let hasty = Task { try await child.join() }
            try await Task.sleep(for: .milliseconds(50))
            hasty.cancel()
            await #expect(throws: CancellationError.self) { try await hasty.value }
            #expect(try await patient.value)
            #expect(try await blocking.value)
        }
    }
}
