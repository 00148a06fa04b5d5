import Glibc
import Multiprocessing
import Testing

private final class NotCodable: Sendable { let value = 3 }

private struct RefusesToEncode: Codable, Sendable {
    struct Refusal: Error, Codable {}
    var number = 1
    init() {}
    init(from decoder: any Decoder) throws {}
    func encode(to encoder: any Encoder) throws { throw Refusal() }
}

/// Refuses in the process that made it, which is where the result is decoded.
private struct RefusesToDecode: Codable, Sendable {
    struct Refusal: Error, Codable {}
    var number = 0
    init(_ number: Int) { self.number = number }
    init(from decoder: any Decoder) throws {
        number = try decoder.singleValueContainer().decode(Int.self)
        if number == 7 { throw Refusal() }
    }
    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(number)
    }
}

extension ProcessTests {
    /// What can and what cannot be a result or an argument.
    @Suite(.timeLimit(.minutes(3)))
    struct PoolValueTests {
        /// Throws unless `body` is refused with the name of a type.
        private func refused<Value>(_ name: String, _ body: () async throws -> Value) async {
            let error = await #expect(throws: PoolError.self) { _ = try await body() }
            #expect(
                error?.code == .cannotTravel && error?.message.contains(name) == true,
                "\(String(describing: error))"
            )
        }

        @Test(arguments: Backend.poolWorkersAnywhere) func resultsThatCannotBeEncoded(backend: Backend) async throws {
            try await withPool(processes: 2, options: backend.poolOptions) { pool async throws in
                await refused("NotCodable") { try await pool.apply { NotCodable() } }
                await refused("NotCodable") { try await pool.apply { [NotCodable()] } }
                // Where only the value tells.
                await refused("NotCodable") { try await pool.apply { () -> any Sendable in NotCodable() } }
                await refused("NotCodable") {
                    try await pool.apply { () -> @Sendable () -> Int in
                        let object = NotCodable()
                        return { object.value }
                    }
                }
                await refused("RefusesToEncode") { try await pool.apply { RefusesToEncode() } }
                await refused("RefusesToEncode") { try await pool.apply { [1: [RefusesToEncode()]] } }
                await refused("RefusesToEncode") { try await pool.map(0..<10) { _ in RefusesToEncode() } }
                await refused("RefusesToEncode") { try await pool.map([RefusesToEncode()]) { _ in 1 } }
                let refusing = RefusesToEncode()
                await refused("RefusesToEncode") { try await pool.apply { refusing.number } }
                await refused("RefusesToEncode") { try await pool.map(0..<3, sharing: refusing) { $1 } }
                #expect(try await pool.apply { 1 } == 1)
            }
        }

        @Test(arguments: Backend.poolWorkersAnywhere) func resultsThatCannotBeDecoded(backend: Backend) async throws {
            try await withPool(processes: 2, options: backend.poolOptions) { pool async throws in
                let tasks = try (0..<10).map { number in try pool.submit { RefusesToDecode(number) } }
                for (number, task) in tasks.enumerated() {
                    if number == 7 {
                        await refused("RefusesToDecode") { try await task.value }
                    } else {
                        #expect(try await task.value.number == number)
                    }
                }
                await refused("RefusesToDecode") {
                    try await pool.map(0..<10, chunkSize: 1) { RefusesToDecode($0) }
                }
                var seen = 0
                do {
                    for try await value in try pool.imap(0..<10, chunkSize: 1, { RefusesToDecode($0) }) {
                        #expect(value.number == seen)
                        seen += 1
                    }
                    Issue.record("no error")
                } catch let error as PoolError {
                    #expect(error.code == .cannotTravel && seen == 7)
                }
                await refused("RefusesToDecode") { try await pool.map([RefusesToDecode(7)]) { _ in 1 } }
                #expect(try await pool.apply { 1 } == 1)
            }
        }

        @Test(arguments: Backend.poolWorkersAnywhere) func functionsTravelBothWays(backend: Backend) async throws {
            try await withPool(processes: 1, options: backend.poolOptions) { pool async throws in
                let twice: @Sendable (Int) -> Int = { $0 * 2 }
                let composed = try await pool.apply { () -> @Sendable (Int) -> Int in { twice($0) + 1 } }
                #expect(composed(20) == 41)
                #expect(try await pool.apply { twice(4) } == 8)
            }
        }

        @Test(arguments: Backend.poolWorkersAnywhere) func aHundredMegabytesInAndOut(backend: Backend) async throws {
            try await withPool(processes: 1, options: backend.poolOptions) { pool async throws in
                let huge = [UInt8](repeating: 3, count: 100 << 20)
                let back = try await pool.map([huge]) { $0 }
                #expect(back == [huge])
                let captured = try await pool.apply { huge.count }
                #expect(captured == huge.count)
            }
        }

        @Test(arguments: Backend.poolWorkers) func handlesAsArgumentsAndResults(backend: Backend) async throws {
            try await withPool(processes: 2, options: backend.poolOptions) { pool async throws in
                // As arguments.
                let queue = try Queue<Int>()
                let lock = try Lock()
                let array = try SharedArray<Int>(repeating: 0, count: 8)
                let places = Array(zip(0..<8, Array(repeating: array, count: 8)))
                let set = try await pool.starMap(places) { place, array in
                    try array.withLock { $0[place] = place * place }
                    return true
                }
                #expect(set.count == 8 && Array(array) == (0..<8).map { $0 * $0 })
                let puts = try await pool.map(Array(repeating: queue, count: 5), chunkSize: 1) { queue in
                    try queue.put(1)
                    return true
                }
                #expect(puts.count == 5)
                for _ in 0..<5 { #expect(try await queue.get(timeout: .seconds(10)) == 1) }
                let taken = try await pool.map([lock]) { try $0.acquire(timeout: .seconds(10)) }
                #expect(taken == [true])
                let (ours, theirs) = try Connection.pair()
                let sent = try await pool.map([theirs]) { connection in
                    try connection.send("through")
                    return 1
                }
                #expect(sent == [1])
                #expect(try await ours.receive(String.self, timeout: .seconds(10)) == "through")

                // As results, made by the worker.
                let made = try await pool.apply { () -> Queue<String> in
                    let queue = try Queue<String>()
                    try queue.put("from the worker")
                    return queue
                }
                #expect(try await made.get(timeout: .seconds(10)) == "from the worker")
                let squares = try await pool.apply { () -> SharedArray<Int> in
                    let array = try SharedArray<Int>(repeating: 5, count: 3)
                    try array.withLock { $0[1] = 7 }
                    return array
                }
                #expect(Array(squares) == [5, 7, 5])
                let end = try await pool.apply { () -> Connection in
                    let (near, far) = try Connection.pair()
                    try near.send(99)
                    return far
                }
                #expect(try await end.receive(Int.self, timeout: .seconds(10)) == 99)
                let fresh = try await pool.map(0..<3) { _ in try Lock() }
                for lock in fresh {
                    #expect(try await lock.acquire(timeout: .seconds(10)))
                    try lock.release()
                }
                // Beside each other.
                let several = try await pool.map([0, 1]) { number in (number == 0 ? lock : try Lock()) }
                #expect(several.count == 2)
            }
        }
    }
}
