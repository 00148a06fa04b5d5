import Foundation
import Multiprocessing
import MultiprocessingTestKit
import Synchronization
import Testing

extension ProcessTests {
    /// Values taken on trust.
    @Suite struct QueueLeaseTests {
        @Test func completeAndRelease() async throws {
            let queue = try Queue<String>()
            for name in ["a", "b", "c"] { try await queue.put(name) }
            let first = try await queue.lease()
            #expect(first.value == "a" && first.deliveryCount == 1 && first.isHeld)
            #expect(try queue.count == 2 && queue.leasedCount == 1)
            let second = try await queue.lease()
            #expect(second.value == "b")
            try first.release()
            #expect(!first.isHeld)
            try check(queueThrows: .notOwner) { try first.complete() }
            // First in line.
            #expect(try queue.count == 2)
            let again = try await onThread { try queue.lease(for: .seconds(100), timeout: .seconds(1)) }
            #expect(again.value == "a" && again.deliveryCount == 2)
            try again.complete()
            try check(queueThrows: .notOwner) { try again.release() }
            try second.complete()
            #expect(try await queue.join(timeout: .zero) == false)
            #expect(try queue.getImmediately() == "c")
            try queue.taskDone()
            #expect(try await queue.join(timeout: .zero))
            try check(queueThrows: .overReleased) { try queue.taskDone() }
            await #expect(throws: SharedStateError.self) { try await queue.lease(timeout: .milliseconds(10)) }
        }

        @Test func droppedLeasesComeBack() async throws {
            let queue = try Queue<Int>()
            try queue.putImmediately(1)
            do { _ = try await queue.lease() }
            #expect(try queue.getImmediately() == 1)
            #expect(try queue.isEmpty && queue.leasedCount == 0)
        }

        @Test(arguments: Backend.allCases) func timeRunsOut(backend: Backend) async throws {
            let queue = try Queue<Int>()
            try queue.putImmediately(1)
            let lease = try await queue.lease(for: .milliseconds(300))
            let kept = ContinuousClock.now
            try lease.extend(by: .milliseconds(500))
            let other = try backend.run { try queue.get(timeout: .seconds(20)) }
            #expect(try await other.value() == 1)
            #expect(ContinuousClock.now - kept >= .milliseconds(500))
            try check(queueThrows: .notOwner) { try lease.complete() }
            try check(queueThrows: .notOwner) { try lease.extend(by: .seconds(1)) }
            #expect(try queue.isEmpty)
        }

        /// The holder is stopped while it decodes the value: when the lease is over, somebody else gets it.
        @Test(arguments: [10, 40_000]) func timeRunsOutWhileDecoding(size: Int) async throws {
            let queue = try Queue<Stopping>()
            let bytes = [UInt8](repeating: 7, count: size)
            try await queue.put(Stopping(bytes: bytes))
            let child = try ChildProcess { () -> Bool in
                Stopping.isArmed.store(true, ordering: .relaxed)
                defer { Stopping.isArmed.store(false, ordering: .relaxed) }
                return failure { try queue.lease(for: .milliseconds(100), timeout: .seconds(10)) } == .notOwner
            }
            try child.start()
            let pid = child.processIdentifier!
            #expect(try await eventually(within: .seconds(10)) { state(of: pid) == "T" })
            let lease = try await queue.lease(timeout: .seconds(10))
            #expect(lease.value.bytes == bytes && lease.deliveryCount == 2)
            try child.send(signal: SIGCONT)
            #expect(try await child.value)
            #expect(lease.isHeld)
            try lease.complete()
            #expect(try await queue.join(timeout: .zero))
        }

        /// Who waits for several things is woken as well when a lease comes back, though nobody calls `get`.
        @Test func waitAnySeesWhatCameBack() async throws {
            let queue = try Queue<Int>()
            try queue.putImmediately(1)
            let lease = try await queue.lease(for: .milliseconds(200))
            #expect(try await waitAny(of: [queue], timeout: .zero) == [])
            #expect(try await waitAny(of: [queue], timeout: .seconds(20)) == [0])
            #expect(!lease.isHeld)
            #expect(try queue.getImmediately() == 1)
        }

        @Test(arguments: Backend.processes) func deadHolder(backend: Backend) async throws {
            let (queue, ready) = (try Queue<[UInt8]>(), try Queue<Bool>())
            try await queue.put([UInt8](repeating: 1, count: 100_000))
            try await queue.put([2])
            let other = try backend.run {
                let held = [try queue.lease(), try queue.lease()]
                try ready.put(true)
                withExtendedLifetime(held) { sleepForever() }
            }
            #expect(try await ready.get(timeout: .seconds(20)))
            try other.process?.kill()
            let (first, second) = (
                try await queue.lease(timeout: .seconds(20)), try await queue.lease(timeout: .seconds(20))
            )
            #expect(first.value.count == 100_000 && second.value == [2])
            #expect(first.deliveryCount == 2 && second.deliveryCount == 2)
            try first.complete()
            try second.complete()
        }

