import Foundation
import Multiprocessing
import MultiprocessingTestKit
import Testing

/// Throws unless `body` throws a ``SharedStateError`` of that kind; for code that may run in a child.
func check(
    queueThrows code: SharedStateError.Code,
    file: String = #fileID,
    line: Int = #line,
    _ body: () throws -> Void
) throws {
    do {
        try body()
    } catch let error as SharedStateError {
        try check(error.code == code, "threw \(error), not \(code)", file: file, line: line)
        return
    }
    throw CheckFailure(text: "threw nothing, not \(code)", place: "\(file):\(line)")
}

extension ProcessTests {
    /// What a queue is for, with nobody dying.
    @Suite struct QueueTests {
        struct Item: Codable, Sendable, Hashable {
            var name: String
            var numbers: [Int]
        }

        @Test(arguments: Backend.allCases) func valuesOfAnyKind(backend: Backend) async throws {
            let (requests, answers) = (try Queue<Item>(), try Queue<Item>())
            let other = try backend.run {
                for _ in 0..<3 {
                    var item = try requests.get(timeout: .seconds(10))
                    item.numbers.append(1)
                    try answers.put(item)
                }
            }
            for name in ["", "å", String(repeating: "x", count: 100_000)] {
                try await requests.put(Item(name: name, numbers: [0]))
                let answer = try await answers.get(timeout: .seconds(10))
                #expect(answer == Item(name: name, numbers: [0, 1]))
            }
            try await other.value()
        }

