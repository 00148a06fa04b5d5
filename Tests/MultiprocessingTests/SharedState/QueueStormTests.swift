import Foundation
import MultiprocessingTestKit
import Testing

@testable import Multiprocessing

extension ProcessTests {
    /// Producers and consumers are killed at random for a time; then every value that was put is accounted for.
    ///
    /// The time is 3 seconds, or that of the environment's MP_STORM_SECONDS.
    @Suite(.timeLimit(.minutes(5))) struct QueueStormTests {
        private static let seconds = Double(ProcessInfo.processInfo.environment["MP_STORM_SECONDS"] ?? "") ?? 3

        /// A value, with who put it: which of them, and after how many deaths.
        struct Put: Codable, Sendable, Hashable {
            var producer: Int
            var incarnation: Int
            var number: Int
            var padding: [UInt8]

            var isSound: Bool { padding.allSatisfy { $0 == UInt8(number & 255) } }
        }

        /// What a consumer says of a value that it took.
        struct Taken: Codable, Sendable {
            var consumer: [Int]
            var producer: [Int]
            var number: Int
        }

        private static func producer(_ queue: Queue<Put>) -> @Sendable (Storm.Sky) throws -> Void {
            { sky in
                var number = 0
                while !sky.isClear {
                    // Small ones, and now and then one that is decoded in place.
                    let size = number % 17 == 0 ? 30_000 : number % 50
                    let padding = [UInt8](repeating: UInt8(number & 255), count: size)
                    let value = Put(producer: sky.index, incarnation: sky.incarnation, number: number, padding: padding)
                    do {
                        try queue.put(value, timeout: .seconds(1))
                        number += 1
                    } catch let error as SharedStateError where error.code == .full {}
                }
            }
        }

        @Test(arguments: [false, true]) func everyValueIsAccountedFor(leasing: Bool) async throws {
            let queue = try Queue<Put>(maximumBytes: 1 << 20)
            let results = try Queue<Taken>()
            let consumer: @Sendable (Storm.Sky) throws -> Void = { sky in
                while true {
                    let isClear = sky.isClear
                    do {
                        func note(_ value: Put) throws {
                            try check(value.isSound, "a value was damaged")
                            try results.put(
                                Taken(
                                    consumer: [sky.index, sky.incarnation],
                                    producer: [value.producer, value.incarnation],
                                    number: value.number
                                ),
                                timeout: .seconds(20)
                            )
                        }
                        if leasing {
                            let lease = try queue.lease(for: .seconds(30), timeout: .milliseconds(100))
                            try note(lease.value)
                            try lease.complete()
                        } else {
                            try note(queue.get(timeout: .milliseconds(100)))
                        }
                    } catch let error as SharedStateError where error.code == .empty {
                        if isClear { return }
                    }
                }
            }
            var found: [Taken] = []
            let storm = Storm(seed: .random(in: 0 ... .max), duration: .seconds(Self.seconds))
            let reader = Task {
                var found: [Taken] = []
                while true {
                    do {
                        found += try await results.get(upTo: 1000)
                    } catch let error as SharedStateError where error.code == .shutDown {
                        return found
                    }
                }
            }
            let put = Self.producer(queue)
            let report = try await storm.run([put, consumer, put, consumer, consumer])
            // What the last consumers held when they died, if anything.
            var rest = 0
            while leasing, try await !queue.join(timeout: .milliseconds(10)) {
                let lease = try await queue.lease(timeout: .seconds(10))
                found.append(
                    Taken(
                        consumer: [-1],
                        producer: [lease.value.producer, lease.value.incarnation],
                        number: lease.value.number
                    )
                )
                try lease.complete()
                rest += 1
            }
            try results.shutdown()
            found += try await reader.value
            let committed = Int(queue.core.tailWord.sequence)
            let distinct = Set(found.map { $0.producer + [$0.number] }).count
            let deaths = report.deaths[1] + report.deaths[3] + report.deaths[4]
            let lost = committed - distinct
            print(
                "queue storm, \(leasing ? "lease" : "get"): \(report); \(committed) put, \(lost) lost, \(rest) left over"
            )
            #expect(try queue.isEmpty)
            #expect(committed > 0 && report.deaths.reduce(0, +) > 0)
            if leasing {
                #expect(lost == 0)
            } else {
                #expect(lost >= 0 && lost <= deaths)
                // None came twice.
                #expect(distinct == found.count)
                // One consumer has the values of one producer in their order.
                var last: [[Int]: Int] = [:]
                for taken in found {
                    let pair = taken.consumer + taken.producer
                    #expect(last[pair] ?? -1 < taken.number)
                    last[pair] = taken.number
                }
            }
        }
    }
}
