import Multiprocessing
import Synchronization
import Testing

/// Knows how often it was decoded in this process, and how many of it there are.
private final class Model: Codable, Sendable {
    static let decoded = Atomic(0)
    static let alive = Atomic(0)
    let factor: Int

    init(_ factor: Int) {
        self.factor = factor
        Self.alive.add(1, ordering: .relaxed)
    }

    init(from decoder: any Decoder) throws {
        factor = try decoder.singleValueContainer().decode(Int.self)
        Self.decoded.add(1, ordering: .relaxed)
        Self.alive.add(1, ordering: .relaxed)
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(factor)
    }

    deinit {
        Self.alive.subtract(1, ordering: .relaxed)
    }
}

extension ProcessTests {
    @Suite(.timeLimit(.minutes(2)))
    struct PoolFormTests {
        // MARK: A shared value

        @Test(arguments: Backend.poolWorkers) func sharingInEveryForm(backend: Backend) async throws {
            struct Scale: Codable, Sendable { var factor: Int }
            try await withPool(processes: 2, options: backend.poolOptions) { pool async throws in
                let scale = Scale(factor: 3)
                let tripled = (0..<50).map { $0 * 3 }
                #expect(try await pool.map(0..<50, sharing: scale) { $0.factor * $1 } == tripled)
                let slow = try await pool.map(0..<50, sharing: scale) { scale, number in
                    await Task.yield()
                    return scale.factor * number
                }
                #expect(slow == tripled)
                #expect(try await onThread { try pool.map(0..<50, sharing: scale) { $0.factor * $1 } } == tripled)
                var seen: [Int] = []
                for try await value in try pool.imap(0..<50, sharing: scale, { $0.factor * $1 }) { seen.append(value) }
                #expect(seen == tripled)
                let numbers = AsyncStream { continuation in
                    for number in 0..<50 { continuation.yield(number) }
                    continuation.finish()
                }
                seen = []
                for try await value in try pool.imap(numbers, sharing: scale, ordered: false, { $0.factor * $1 }) {
                    seen.append(value)
                }
                #expect(seen.sorted() == tripled)
                #expect(try await pool.submit(sharing: scale) { $0.factor }.value == 3)
                #expect(try await pool.apply(sharing: scale) { $0.factor } == 3)
                let later = try await pool.apply(sharing: scale) { scale in
                    await Task.yield()
                    return scale.factor
                }
                #expect(later == 3)
                #expect(try await onThread { try pool.apply(sharing: scale) { $0.factor } } == 3)
            }
        }

        @Test func aSharedValueIsSentOncePerWorkerAndReleased() async throws {
            try await withPool(processes: 2) { pool async throws in
                let decoded = try await pool.map(0..<100, sharing: Model(2), chunkSize: 1) { model, number in
                    (model.factor * number) * 1000 + Model.decoded.load(ordering: .relaxed)
                }
                #expect(decoded == (0..<100).map { $0 * 2000 + 1 })
                // Both of them forget it, once the call is done; what they are sent comes in order.
                for _ in 0..<20 {
                    #expect(try await pool.apply { Model.alive.load(ordering: .relaxed) } == 0)
                }
                #expect(Model.alive.load(ordering: .relaxed) == 0)
            }
        }

        @Test(arguments: Backend.poolWorkers) func aValueForManyTasks(backend: Backend) async throws {
            try await withPool(processes: 2, options: backend.poolOptions) { pool async throws in
                let before = Model.alive.load(ordering: .relaxed)
                var model: PoolShared? = try pool.share(Model(3))
                #expect(Model.alive.load(ordering: .relaxed) == before)
                let start = Model.decoded.load(ordering: .relaxed)
                var tasks = try (0..<100).map { number in
                    try pool.submit(sharing: model!) { model in
                        (model.factor * number, Model.decoded.load(ordering: .relaxed))
                    }
                }
                tasks.append(
                    try pool.submit(sharing: model!) { model in
                        await Task.yield()
                        return (model.factor * 100, Model.decoded.load(ordering: .relaxed))
                    }
                )
                let last = try pool.submit(sharing: model!) { $0.factor }
                // It is there for those that were submitted.
                model = nil
                for (number, task) in tasks.enumerated() {
                    let (product, decoded) = try await task.value
                    #expect(product == number * 3)
                    // Once in each worker; those that are threads count together.
                    #expect(decoded <= (backend == .threads ? start + 2 : 1))
                }
                #expect(try await last.value == 3)
                // A task lets go of it right after its value was taken.
                var left: [Int] = []
                for _ in 0..<200 {
                    left = try await pool.map(0..<20, chunkSize: 1) { _ in Model.alive.load(ordering: .relaxed) }
                    if left.allSatisfy({ $0 == before }) { break }
                    try await Task.sleep(for: .milliseconds(50))
                }
                #expect(left.allSatisfy { $0 == before }, "\(left)")
            }
        }

