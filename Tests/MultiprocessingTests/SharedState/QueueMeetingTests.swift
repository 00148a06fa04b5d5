import MultiprocessingTestKit
import Testing

@testable import Multiprocessing

extension ProcessTests {
    /// What happens to one at a queue while another one is held up, or dead, between two of its steps.
    @Suite struct QueueMeetingTests {
        /// A consumer found nothing held, and is held up before it takes the guard; meanwhile somebody leases the first item.
        @Test(.enabled(if: ChaosPlan.isAvailable)) func aLeaseFromBeforeTheGuardWasTaken() async throws {
            let queue = try Queue<[UInt8]>(maximumBytes: 64 << 10)
            let leased = [UInt8](repeating: 7, count: 20_000)
            try await queue.put(contentsOf: [leased, [1]])
            let plan = ChaosPlan(.stop, .named("queue.get.looked"))
            let child = try ChildProcess {
                plan.arm()
                return try queue.get(timeout: .seconds(20))
            }
            try child.start()
            let pid = child.processIdentifier!
            #expect(try await eventually(within: .seconds(10)) { state(of: pid) == "T" })
            let lease = try await queue.lease()
            try child.send(signal: 18)
            #expect(try await child.value == [1])
            // Once round the ring, as far as there is room.
            while (try? queue.putImmediately([UInt8](repeating: 9, count: 1000))) != nil {}
            try lease.release()
            #expect(try await queue.get(timeout: .seconds(10)) == leased)
        }

        /// The same with a shutdown that discards what is there.
        @Test(.enabled(if: ChaosPlan.isAvailable)) func aShutdownFromBeforeTheGuardWasTaken() async throws {
            let queue = try Queue<Int>()
            try await queue.put(1)
            let plan = ChaosPlan(.stop, .named("queue.get.looked"))
            let child = try ChildProcess {
                plan.arm()
                try check(queueThrows: .shutDown) { _ = try queue.get(timeout: .seconds(20)) }
            }
            try child.start()
            let pid = child.processIdentifier!
            #expect(try await eventually(within: .seconds(10)) { state(of: pid) == "T" })
            // Whoever has the guard now leaves the discarding to the next.
            #expect(queue.core.memory.consumerGuard.takeIfUncontended())
            try queue.shutdown(immediate: true)
            queue.core.memory.consumerGuard.release()
            try child.send(signal: 18)
            try await child.value
            #expect(try await queue.join(timeout: .seconds(10)))
        }

        /// A producer died on its way back to the start of the ring: what needs more room than is left behind that still fits.
        @Test(.enabled(if: ChaosPlan.isAvailable)) func halfAJump() async throws {
            let queue = try Queue<[UInt8]>(maximumBytes: 100_000)
            try await queue.put([UInt8](repeating: 1, count: 70_000))
            _ = try await queue.get()
            let plan = ChaosPlan(.kill, .named("queue.put.jumping"))
            let child = try ChildProcess(options: .quiet) {
                plan.arm()
                try queue.put([UInt8](repeating: 2, count: 20_000), timeout: .seconds(20))
            }
            try child.start()
            #expect(try await child.join(timeout: .seconds(20)))
            #expect(child.exitStatus == .signalled(9))
            #expect(try queue.isEmpty)
            for size in [95_000, 99_000] {
                try await queue.put([UInt8](repeating: 3, count: size), timeout: .seconds(10))
                #expect(try await queue.get(timeout: .seconds(10)).count == size)
            }
        }
    }
}
