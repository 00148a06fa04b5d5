import Glibc
import Testing

@testable import Multiprocessing

private struct Odd: IndexedError, Codable, Equatable {
    var number: Int
    var item: Int?
}

/// An error that stays in its process.
private struct Local: Error {}

/// Ends the process without a report, which would take a second for each.
private func die() -> Never {
    kill(getpid(), SIGKILL)
    sleepForever()
}

/// Ends the process that decodes it, or that encodes it.
private struct Mine: Codable, Sendable {
    var number: Int
    var isDeadly = false

    init(_ number: Int, isDeadly: Bool = false) {
        (self.number, self.isDeadly) = (number, isDeadly)
    }
    init(from decoder: any Decoder) throws {
        number = try decoder.singleValueContainer().decode(Int.self)
        if number < 0 { die() }
    }
    func encode(to encoder: any Encoder) throws {
        if isDeadly { die() }
        var container = encoder.singleValueContainer()
        try container.encode(number)
    }
}

private struct Later: AsyncSequence, Sendable {
    var count: Int

    struct AsyncIterator: AsyncIteratorProtocol {
        var next = 0
        var count: Int

        mutating func next() async -> Int? {
            await Task.yield()
            guard next < count else { return nil }
            defer { next += 1 }
            return next
        }
    }

    func makeAsyncIterator() -> AsyncIterator { AsyncIterator(count: count) }
}

/// Two items in a hundred end their worker, two throw.
private let troublesome: @Sendable (Int) throws -> Int = { number in
    if number == 17 || number == 53 { die() }
    if number == 28 || number == 29 { throw Odd(number: number) }
    return number * 2
}

extension ProcessTests {
    /// What becomes of the items of a chunk when one of them fails, or takes its worker with it.
    @Suite(.timeLimit(.minutes(2)))
    struct PoolChunkTests {
        @Test(arguments: [true, false], [1, 10, 100])
        func oneItemFailsAndNoOther(ordered: Bool, chunkSize: Int) async throws {
            try await withPool(processes: 2) { pool async throws in
                var outcomes: [ItemOutcome<Int>] = []
                let results = try pool.imap(0..<100, ordered: ordered, chunkSize: chunkSize) { try troublesome($0) }
                for try await outcome in results.outcomes { outcomes.append(outcome) }
                check(outcomes, ordered: ordered)
                #expect(try await pool.apply { 1 } == 1)
            }
        }

        @Test(arguments: [true, false])
        func theSameWithAnInputThatComesLater(ordered: Bool) async throws {
            try await withPool(processes: 2) { pool async throws in
                var outcomes: [ItemOutcome<Int>] = []
                let results = try pool.imap(Later(count: 100), ordered: ordered, chunkSize: 10, lookAhead: 2) {
                    try troublesome($0)
                }
                for try await outcome in results.outcomes { outcomes.append(outcome) }
                check(outcomes, ordered: ordered)
            }
        }

        private func check(_ outcomes: [ItemOutcome<Int>], ordered: Bool) {
            #expect(outcomes.count == 100 && Set(outcomes.map(\.index)).count == 100)
            if ordered { #expect(outcomes.map(\.index) == Array(0..<100)) }
            for outcome in outcomes {
                switch outcome.result {
                case .success(let value): #expect(value == outcome.index * 2)
                case .failure(let error as Odd):
                    #expect(error == Odd(number: outcome.index, item: outcome.index))
                    #expect(outcome.index == 28 || outcome.index == 29)
                case .failure(let error):
                    let crash = error as? ProcessCrash
                    #expect(outcome.index == 17 || outcome.index == 53, "\(error)")
                    #expect(crash?.item == outcome.index && crash?.attempts == 1)
                    #expect(crash?.task?.hasPrefix("item \(outcome.index) of imap at ") == true, "\(error)")
                }
            }
        }

        @Test func valuesBeforeTheItemThatFailedAreThere() async throws {
            try await withPool(processes: 1) { pool async throws in
                var values: [Int] = []
                let crash = await #expect(throws: ProcessCrash.self) {
                    for try await value in try pool.imap(0..<100, chunkSize: 10, { try troublesome($0) }) {
                        values.append(value)
                    }
                }
                #expect(crash?.item == 17)
                #expect(values == (0..<17).map { $0 * 2 })
            }
        }

        @Test func errorsOfMapsNameTheirItem() async throws {
            try await withPool(processes: 2) { pool async throws in
                let error = await #expect(throws: Odd.self) {
                    try await pool.map(20..<50, chunkSize: 5) { try troublesome($0) }
                }
                #expect(error == Odd(number: 28, item: 8))
            }
        }

