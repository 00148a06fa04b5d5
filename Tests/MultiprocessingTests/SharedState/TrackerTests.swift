import Foundation
import Glibc
import Multiprocessing
import Testing

/// A program with named segments: what it said at its start.
private struct Holder {
    let scenario: Scenario
    var names: [String] = []
    var trackers: [Int32] = []
    var child: Int32?

    init(_ arguments: String...) throws {
        // Crashes are meant here, and quickly.
        scenario = try Scenario(["segments"] + arguments, environment: ["SWIFT_BACKTRACE": "enable=no"])
        while case let line = scenario.nextLine(), line != "ready" {
            let words = line.split(separator: " ")
            switch words.first {
            case "name": names.append(String(words[1]))
            case "tracker":
                trackers.append(Int32(words[1])!)
                // Anything else would be a group, or everybody.
                try check(trackers.last! > 1, line)
            case "child": child = Int32(words[1])!
            default: throw CheckFailure(text: "\(line) \(scenario.finish())", place: "Holder")
            }
        }
        // Those that leave may have done so.
        try check(arguments[0] == "leave" || names.allSatisfy(segmentExists))
    }

    var tracker: Int32 { trackers[0] }

    func end(by signal: Int32) {
        kill(scenario.processIdentifier, signal)
    }

    /// Whether all is gone that it had, the tracker included.
    func leavesNothing(within limit: Duration = .seconds(10)) -> Bool {
        eventually(within: limit) { !names.contains(where: segmentExists) && trackers.allSatisfy(isGone) }
    }
}

extension ProcessTests {
    /// The helper process that removes the named segments of programs that were killed.
    @Suite struct TrackerTests {
        // CPython: TestResourceTracker.test_resource_tracker
        // CPython: _TestSharedMemory.test_shared_memory_cleaned_after_process_termination
        // Adapted: nothing is written about it; the removal is what users want to have happened.
        @Test(arguments: [SIGTERM, SIGKILL, SIGINT, SIGSEGV])
        func aKilledProgramLeavesNothing(signal: Int32) throws {
            let holder = try Holder("hold", "2")
            holder.end(by: signal)
            #expect(holder.leavesNothing())
            // Also says that the tracker does not have its streams.
            let end = holder.scenario.finish()
            #expect(end.errors.isEmpty || signal == SIGSEGV, "\(end.errors)")
            #expect(end.output.isEmpty)
        }