        @Test func deadLetters() async throws {
            let queue = try Queue<Int>(maximumDeliveries: 3)
            for number in 0..<3 { try queue.putImmediately(number) }
            for delivery in 1...3 {
                let lease = try await queue.lease(timeout: .seconds(5))
                #expect(lease.value == 0 && lease.deliveryCount == delivery)
                try lease.release()
            }
            let next = try await queue.lease(timeout: .seconds(5))
            #expect(next.value == 1)
            try next.complete()
            _ = try queue.getImmediately()
            try queue.taskDone()
            // A dead letter counts as done.
            #expect(try await queue.join(timeout: .zero))
            #expect(try queue.deadLetterCount == 1 && queue.count == 0)
            #expect(try queue.deadLetters(upTo: 10) == [0])
            #expect(try queue.deadLetters() == [] && queue.deadLetterCount == 0)
            try check(queueThrows: .overReleased) { try queue.taskDone() }
        }

        @Test func handlesCannotBeLeased() async throws {
            let queue = try Queue<Lock>()
            try queue.putImmediately(Lock())
            do {
                _ = try await queue.lease()
                Issue.record("leased")
            } catch let error as SharedStateError {
                #expect(error.code == .cannotTravel)
            }
            #expect(try queue.count == 1)
            _ = try queue.getImmediately()
        }

        @Test func aLongLeaseDoesNotHoldUpTheRing() async throws {
            let queue = try Queue<[UInt8]>(maximumBytes: 16_384)
            try queue.putImmediately([UInt8](repeating: 7, count: 1500))
            let long = try await queue.lease()
            // It is moved again and again.
            for round in 0..<300 {
                try await queue.put([UInt8](repeating: UInt8(round & 127), count: 3000 + round), timeout: .seconds(5))
                try await queue.put([9], timeout: .seconds(5))
                #expect(try await queue.get(timeout: .seconds(5)).count == 3000 + round)
                if round % 3 == 0 {
                    let other = try await queue.lease(timeout: .seconds(5))
                    #expect(other.value == [9])
                    try other.complete()
                } else {
                    _ = try await queue.get(timeout: .seconds(5))
                }
            }
            try long.release()
            #expect(try queue.getImmediately() == [UInt8](repeating: 7, count: 1500))
            // What completes makes room for a producer that waits.
            try queue.putImmediately([UInt8](repeating: 8, count: 12_000))
            let large = try await queue.lease()
            let task = Task { try await queue.put([UInt8](repeating: 9, count: 12_000), timeout: .seconds(20)) }
            try await Task.sleep(for: .milliseconds(50))
            try large.complete()
            try await task.value
            #expect(try queue.getImmediately().count == 12_000)
        }

        @Test func asManyAsThereAreHolds() async throws {
            let queue = try Queue<Int>(maximumDeliveries: 1)
            for number in 0..<1100 { try queue.putImmediately(number) }
            var leases: [Lease<Int>] = []
            for number in 0..<1024 {
                leases.append(try await queue.lease(timeout: .seconds(5)))
                #expect(leases.last?.value == number)
            }
            await #expect(throws: SharedStateError.self) { try await queue.lease(timeout: .milliseconds(20)) }
            let waiting = Task { try await queue.lease(timeout: .seconds(20)).value }
            try await Task.sleep(for: .milliseconds(20))
            try leases.removeFirst().complete()
            #expect(try await waiting.value == 1024)
            leases = []
            #expect(try queue.deadLetterCount >= 1023)
            while try queue.deadLetterCount < 1024 { try await queue.lease(timeout: .seconds(5)).release() }
            do {
                _ = try await queue.lease(timeout: .seconds(5))
                Issue.record("leased")
            } catch let error as SharedStateError {
                #expect(error.code == .outOfResources)
            }
            #expect(try queue.deadLetters().count == 1024)
            try await queue.lease(timeout: .seconds(5)).complete()
        }

        @Test(arguments: Backend.processes) func workers(backend: Backend) async throws {
            let (queue, results) = (try Queue<Int>(), try Queue<Int>())
            let workers = try (0..<3).map { _ in
                try backend.run {
                    while true {
                        do {
                            let lease = try queue.lease(for: .seconds(60), timeout: .seconds(20))
                            try results.put(lease.value)
                            try lease.complete()
                        } catch let error as SharedStateError where error.code == .shutDown {
                            return
                        }
                    }
                }
            }
            try await queue.put(contentsOf: 0..<2000)
            #expect(try await queue.join(timeout: .seconds(30)))
            try queue.shutdown()
            for worker in workers { try await worker.value() }
            #expect(try await Set(results.get(upTo: 4000)) == Set(0..<2000))
        }
    }
}

/// Stops its process in the middle of being decoded, if that is wanted there.
private struct Stopping: Codable, Sendable {
    static let isArmed = Atomic<Bool>(false)

    var bytes: [UInt8]

    private enum CodingKeys: CodingKey { case bytes }

    init(bytes: [UInt8]) {
        self.bytes = bytes
    }

    init(from decoder: any Decoder) throws {
        if Self.isArmed.load(ordering: .relaxed) { raise(SIGSTOP) }
        bytes = try decoder.container(keyedBy: CodingKeys.self).decode([UInt8].self, forKey: .bytes)
    }
}