        @Test func errorsThatCannotTravelNameTheirItem() async throws {
            try await withPool(processes: 1) { pool async throws in
                let remote = await #expect(throws: RemoteError.self) {
                    try await pool.map(0..<50, chunkSize: 20) { number in
                        if number == 33 { throw Local() }
                        return number
                    }
                }
                #expect(remote?.item == 33)
                let crash = await #expect(throws: ProcessCrash.self) {
                    try await pool.starMap(zip(0..<50, 0..<50), chunkSize: 20) { left, right in
                        if left + right == 44 { die() }
                        return 1
                    }
                }
                #expect(crash?.item == 22 && crash?.task?.hasPrefix("item 22 of starMap at ") == true)
            }
        }

        @Test(arguments: [1, 2])
        func retriesAreOfTheItem(retries: Int) async throws {
            let calls = try SharedAtomic(0)
            try await withPool(processes: 2) { pool async throws in
                do {
                    let values = try await pool.map(0..<40, chunkSize: 20, retries: retries) { number in
                        // Twice, and then no more.
                        if number == 7, calls.wrappingAdd(1).newValue < 3 { kill(getpid(), SIGKILL) }
                        return number
                    }
                    #expect(values == Array(0..<40) && retries == 2)
                } catch let crash as ProcessCrash {
                    #expect(retries == 1 && crash.attempts == 2 && crash.item == 7)
                    #expect(crash.description.contains("the last of 2 workers"), "\(crash)")
                }
            }
        }

        @Test func whatALongChunkHadDoneIsNotDoneAgain() async throws {
            let calls = try (0..<6).map { _ in try SharedAtomic(0) }
            try await withPool(processes: 1) { pool async throws in
                var values: [Int] = []
                let results = try pool.imap(0..<6, chunkSize: 6) { number in
                    calls[number].wrappingAdd(1)
                    if number == 4 { die() }
                    pause(.milliseconds(60))
                    return number
                }
                for try await outcome in results.outcomes {
                    if let value = try? outcome.result.get() { values.append(value) }
                }
                #expect(values == [0, 1, 2, 3, 5])
                #expect(calls.map { $0.load() } == [1, 1, 1, 1, 1, 1])
            }
        }

        @Test func argumentsAndResultsThatKill() async throws {
            try await withPool(processes: 2) { pool async throws in
                let arguments = (0..<8).map { Mine($0 == 5 ? -1 : $0) }
                for try await outcome in try pool.imap(arguments, chunkSize: 8, { $0.number }).outcomes {
                    switch outcome.result {
                    case .success(let value): #expect(value == outcome.index && value != 5)
                    case .failure(let error): #expect((error as? ProcessCrash)?.item == 5 && outcome.index == 5)
                    }
                }
                let results = try pool.imap(0..<8, chunkSize: 8) { Mine($0, isDeadly: $0 == 6) }
                for try await outcome in results.outcomes {
                    switch outcome.result {
                    case .success(let value): #expect(value.number == outcome.index && value.number != 6)
                    case .failure(let error): #expect((error as? ProcessCrash)?.item == 6 && outcome.index == 6)
                    }
                }
            }
        }

        @Test func anItemThatTakesTooLong() async throws {
            try await withPool(processes: 1) { pool async throws in
                var count = 0
                let results = try pool.imap(0..<8, chunkSize: 4, timeout: .milliseconds(100)) { number in
                    if number == 2 { while true {} }
                    return number
                }
                for try await outcome in results.outcomes {
                    count += 1
                    switch outcome.result {
                    case .success(let value): #expect(value == outcome.index && value != 2)
                    case .failure(let error):
                        #expect((error as? PoolError)?.code == .timedOut && (error as? PoolError)?.item == 2)
                        #expect("\(error)".contains("item 2 of imap"), "\(error)")
                    }
                }
                #expect(count == 8)
            }
        }

        @Test func threadsReportTheSame() async throws {
            var options = PoolOptions()
            options.backend = .threads
            try await withPool(processes: 2, options: options) { pool async throws in
                var failures: [Int] = []
                for try await outcome in try pool.imap(20..<50, chunkSize: 7, { try troublesome($0) }).outcomes {
                    if case .failure = outcome.result { failures.append(outcome.index) }
                }
                #expect(failures == [8, 9])
            }
        }
    }
}
