import Foundation
import MultiprocessingTestKit
import Testing

@testable import Multiprocessing

extension ProcessTests {
    /// A process dies at every step of every operation: the others go on, and what was committed is there.
    @Suite(.enabled(if: ChaosPlan.isAvailable)) struct QueueChaosTests {
        /// Whatever happened: the queue takes and gives, in order, and its numbers agree.
        private static func works(_ queue: Queue<[UInt8]>) async throws {
            try check(queue.count, is: 0)
            for size in [1, 20_000, 3000] {
                try await queue.put([UInt8](repeating: 1, count: size), timeout: .seconds(10))
            }
            try check(queue.count, is: 3)
            for size in [1, 20_000, 3000] {
                let count = try await queue.get(timeout: .seconds(10)).count
                try check(count, is: size)
            }
            try check(queue.isEmpty && !queue.isFull)
            let isHeld = queue.core.count(of: .taken, .leasing, .leased, .returned) > 0
            try check(!isHeld)
        }

        private static func queue() throws -> Queue<[UInt8]> { try Queue(maximumBytes: 100_000) }

        /// A queue whose next put does not fit before the end of the ring, or that jumps back to the start.
        private static func queue(at offset: Int) async throws -> Queue<[UInt8]> {
            let queue = try queue()
            try await queue.put([UInt8](repeating: 0, count: offset))
            _ = try await queue.get()
            return queue
        }

        @Test(arguments: [0, 60_000, 70_000, 99_000], [5, 50_000]) func put(offset: Int, size: Int) async throws {
            let report = try await killAtEveryStep {
                try await Self.queue(at: offset)
            } operation: { queue in
                try queue.put([UInt8](repeating: 2, count: size), timeout: .seconds(10))
            } survivors: { queue, death in
                let count = try queue.count
                try check(count == 1 || count == 0 && death != nil)
                try await queue.put([3], timeout: .seconds(10))
                if count == 1 {
                    let bytes = try await queue.get(timeout: .seconds(10))
                    try check(bytes == [UInt8](repeating: 2, count: size))
                }
                let second = try await queue.get(timeout: .seconds(10))
                try check(second == [3])
                try await Self.works(queue)
            }
            #expect(report.steps.contains("queue.put.written"))
        }

        /// Back to the start of the ring while something behind it is still needed.
        @Test func putBeforeAHold() async throws {
            let report = try await killAtEveryStep {
                let queue = try Queue<[UInt8]>(maximumBytes: 400_000)
                for (value, size) in [(0, 120_000), (1, 30_000)] {
                    try await queue.put([UInt8](repeating: UInt8(value), count: size))
                }
                _ = try await queue.get()
                try await queue.lease().release()
                return queue
            } operation: { queue in
                try queue.put([UInt8](repeating: 2, count: 50_000), timeout: .seconds(10))
            } survivors: { queue, death in
                let count = try queue.count
                try check(count == 2 || count == 1 && death != nil)
                try await queue.put([3], timeout: .seconds(10))
                var found: [[UInt8]] = []
                for _ in 0...count { found.append(try await queue.get(timeout: .seconds(10))) }
                let second = count == 2 ? [[UInt8](repeating: 2, count: 50_000)] : []
                try check(found == [[UInt8](repeating: 1, count: 30_000)] + second + [[3]])
                try await Self.works(queue)
            }
            #expect(report.steps.contains("queue.put.jumping"))
        }

        /// A producer that has looked and found the queue open, and is held up until after the shutdown.
        @Test(arguments: [false, true]) func noPutAfterShutdown(isImmediate: Bool) async throws {
            let queue = try Self.queue()
            let child = try Backend.forkServer.run {
                Chaos.arm(Chaos.Plan(.delay, .named("queue.put.entered", occurrence: 0), pause: .seconds(2)))
                defer { Chaos.disarm() }
                try check(queueThrows: .shutDown) { try queue.put([1], timeout: .seconds(10)) }
            }
            let limit = ContinuousClock.now + .seconds(10)
            let producerGuard = queue.core.memory.producerGuard
            while producerGuard.takeIfUncontended(), ContinuousClock.now < limit {
                producerGuard.release()
                try await Task.sleep(for: .milliseconds(1))
            }
            try queue.shutdown(immediate: isImmediate)
            try await child.value()
            #expect(try queue.count == 0)
            try check(queueThrows: .shutDown) { _ = try queue.getImmediately() }
            #expect(try await queue.join(timeout: .seconds(10)))
        }

        @Test func putBatch() async throws {
            try await killAtEveryStep {
                try Self.queue()
            } operation: { queue in
                try queue.put(contentsOf: [[1], [2], [3]], timeout: .seconds(10))
            } survivors: { queue, _ in
                // All or none.
                let found = try await queue.get(upTo: 10, timeout: .zero)
                try check(found == [] || found == [[1], [2], [3]], "\(found)")
                try await Self.works(queue)
            }
        }

        @Test func putHandle() async throws {
            try await killAtEveryStep {
                Pair(outer: try Queue(), inner: try Queue())
            } operation: { pair in
                try pair.outer.put(pair.inner, timeout: .seconds(10))
            } survivors: { pair, _ in
                // Packets of items that never came to be are skipped.
                let other = try Queue<Int>()
                try await other.put(17)
                let wasPut = try pair.outer.count == 1
                try await pair.outer.put(other, timeout: .seconds(10))
                if wasPut {
                    let inner = try await pair.outer.get(timeout: .seconds(10))
                    try await inner.put(1)
                    try check(pair.inner.getImmediately(), is: 1)
                }
                let second = try await pair.outer.get(timeout: .seconds(10))
                try check(second.getImmediately(), is: 17)
            }
        }

        @Test func getHandle() async throws {
            try await killAtEveryStep {
                let pair = Pair(outer: try Queue(), inner: try Queue())
                for _ in 0..<2 { try await pair.outer.put(pair.inner) }
                return pair
            } operation: { pair in
                _ = try pair.outer.get(timeout: .seconds(10))
            } survivors: { pair, _ in
                let other = try Queue<Int>()
                try await other.put(17)
                try await pair.outer.put(other, timeout: .seconds(10))
                var last: Queue<Int>?
                var count = 0
                while let inner = try? await pair.outer.get(timeout: .milliseconds(100)) {
                    last = inner
                    count += 1
                }
                // One at most went with the dead.
                try check(count == 2 || count == 3, "\(count) arrived")
                try check(last?.getImmediately(), is: 17)
                try check(pair.outer.isEmpty)
            }
        }

        @Test(arguments: [1, 20_000]) func get(size: Int) async throws {
            let report = try await killAtEveryStep {
                let queue = try Self.queue()
                for number in 1...3 { try await queue.put([UInt8](repeating: UInt8(number), count: size)) }
                return queue
            } operation: { queue in
                _ = try queue.get(timeout: .seconds(10))
            } survivors: { queue, _ in
                var found: [UInt8] = []
                for _ in 0..<(try queue.count) { found.append(try await queue.get(timeout: .seconds(10))[0]) }
                try check(found == [1, 2, 3] || found == [2, 3], "\(found)")
                // Until somebody has looked, the bytes may count as being decoded.
                try await Task.sleep(for: .milliseconds(110))
                _ = try? await queue.get(timeout: .milliseconds(20))
                try await Self.works(queue)
            }
            #expect(report.steps.contains("queue.head.committed"))
        }

        @Test func getBatch() async throws {
            try await killAtEveryStep {
                let queue = try Self.queue()
                for number in 1...4 { try await queue.put([UInt8(number)]) }
                return queue
            } operation: { queue in
                _ = try queue.get(upTo: 3, timeout: .seconds(10))
            } survivors: { queue, _ in
                let found = try await queue.get(upTo: 10, timeout: .zero)
                try check(found.last == [4] && found == found.sorted { $0[0] < $1[0] }, "\(found)")
                try await Self.works(queue)
            }
        }

        @Test(arguments: [1, 20_000], [LeaseEnd.complete, .release, .renew, .none])
        func lease(size: Int, end: LeaseEnd) async throws {
            try await killAtEveryStep {
                let queue = try Self.queue()
                for number in 1...3 { try await queue.put([UInt8](repeating: UInt8(number), count: size)) }
                if end == .renew { try await queue.lease().release() }
                return queue
            } operation: { queue in
                let lease = try queue.lease(for: .seconds(60), timeout: .seconds(10))
                switch end {
                case .complete, .renew: try lease.complete()
                case .release: try lease.release()
                case .none: break
                }
            } survivors: { queue, death in
                // Nothing is lost: what the dead held comes back, as soon as that was noticed, unless it was completed.
                var found: [UInt8] = []
                while try await !queue.join(timeout: .zero) {
                    let lease = try await queue.lease(timeout: .seconds(10))
                    found.append(lease.value[0])
                    try lease.complete()
                }
                let wasCompleted =
                    death == nil && (end == .complete || end == .renew) || death == "queue.lease.completed"
                try check(found.sorted() == (wasCompleted ? [2, 3] : [1, 2, 3]), "\(found) after \(death ?? "none")")
                try await Self.works(queue)
            }
        }

        enum LeaseEnd: Codable, Sendable { case complete, release, renew, none }

        @Test func deadLetters() async throws {
            try await killAtEveryStep {
                let queue = try Queue<[UInt8]>(maximumBytes: 100_000, maximumDeliveries: 1)
                for number in 1...2 { try await queue.put([UInt8(number)]) }
                try await queue.lease().release()
                return queue
            } operation: { queue in
                try queue.lease(timeout: .seconds(10)).release()
                _ = try queue.deadLetters()
            } survivors: { queue, _ in
                while try await !queue.join(timeout: .milliseconds(600)) {
                    try await queue.lease(timeout: .seconds(10)).release()
                }
                try check(queue.deadLetters().count <= 2)
                try await Self.works(queue)
            }
        }

        @Test func makingRoom() async throws {
            try await killAtEveryStep {
                let queue = try Queue<[UInt8]>(maximumBytes: 16_384, maximumDeliveries: 100)
                try await queue.put([UInt8](repeating: 7, count: 1500))
                let lease = try await queue.lease()
                for _ in 0..<4 { try await queue.put([UInt8](repeating: 8, count: 3000)) }
                for _ in 0..<3 { _ = try await queue.get() }
                return RoomState(queue: queue, keeping: Kept(lease))
            } operation: { state in
                // Does not fit unless the lease is moved.
                try state.queue.put([UInt8](repeating: 9, count: 9000), timeout: .seconds(10))
            } survivors: { state, _ in
                let queue = state.queue
                let count = try queue.count
                for size in [3000, 9000].prefix(count) {
                    let found = try await queue.get(timeout: .seconds(10)).count
                    try check(found, is: size)
                }
                try state.keeping?.lease.release()
                let bytes = try await queue.get(timeout: .seconds(10))
                try check(bytes == [UInt8](repeating: 7, count: 1500), "the leased bytes were damaged")
                try await queue.put([UInt8](repeating: 9, count: 9000), timeout: .seconds(10))
                let found = try await queue.get(timeout: .seconds(10)).count
                try check(found, is: 9000)
            }
        }

        @Test func doneAndJoin() async throws {
            try await killAtEveryStep {
                let queue = try Self.queue()
                for _ in 0..<2 { try await queue.put([1]) }
                for _ in 0..<2 { _ = try await queue.get() }
                return queue
            } operation: { queue in
                try queue.taskDone()
                try queue.taskDone()
                try check(queue.join(timeout: .seconds(10)))
            } survivors: { queue, _ in
                while try await !queue.join(timeout: .milliseconds(10)) { try queue.taskDone() }
                try check(queueThrows: .overReleased) { try queue.taskDone() }
                try await Self.works(queue)
            }
        }

        @Test(arguments: [false, true]) func shutdown(immediate: Bool) async throws {
            try await killAtEveryStep {
                let queue = try Self.queue()
                for number in 0..<3 { try await queue.put([UInt8(number)]) }
                try await queue.lease().release()
                return queue
            } operation: { queue in
                try queue.shutdown(immediate: immediate)
            } survivors: { queue, death in
                if queue.isShutDown {
                    try check(queueThrows: .shutDown) { try queue.putImmediately([1]) }
                    if !immediate {
                        for _ in 0..<3 {
                            _ = try await queue.get(timeout: .seconds(1))
                            try queue.taskDone()
                        }
                    }
                    try check(queueThrows: .shutDown) { _ = try queue.getImmediately() }
                    let isDone = try await queue.join(timeout: .seconds(10))
                    try check(isDone)
                    try check(queue.count, is: 0)
                } else {
                    try check(death != nil)
                    for _ in 0..<3 { _ = try await queue.get(timeout: .seconds(10)) }
                    try await Self.works(queue)
                }
            }
        }

        @Test func sleepersAreWokenAllTheSame() async throws {
            // A producer dies between its commit and its wake-up call: a consumer that sleeps finds the value.
            try await killAtEveryStep {
                try Queue<Int>()
            } operation: { queue in
                try queue.put(1)
                try queue.put(2)
            } survivors: { queue, _ in
                let task = Task { try await queue.get(timeout: .seconds(10)) }
                let thread = Task { try await onThread { try queue.get(timeout: .seconds(10)) } }
                try await Task.sleep(for: .milliseconds(5))
                if try queue.count < 2 { try await queue.put(contentsOf: [3, 4]) }
                _ = try await task.value
                _ = try await thread.value
            }
        }

        @Test(arguments: ["queue.put.copied", "queue.put.committed", "queue.get.entered", "queue.get.copied"])
        func stopped(at step: String) async throws {
            let queue = try Queue<Int>()
            let isPut = step.hasPrefix("queue.put")
            if !isPut { for number in 0..<3 { try await queue.put(number) } }
            let plan = ChaosPlan(.stop, .named(step))
            let child = try ChildProcess {
                plan.arm()
                if isPut { try queue.put(100) } else { _ = try queue.get() }
            }
            try child.start()
            let pid = child.processIdentifier!
            #expect(try await eventually(within: .seconds(10)) { state(of: pid) == "T" })
            // The others' time runs as asked.
            let time = try await ContinuousClock().measure {
                if isPut {
                    try check(queueThrows: .full) { try queue.putImmediately(1) }
                    await #expect(throws: SharedStateError.self) { try await queue.put(1, timeout: .milliseconds(300)) }
                } else {
                    try check(queueThrows: .empty) { _ = try queue.getImmediately() }
                    await #expect(throws: SharedStateError.self) { try await queue.get(timeout: .milliseconds(300)) }
                    // The other end is free.
                    try await queue.put(3, timeout: .seconds(5))
                }
            }
            #expect(time >= .milliseconds(300) && time < .seconds(5))
            #expect(try queue.count >= 0)
            try child.send(signal: SIGCONT)
            try await child.value
            if isPut { #expect(try await queue.get(timeout: .seconds(5)) == 100) }
            try await queue.put(200, timeout: .seconds(5))
            while try await queue.get(timeout: .seconds(5)) != 200 {}
        }
    }
}

private struct Pair: Codable, Sendable {
    var outer: Queue<Queue<Int>>
    var inner: Queue<Int>
}

/// Keeps a lease for the test; the child gets the queue only.
private struct RoomState: Codable, Sendable {
    var queue: Queue<[UInt8]>
    var keeping: Kept?

    private enum CodingKeys: CodingKey { case queue }

    init(queue: Queue<[UInt8]>, keeping: Kept) {
        self.queue = queue
        self.keeping = keeping
    }
}

private final class Kept: Sendable {
    let lease: Lease<[UInt8]>
    init(_ lease: Lease<[UInt8]>) { self.lease = lease }
}