        @Test(arguments: ["clean", "closed", "leak", "trap"])
        func endings(how: String) throws {
            let holder = try Holder("leave", how)
            let begin = ContinuousClock.now
            let end = holder.scenario.finish()
            #expect(ContinuousClock.now - begin < .seconds(20))
            if how != "trap" { #expect(end.errors.isEmpty, "\(end.errors)") }
            #expect(holder.leavesNothing())
        }

        // CPython: TestResourceTracker.test_resource_tracker_sigint, TestResourceTracker.test_resource_tracker_sigterm
        @Test(arguments: [SIGINT, SIGTERM, SIGHUP])
        func trackerSurvivesSoftSignals(signal: Int32) throws {
            let holder = try Holder("hold", "1")
            kill(holder.tracker, signal)
            pause(.milliseconds(50))
            #expect(!isGone(holder.tracker))
            holder.end(by: SIGKILL)
            #expect(holder.leavesNothing())
        }

        // CPython: TestResourceTracker.test_resource_tracker_sigkill
        // Adapted: the replacement is silent, and is told of what the one before knew.
        @Test func aKilledTrackerIsReplaced() async throws {
            let left = try await isolated {
                let first = try SharedMemory(name: nil, size: 10)
                let tracker = TrackerProbe.processIdentifier!
                kill(tracker, SIGKILL)
                try check(eventually { isGone(tracker) })
                let second = try SharedMemory(name: nil, size: 10)
                try check(TrackerProbe.processIdentifier != tracker)
                let names = [first.name!, second.name!]
                return try withExtendedLifetime((first, second)) { () -> [String] in
                    try check(names.allSatisfy(segmentExists))
                    return names
                }
            }
            #expect(try await eventually { !left.contains(where: segmentExists) })
        }

        @Test func aStoppedTrackerHoldsNobodyUp() async throws {
            try await isolated {
                let first = try SharedMemory(name: nil, size: 10)
                let tracker = TrackerProbe.processIdentifier!
                kill(tracker, SIGSTOP)
                // More than a socket holds.
                for _ in 0..<1000 { _ = try SharedMemory(name: nil, size: 10) }
                try check(segmentExists(first.name!))
                kill(tracker, SIGKILL)
            }
        }

        // CPython: TestResourceTracker.test_resource_tracker_reused
        @Test(arguments: StartMethod.allCases)
        func childrenUseTheTrackerOfTheirParent(method: StartMethod) async throws {
            try await isolated { () async throws in
                let own = try await SharedMemory(name: nil, size: 10)
                let tracker = TrackerProbe.processIdentifier
                try check(tracker != nil)
                let child = try ChildProcess(startMethod: method) { () -> Int32? in
                    let piece = try SharedMemory(name: nil, size: 10)
                    return withExtendedLifetime(piece) { TrackerProbe.processIdentifier }
                }
                try child.start()
                try await check(child.value == tracker)
                withExtendedLifetime(own) {}
            }
        }

        @Test(arguments: StartMethod.allCases)
        func everybodyIsKilled(method: StartMethod) throws {
            let holder = try Holder("family", "\(method)")
            #expect(holder.names.count == 2)
            kill(holder.child!, SIGKILL)
            holder.end(by: SIGKILL)
            #expect(holder.leavesNothing())
        }

        /// The tracker as well: then the next program that has named segments does it.
        @Test func everybodyAndTheTrackerAreKilled() throws {
            let holder = try Holder("hold", "3")
            kill(holder.tracker, SIGKILL)
            holder.end(by: SIGKILL)
            _ = holder.scenario.finish()
            #expect(holder.names.allSatisfy(segmentExists))
            let next = try Holder("hold", "1")
            #expect(eventually { !holder.names.contains(where: segmentExists) })
            next.end(by: SIGKILL)
            #expect(next.leavesNothing())
        }

        /// A name of the user's choice is free again when it is wanted next.
        @Test func aLeftoverOfTheDeadDoesNotKeepAName() throws {
            let name = freshName()
            let first = try Holder("create", name)
            kill(first.tracker, SIGKILL)
            first.end(by: SIGKILL)
            _ = first.scenario.finish()
            #expect(segmentExists(name))
            let second = try Holder("create", name)
            // While that lives it is taken.
            try check(fails: .exists) { _ = try SharedMemory(name: name, size: 1) }
            second.end(by: SIGKILL)
            #expect(eventually { !segmentExists(name) })
        }

        // CPython: _TestSharedMemory.test_shared_memory_untracking, _TestSharedMemory.test_shared_memory_tracking
        // Adapted: an attached program that exits never takes the segment along, while others use it.
        @Test func anUnrelatedUserThatExitsTakesNothingAlong() throws {
            let memory = try SharedMemory(name: nil, size: 10)
            try memory.withMutableSpan(of: UInt8.self) { $0[0] = 5 }
            #expect(try Scenario(["segments", "attach", memory.name!]).finish().output == "found 5\n")
            pause(.milliseconds(100))
            #expect(segmentExists(memory.name!))
            // And while its maker is gone but another has it, it stays.
            let holder = try Holder("hold", "1")
            let attached = try SharedMemory(attaching: holder.names[0])
            holder.end(by: SIGKILL)
            _ = holder.scenario.finish()
            pause(.milliseconds(300))
            #expect(segmentExists(holder.names[0]))
            attached.close()
            #expect(holder.leavesNothing())
        }

        // CPython: TestResourceTracker.test_resource_tracker_exit_code
        // Adapted: the tracker is nobody's child, so whoever wants its status becomes the parent of orphans.
        @Test(arguments: [("clean", Int32(0)), ("leak", 1)])
        func trackerExitCode(how: String, code: Int32) async throws {
            try await isolated {
                try check(becomeParentOfOrphans())
                let holder = try Holder("leave", how)
                _ = holder.scenario.finish()
                var status: Int32 = 0
                try check(
                    eventually(within: .seconds(10)) { waitpid(holder.tracker, &status, WNOHANG) == holder.tracker }
                )
                try check(status, is: code << 8)
            }
        }

        // CPython: TestResourceTracker.test_too_long_name_resource
        @Test func tooLongNames() throws {
            let name = String(repeating: "a", count: 600)
            try check(fails: .invalidArgument) { _ = try SharedMemory(name: name, size: 1) }
        }

        // CPython: _TestSharedMemory.test_shared_memory_SharedMemoryServer_ignores_sigint
        // Adapted: the helper is the tracker. It is in another session, so a terminal's Ctrl-C cannot even reach it.
        @Test func helperIgnoresCtrlC() async throws {
            try await isolated {
                var before = sigaction()
                sigaction(SIGINT, nil, &before)
                let memory = try SharedMemory(name: nil, size: 10)
                let tracker = TrackerProbe.processIdentifier!
                try check(getsid(tracker), is: tracker)
                kill(tracker, SIGINT)
                pause(.milliseconds(50))
                try check(!isGone(tracker) && segmentExists(memory.name!))
                var after = sigaction()
                sigaction(SIGINT, nil, &after)
                try check(
                    unsafeBitCast(before.__sigaction_handler.sa_handler, to: Int.self)
                        == unsafeBitCast(after.__sigaction_handler.sa_handler, to: Int.self)
                )
            }
        }

        // CPython: _TestSharedMemory.test_shared_memory_SharedMemoryManager_reuses_resource_tracker
        @Test func aCleanProgramSaysNothing() throws {
            let holder = try Holder("leave", "clean")
            let end = holder.scenario.finish()
            #expect(end.errors.isEmpty)
            #expect(end.status == 0)
            #expect(holder.leavesNothing())
        }
    }
}

/// Has orphans of this process's descendants reparented to it: prctl(PR_SET_CHILD_SUBREAPER), which Swift cannot see.
private func becomeParentOfOrphans() -> Bool {
    typealias Prctl = @convention(c) (Int32, UInt, UInt, UInt, UInt) -> Int32
    guard let symbol = dlsym(nil, "prctl") else { return false }
    return unsafeBitCast(symbol, to: Prctl.self)(36, 1, 0, 0, 0) == 0
}