        @Test func aWorkerThatReplacesAnotherIsSentTheValue() async throws {
            try await withPool(processes: 1) { pool async throws in
                let model = try pool.share(Model(5))
                #expect(try await pool.apply(sharing: model) { $0.factor } == 5)
                await #expect(throws: ProcessCrash.self) {
                    try await pool.apply(sharing: model) { model -> Int in fatalError("\(model.factor)") }
                }
                #expect(try await onThread { try pool.apply(sharing: model) { $0.factor } } == 5)
                try await withPool(processes: 1) { other async throws in
                    try await check(pool: .invalidArgument) { try await other.apply(sharing: model) { $0.factor } }
                }
            }
        }

        // MARK: Tuples

        // CPython: _TestPool.test_starmap, _TestPool.test_starmap_async
        @Test(arguments: Backend.poolWorkers) func starMapInEveryForm(backend: Backend) async throws {
            try await withPool(processes: 2, options: backend.poolOptions) { pool async throws in
                let triples = (0..<60).map { ($0, "\($0)", Double($0) / 2) }
                let expected = triples.map { "\($0.0) \($0.1) \($0.2)" }
                #expect(try await pool.starMap(triples) { "\($0) \($1) \($2)" } == expected)
                #expect(
                    try await pool.starMap(triples, chunkSize: 7, timeout: .seconds(60), retries: 1) {
                        "\($0) \($1) \($2)"
                    } == expected
                )
                let slow = try await pool.starMap(triples) { number, text, half in
                    await Task.yield()
                    return "\(number) \(text) \(half)"
                }
                #expect(slow == expected)
                #expect(try await onThread { try pool.starMap(triples) { "\($0) \($1) \($2)" } } == expected)
                for ordered in [true, false] {
                    var seen: [String] = []
                    for try await value in try pool.starImap(triples, ordered: ordered, { "\($0) \($1) \($2)" }) {
                        seen.append(value)
                    }
                    #expect(ordered ? seen == expected : seen.sorted() == expected.sorted())
                }
                var seen: [String] = []
                for try await value in try pool.starImap(
                    triples,
                    chunkSize: 4,
                    lookAhead: 3,
                    { number, text, half in
                        await Task.yield()
                        return "\(number) \(text) \(half)"
                    }
                ) {
                    seen.append(value)
                }
                #expect(seen == expected)
                #expect(try await pool.starMap([(Int, Int)]()) { $0 + $1 }.isEmpty)
            }
        }

        @Test(arguments: Backend.poolWorkers) func sequencesReadTogether(backend: Backend) async throws {
            try await withPool(processes: 2, options: backend.poolOptions) { pool async throws in
                let texts = (0..<40).map { "\($0)" }
                // The shortest says how many.
                let sums = try await pool.starMap(zipping: 0..<100, texts, stride(from: 0, to: 500, by: 10)) {
                    number,
                    text,
                    ten in number + (Int(text) ?? 0) + ten
                }
                #expect(sums == (0..<40).map { $0 * 12 })
                let slow = try await pool.starMap(zipping: 0..<10, texts, chunkSize: 3) { number, text in
                    await Task.yield()
                    return "\(number)" == text
                }
                #expect(slow == Array(repeating: true, count: 10))
                #expect(try await onThread { try pool.starMap(zipping: 0..<3, 5..<10) { $0 * $1 } } == [0, 6, 14])
                var seen: [Int] = []
                let results = try pool.starImap(zipping: 0..<10, texts) { $0 + $1.utf8.count }
                for try await value in results { seen.append(value) }
                #expect(seen == Array(1...10))
            }
        }

        /// As far as this is an optimised build, what the optimiser leaves of closures and types is enough.
        @Test(arguments: ["processes", "threads"]) func inAPlainProgram(backend: String) async throws {
            let end = try await onThread { try Scenario(["pool-forms", backend]).finish() }
            #expect(end.status == 0 && end.output == "done\n", "\(end)")
        }

        @Test func starMapThrowsTheItemsErrorAndLimitsItsTime() async throws {
            struct Odd: Error, Codable, Equatable { var number: Int }
            try await withPool(processes: 2) { pool async throws in
                let pairs = (0..<100).map { ($0, $0) }
                await #expect(throws: Odd(number: 51)) {
                    try await pool.starMap(pairs, chunkSize: 10) { number, _ in
                        if number == 51 { throw Odd(number: number) }
                        return number
                    }
                }
                await #expect(throws: Odd(number: 51)) {
                    try await pool.starMap(pairs, chunkSize: 10) { number, _ in
                        await Task.yield()
                        if number == 51 { throw Odd(number: number) }
                        return number
                    }
                }
                try await check(pool: .timedOut) {
                    try await pool.starMap([(1, 1)], timeout: .milliseconds(200)) { _, _ -> Int in while true {} }
                }
                let crash = await #expect(throws: ProcessCrash.self) {
                    try await pool.starMap(pairs, chunkSize: 1) { number, _ -> Int in
                        if number == 3 { fatalError("three") }
                        return number
                    }
                }
                #expect(crash?.item == 3)
                try await check(pool: .invalidArgument) { try await pool.starMap(pairs, chunkSize: 0) { $0 + $1 } }
            }
        }
    }
}
