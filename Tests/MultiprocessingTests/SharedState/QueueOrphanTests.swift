import MultiprocessingSystem
import MultiprocessingTestKit
import Synchronization
import Testing

@testable import Multiprocessing

extension ProcessTests {
    /// Packets of descriptors that producers sent and then died: nobody waits for them, and they keep nobody waiting.
    @Suite struct QueueOrphanTests {
        /// Sends packets as producers do that die before their commit, until the socket is full; how many.
        private static func fill<Element>(_ queue: Queue<Element>) throws -> Int {
            let file = SharedDescriptor(try Descriptor.event())
            for count in 0... {
                let ticket = queue.core.memory.ticket.pointee.wrappingAdd(1, ordering: .relaxed).newValue
                guard case .sent = try queue.core.channel.send([file], ticket: ticket) else { return count }
            }
            return 0
        }

        @Test func aFullSocketIsCleared() async throws {
            let queue = try Queue<Queue<Int>>()
            let inner = try Queue<Int>()
            try await inner.put(17)
            #expect(try Self.fill(queue) > 100)
            try queue.putImmediately(inner)
            #expect(try Self.fill(queue) > 100)
            // What is behind the first item's packet may belong to a later one.
            #expect(try queue.count == 1)
            try check(queueThrows: .full) { try queue.putImmediately(inner) }
            let waiting = Task { try await queue.put(inner, timeout: .seconds(20)) }
            let arrived = try await queue.get(timeout: .seconds(10))
            #expect(try arrived.count == 1)
            try await waiting.value
            let last = try await queue.get(timeout: .seconds(10))
            #expect(try last.getImmediately() == 17)
            #expect(try queue.isEmpty)
        }

        /// Items without descriptors, one that was being received by a process that died, and the end of the ring in between.
        @Test func itemsInBetween() async throws {
            let queue = try Queue<Either>(maximumBytes: 4096)
            for size in [1500, 1500, 500] { try await queue.put(.bytes([UInt8](repeating: 1, count: size))) }
            for _ in 0..<2 { _ = try await queue.get() }
            try await queue.put(.bytes([UInt8](repeating: 2, count: 1500)))
            let inner = try Queue<Int>()
            #expect(try Self.fill(queue) > 100)
            try await inner.put(5)
            try await queue.put(contentsOf: [.queue(inner), .queue(inner)], timeout: .seconds(10))
            for size in [500, 1500] {
                guard case .bytes(let bytes) = try await queue.get(timeout: .seconds(10)) else { throw Unexpected() }
                #expect(bytes.count == size)
            }
            for _ in 0..<2 {
                guard case .queue(let arrived) = try await queue.get(timeout: .seconds(10)) else { throw Unexpected() }
                #expect(try arrived.count == 1)
            }
        }

        @Test(.enabled(if: ChaosPlan.isAvailable)) func hundredsOfDeaths() async throws {
            let queue = try Queue<Queue<Int>>()
            let inner = try Queue<Int>()
            let plan = ChaosPlan(.kill, .named("queue.put.sent"))
            for _ in 0..<30 {
                // Ten at a time: what counts is their number.
                let victims = try (0..<10).map { _ in
                    let child = try ChildProcess(options: .quiet) {
                        plan.arm()
                        try queue.put(inner, timeout: .seconds(20))
                    }
                    try child.start()
                    return child
                }
                for victim in victims {
                    #expect(try await victim.join(timeout: .seconds(20)))
                    #expect(victim.exitStatus == .signalled(9))
                }
            }
            try await queue.put(inner, timeout: .seconds(20))
            try await inner.put(3)
            let last = try await queue.get(timeout: .seconds(10))
            #expect(try last.getImmediately() == 3)
        }

        @Test(.enabled(if: ChaosPlan.isAvailable), arguments: [0, 1, 100]) func killedWhileDropping(packet: Int)
            async throws
        {
            let queue = try Queue<Queue<Int>>()
            let inner = try Queue<Int>()
            #expect(try Self.fill(queue) > 101)
            let plan = ChaosPlan(.kill, .named("queue.put.dropped", occurrence: packet))
            let child = try ChildProcess(options: .quiet) {
                plan.arm()
                try queue.put(inner, timeout: .seconds(10))
            }
            try child.start()
            #expect(try await child.join(timeout: .seconds(20)))
            #expect(child.exitStatus == .signalled(9))
            #expect(try queue.count == 0)
            try await inner.put(1)
            try await queue.put(inner, timeout: .seconds(10))
            let arrived = try await queue.get(timeout: .seconds(10))
            #expect(try arrived.count == 1)
            #expect(try queue.isEmpty)
        }
    }
}

private enum Either: Codable, Sendable {
    case bytes([UInt8])
    case queue(Queue<Int>)
}

private struct Unexpected: Error {}
