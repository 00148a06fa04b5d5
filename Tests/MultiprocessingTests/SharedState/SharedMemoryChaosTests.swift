import Foundation
import Glibc
import Multiprocessing
import Testing

extension ProcessTests {
    /// Kills a process at every step of every protocol of shared memory, one after the other.
    @Suite(.enabled(if: Chaos.isAvailable, "this build has no steps to be killed at"))
    struct SharedMemoryChaosTests {
        /// Runs `body` in a child that is killed at its first, second, … step, until one gets through; `check` after each.
        ///
        /// - Returns: how many steps there are.
        @discardableResult
        private func killedAtEveryStep(
            _ method: StartMethod = .forkServer,
            _ body: @escaping @Sendable (_ step: Int) throws -> Void,
            check: (_ step: Int, _ isKilled: Bool) async throws -> Void
        ) async throws -> Int {
            for step in 0..<100 {
                let child = try ChildProcess(startMethod: method) { () -> Bool in
                    Chaos.arm(.kill, atStep: step, anyThread: true)
                    defer { Chaos.disarm() }
                    try body(step)
                    return true
                }
                try child.start()
                try await child.join()
                let isKilled = child.exitStatus == .signalled(SIGKILL)
                if !isKilled { #expect(try await child.value) }
                try await check(step, isKilled)
                if !isKilled { return step }
            }
            Issue.record("It never gets through")
            return 0
        }

        @Test(arguments: StartMethod.allCases)
        func makingUsingAndLeavingASegment(_ method: StartMethod) async throws {
            let name = freshName("chaos")
            let steps = try await killedAtEveryStep(method) { step in
                let memory = try SharedMemory(name: "\(name)-\(step)", size: 5000)
                let other = try SharedMemory(attaching: "\(name)-\(step)")
                try other.withMutableSpan(of: UInt8.self) { $0[4999] = 1 }
                other.close()
                memory.close()
            } check: { step, _ in
                let isGone = try await eventually { !segmentExists("\(name)-\(step)") }
                #expect(isGone, "left after step \(step)")
                // The name is free at once, whatever is left of its tracker.
                _ = try await SharedMemory(name: "\(name)-\(step)", size: 1)
            }
            #expect(steps >= 9)
        }

        @Test func unlinking() async throws {
            let name = freshName("chaos")
            let steps = try await killedAtEveryStep { step in
                let memory = try SharedMemory(name: "\(name)-\(step)", size: 5000)
                try memory.unlink()
                memory.close()
            } check: { step, _ in
                let isGone = try await eventually { !segmentExists("\(name)-\(step)") }
                #expect(isGone, "left after step \(step)")
            }
            #expect(steps >= 6)
        }

        /// Whoever is killed while it attaches or leaves does not take the segment from the others.
        @Test func attachingToASegmentOfOthers() async throws {
            let memory = try await SharedMemory(name: nil, size: 10)
            let name = memory.name!
            try await killedAtEveryStep { _ in
                try SharedMemory(attaching: name).close()
            } check: { _, _ in
                #expect(segmentExists(name))
                let count = try await SharedMemory(attaching: name).count
                #expect(count == 10)
            }
            memory.close()
            #expect(!segmentExists(name))
        }

        /// Its maker has gone before: the one who is killed is the last user.
        @Test func theLastUserIsKilled() async throws {
            let name = freshName("chaos")
            try await killedAtEveryStep { step in
                let text = "\(name)-\(step)"
                let maker = try ChildProcess { try SharedMemory(name: text, size: 10) }
                try maker.start()
                let memory = try maker.waitForValue(timeout: .seconds(20))
                memory.close()
            } check: { step, _ in
                let isGone = try await eventually { !segmentExists("\(name)-\(step)") }
                #expect(isGone, "left after step \(step)")
            }
        }

        @Test func theTrackerIsKilledMeanwhile() async throws {
            let name = freshName("chaos")
            try await killedAtEveryStep { step in
                let first = try SharedMemory(name: "\(name)-\(step)", size: 10)
                if let tracker = TrackerProbe.processIdentifier { kill(tracker, SIGKILL) }
                let second = try SharedMemory(name: "\(name)-\(step)-second", size: 10)
                first.close()
                second.close()
            } check: { step, isKilled in
                guard !isKilled else {
                    // With its tracker killed, a name of its own choice may stay, but it is in nobody's way.
                    for text in ["\(name)-\(step)", "\(name)-\(step)-second"] {
                        _ = try await SharedMemory(name: text, size: 1)
                        #expect(!segmentExists(text))
                    }
                    return
                }
                #expect(!segmentExists("\(name)-\(step)") && !segmentExists("\(name)-\(step)-second"))
            }
        }

        struct Wide: BitwiseCopyable, Sendable {
            var words: InlineArray<9, Int>
            init(_ value: Int) { words = InlineArray(repeating: value) }
            var whole: Int? { words.indices.allSatisfy { words[$0] == words[0] } ? words[0] : nil }
        }

        @Test(arguments: StartMethod.allCases) func values(_ method: StartMethod) async throws {
            let value = try SharedValue(Wide(-1))
            let steps = try await killedAtEveryStep(method) { step in
                value.value = Wide(2 * step)
                try value.withLock { $0 = Wide($0.words[0] + 1) }
            } check: { step, isKilled in
                // Nothing, the first, or both; never a part.
                let found = value.value.whole
                #expect(found != nil && [-1, 2 * step, 2 * step + 1].contains(found!))
                #expect(isKilled || found == 2 * step + 1)
                try await value.set(Wide(-1), timeout: .seconds(20))
                #expect(value.value.whole == -1)
            }
            #expect(steps >= 6)
        }

        @Test func arrays() async throws {
            let array = try SharedArray<Int>(count: 2)
            var abandoned = 0
            let steps = try await killedAtEveryStep { _ in
                try array.withLock { span in span[0] += 1 }
                try array.withLock { span in span[1] += 1 }
            } check: { _, _ in
                _ = try await array.withLock(timeout: .seconds(20)) { $0[0] = 0 }
                #expect(array.abandonments >= abandoned && array.abandonments <= abandoned + 1)
                abandoned = array.abandonments
            }
            #expect(steps >= 2 && abandoned >= 2)
        }

        @Test(arguments: StartMethod.allCases) func lists(_ method: StartMethod) async throws {
            let list = try SharedList(["before", 1], slotSize: 40)
            let steps = try await killedAtEveryStep(method) { step in
                try list.set(.string("after step \(step)\0"), at: 0)
                try list.set(.bytes([UInt8(step), 0]), at: 1)
            } check: { step, isKilled in
                let first = try await list.element(at: 0)
                let second = try await list.element(at: 1)
                #expect(first == "before" || first == .string("after step \(step)\0"))
                #expect(second == 1 || second == .bytes([UInt8(step), 0]))
                #expect(second == 1 || first != "before")
                #expect(isKilled || second != 1)
                try await list.set("before", at: 0)
                try await list.set(1, at: 1)
            }
            #expect(steps >= 10)
        }

        /// A repairer that is killed as well.
        @Test func listsWithKilledRepairers() async throws {
            let list = try SharedList(["before"], slotSize: 40)
            let steps = try await killedAtEveryStep { _ in
                _ = try list[0]
                try list.set("after", at: 0)
            } check: { _, _ in
                // Nobody looks in between: the next child repairs, and is killed one step later.
            }
            #expect(steps >= 5)
            #expect(try await list.element(at: 0) == "after")
        }
    }
}