        @Test(arguments: [1, 3], [false, true]) func largeAndSmallInOrder(consumers: Int, isAsync: Bool) async throws {
            // Sizes around those at which something changes, in a ring that they fill again and again.
            let queue = try Queue<[UInt8]>(maximumBytes: 200_000)
            let results = try Queue<[Int]>()
            let sizes = [0, 1, 7, 8, 9, 100, 16_000, 16_380, 16_384, 16_400, 50_000, 120_000]
            let children = try (0..<consumers).map { _ in
                try Backend.forkServer.run {
                    while true {
                        do {
                            let bytes = try queue.get(timeout: .seconds(20))
                            try check(bytes.allSatisfy { $0 == UInt8(bytes.count & 255) })
                            try results.put([bytes.count])
                        } catch let error as SharedStateError where error.code == .shutDown {
                            return
                        }
                    }
                }
            }
            var expected: [Int] = []
            for round in 0..<40 {
                let size = sizes[(round * 7) % sizes.count]
                expected.append(size)
                let bytes = [UInt8](repeating: UInt8(size & 255), count: size)
                if isAsync {
                    try await queue.put(bytes, timeout: .seconds(20))
                } else {
                    try await onThread { try queue.put(bytes, timeout: .seconds(20)) }
                }
            }
            try queue.shutdown()
            for child in children { try await child.value() }
            var found: [Int] = []
            while try !results.isEmpty { found += try await results.get() }
            if consumers == 1 { #expect(found == expected) } else { #expect(found.sorted() == expected.sorted()) }
            #expect(try queue.count == 0)
        }

        @Test func limits() async throws {
            let queue = try Queue<[UInt8]>(maximumCount: 2, maximumBytes: 4096)
            #expect(queue.maximumCount == 2 && queue.maximumBytes == 4096)
            try check(queueThrows: .tooLarge) { try queue.putImmediately([UInt8](repeating: 0, count: 5000)) }
            try queue.putImmediately([1])
            #expect(try !queue.isFull)
            try queue.putImmediately([2])
            #expect(try queue.isFull && queue.count == 2)
            try check(queueThrows: .full) { try queue.putImmediately([3]) }
            await #expect(throws: SharedStateError.self) { try await queue.put([3], timeout: .milliseconds(50)) }
            #expect(try queue.getImmediately() == [1])
            try queue.putImmediately([UInt8](repeating: 3, count: 3900))
            #expect(try queue.getImmediately() == [2])
            try check(queueThrows: .full) { try queue.putImmediately([UInt8](repeating: 4, count: 1000)) }
            #expect(try queue.getImmediately().count == 3900)
            // Alone it fits wherever the ring is.
            for size in [4000, 3000, 4050, 4070] {
                try queue.putImmediately([UInt8](repeating: 5, count: size))
                #expect(try queue.getImmediately().count == size)
            }
            try check(queueThrows: .empty) { _ = try queue.getImmediately() }
            for bad in [0, -1] { try check(queueThrows: .invalidArgument) { _ = try Queue<Int>(maximumCount: bad) } }
            for bad in [0, 1 << 50] {
                try check(queueThrows: .invalidArgument) { _ = try Queue<Int>(maximumBytes: bad) }
            }
            for bad in [0, 128] {
                try check(queueThrows: .invalidArgument) { _ = try Queue<Int>(maximumDeliveries: bad) }
            }
            try check(queueThrows: .invalidArgument) { _ = try queue.deadLetters(upTo: 0) }
        }

        @Test(arguments: Backend.allCases) func batches(backend: Backend) async throws {
            let queue = try Queue<Int>(maximumBytes: 4096)
            let other = try backend.run { try queue.put(contentsOf: 0..<2000, timeout: .seconds(20)) }
            var found: [Int] = []
            while found.count < 2000 { found += try await queue.get(upTo: 64, timeout: .seconds(20)) }
            #expect(found == Array(0..<2000))
            #expect(try await other.value() == 2000)
            #expect(try await queue.get(upTo: 5, timeout: .zero) == [])
            let some = try await queue.put(contentsOf: 0..<2000, timeout: .zero)
            #expect(try some > 10 && some < 2000 && queue.count == some)
            #expect(try await queue.put(contentsOf: [1], timeout: .milliseconds(20)) == (queue.isFull ? 0 : 1))
            #expect(try await queue.put(contentsOf: []) == 0)
        }

        @Test func iteration() async throws {
            let queue = try Queue<Int>()
            let child = try Backend.forkServer.run {
                for number in 0..<500 { try queue.put(number) }
                try queue.shutdown()
            }
            var found: [Int] = []
            for try await number in queue { found.append(number) }
            #expect(found == Array(0..<500))
            try await child.value()
            try check(queueThrows: .shutDown) { try queue.putImmediately(1) }
            #expect(queue.isShutDown)
        }

        @Test(arguments: Backend.allCases) func shutdownWakesEverybody(backend: Backend) async throws {
            let full = try Queue<Int>(maximumCount: 1)
            let empty = try Queue<Int>()
            try full.putImmediately(1)
            let putter = try backend.run { try check(queueThrows: .shutDown) { try full.put(2) } }
            let getter = try backend.run { try check(queueThrows: .shutDown) { _ = try empty.get() } }
            let joiner = try backend.run { try full.join() }
            let task = Task { try await empty.get() }
            try await Task.sleep(for: .milliseconds(100))
            try full.shutdown(immediate: true)
            try empty.shutdown()
            try await putter.value()
            try await getter.value()
            #expect(try await joiner.value())
            await #expect(throws: SharedStateError.self) { try await task.value }
            #expect(try full.count == 0)
            try check(queueThrows: .shutDown) { _ = try full.getImmediately() }
        }

        @Test func cancellationLosesNothing() async throws {
            let queue = try Queue<Int>()
            let child = try Backend.forkServer.run {
                for number in 0..<2000 {
                    try queue.put(number)
                    if number % 50 == 0 { pause(.milliseconds(1)) }
                }
                try queue.shutdown()
            }
            var found: [Int] = []
            while true {
                let task = Task { try await queue.get() }
                if Bool.random() { task.cancel() }
                do {
                    found.append(try await task.value)
                } catch is CancellationError {
                    continue
                } catch let error as SharedStateError where error.code == .shutDown {
                    break
                }
            }
            #expect(found == Array(0..<2000))
            try await child.value()
        }

        @Test(arguments: Backend.allCases) func manyToMany(backend: Backend) async throws {
            let queue = try Queue<[Int]>(maximumBytes: 8192)
            let results = try Queue<[[Int]]>()
            let producers = try (0..<3).map { producer in
                try backend.run { for number in 0..<1500 { try queue.put([producer, number], timeout: .seconds(20)) } }
            }
            let consumers = try (0..<3).map { _ in
                try backend.run {
                    var found: [[Int]] = []
                    while true {
                        do {
                            found.append(try queue.get(timeout: .seconds(20)))
                        } catch let error as SharedStateError where error.code == .shutDown {
                            return try results.put(found)
                        }
                    }
                }
            }
            for producer in producers { try await producer.value() }
            try queue.shutdown()
            for consumer in consumers { try await consumer.value() }
            var all: [[Int]] = []
            for _ in 0..<3 {
                let found = try await results.get()
                // What one consumer has of one producer is in the producer's order.
                for producer in 0..<3 {
                    let numbers = found.filter { $0[0] == producer }.map { $0[1] }
                    #expect(numbers == numbers.sorted())
                }
                all += found
            }
            #expect(all.count == 4500 && Set(all).count == 4500)
        }

        @Test(arguments: Backend.allCases) func handlesTravel(backend: Backend) async throws {
            let name = backend.rawValue
            try await isolated {
                let backend = Backend(rawValue: name)!
                let before = openDescriptors().count
                do {
                    let queues = try Queue<Queue<Int>>()
                    let other = try backend.run {
                        for number in 0..<50 {
                            let inner = try queues.get(timeout: .seconds(10))
                            try inner.put(number)
                        }
                    }
                    for number in 0..<50 {
                        let inner = try Queue<Int>()
                        try await queues.put(inner, timeout: .seconds(10))
                        let answer = try await inner.get(timeout: .seconds(10))
                        try check(answer, is: number)
                    }
                    try await other.value()
                    // As many as the socket takes, and no more: then it waits.
                    let inner = try Queue<Int>()
                    var count = 0
                    while (try? queues.putImmediately(inner)) != nil, count < 5000 { count += 1 }
                    try check(count > 5, "\(count) fitted")
                    try check(queues.count, is: count)
                    for _ in 0..<count { try queues.getImmediately().putImmediately(1) }
                    try check(inner.count, is: count)
                }
                // What may stay is what the library keeps once: an arena, the fork server.
                try check(
                    openDescriptors().count <= before + 12,
                    "\(openDescriptors().count) descriptors, \(before) before"
                )
            }
        }

        /// Any order of puts, gets and leases of any sizes, by the short ways and the long ones, in a ring that is just large enough.
        @Test(arguments: [1, 2, 3, 4]) func asAModelSays(seed: UInt64) async throws {
            var random = Numbers(state: seed)
            let queue = try Queue<[UInt8]>(maximumBytes: 512 << 10)
            var line: [[UInt8]] = []
            var leases: [Lease<[UInt8]>] = []
            var size = 0
            for step in 0..<4000 {
                switch Int.random(in: 0..<10, using: &random) {
                case 0..<5 where size < 150 << 10 && line.count < 20:
                    let count = Int.random(
                        in: 0..<[20, 1100, 17_000, 60_000].randomElement(using: &random)!,
                        using: &random
                    )
                    let item = [UInt8](repeating: UInt8(truncatingIfNeeded: step), count: count)
                    try await onThread { try queue.put(item, timeout: .seconds(10)) }
                    line.append(item)
                    size += count
                case 5..<8 where !line.isEmpty:
                    let item = try await onThread { try queue.get(timeout: .seconds(10)) }
                    #expect(item == line.removeFirst())
                    size -= item.count
                case 8 where !line.isEmpty && leases.count < 3:
                    let lease = try await queue.lease(for: .seconds(60), timeout: .seconds(10))
                    #expect(lease.value == line.removeFirst())
                    leases.append(lease)
                case 9 where !leases.isEmpty:
                    let lease = leases.remove(at: Int.random(in: 0..<leases.count, using: &random))
                    size -= lease.value.count
                    try lease.complete()
                default: break
                }
                try #require(try queue.count == line.count)
            }
        }

        /// Values that a consumer saw before an immediate shutdown are not taken after it.
        @Test func shutdownDiscardsWhatWasSeen() throws {
            let queue = try Queue<Int>()
            for number in 0..<100 { try queue.putImmediately(number) }
            #expect(try queue.getImmediately() == 0)
            try queue.shutdown(immediate: true)
            try check(queueThrows: .shutDown) { _ = try queue.getImmediately() }
        }

        @Test func undecodable() async throws {
            struct Picky: Codable, Sendable, Equatable {
                var number: Int
                init(_ number: Int) { self.number = number }
                init(from decoder: any Decoder) throws {
                    number = try decoder.singleValueContainer().decode(Int.self)
                    if number < 0 { throw CheckFailure(text: "negative", place: "") }
                }
                func encode(to encoder: any Encoder) throws {
                    if number == 13 { throw CheckFailure(text: "unlucky", place: "") }
                    var container = encoder.singleValueContainer()
                    try container.encode(number)
                }
            }
            let queue = try Queue<Picky>(maximumCount: 3)
            #expect(throws: CheckFailure.self) { try queue.putImmediately(Picky(13)) }
            #expect(try queue.isEmpty)
            try queue.putImmediately(Picky(-1))
            try queue.putImmediately(Picky(1))
            #expect(throws: CheckFailure.self) { try queue.getImmediately() }
            #expect(try queue.getImmediately() == Picky(1))
            for number in [1, -1, 2] { try queue.putImmediately(Picky(number)) }
            #expect(try await queue.get(upTo: 3) == [Picky(1), Picky(2)])
            await #expect(throws: CheckFailure.self) { try await queue.get(timeout: .zero) }
            try queue.putImmediately(Picky(-1))
            #expect(throws: CheckFailure.self) { try onlyOnThisThread { try queue.lease(timeout: .zero) } }
            #expect(try queue.isEmpty && queue.leasedCount == 0)
        }

        @Test func closing() async throws {
            let queue = try Queue<Int>()
            let task = Task { try await queue.get() }
            let thread = Task { try await onThread { try queue.join() } }
            try queue.putImmediately(1)
            _ = try await task.value
            let second = Task { try await queue.get() }
            try await Task.sleep(for: .milliseconds(50))
            queue.close()
            queue.close()
            await #expect(throws: SharedStateError.self) { try await second.value }
            await #expect(throws: SharedStateError.self) { try await thread.value }
            for operation in [
                { try queue.putImmediately(1) }, { _ = try queue.getImmediately() }, { _ = try queue.count },
                { try queue.taskDone() }, { try queue.shutdown() }, { _ = try queue.isFull },
                { _ = try queue.deadLetters() },
            ] as [() throws -> Void] {
                try check(queueThrows: .closed, operation)
            }
            #expect(throws: (any Error).self) { try ChildProcess { _ = queue } }
        }

        @Test func notIntoFiles() throws {
            #expect(throws: SharedStateError.self) { try JSONEncoder().encode(Queue<Int>()) }
        }
    }
}

/// Calls what blocks, from a synchronous context.
func onlyOnThisThread<R>(_ body: () throws -> R) rethrows -> R { try body() }

/// Numbers that are the same in every run.
private struct Numbers: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state >> 33 | state << 31
    }
}
