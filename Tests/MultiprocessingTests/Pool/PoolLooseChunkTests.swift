import Glibc
import Testing

@testable import Multiprocessing

private func die() -> Never {
    kill(getpid(), SIGKILL)
    sleepForever()
}

/// A value that some processes cannot give away.
private struct Stubborn: Codable, Sendable {
    struct Refusal: Error {}
    var number: Int

    init(_ number: Int) { self.number = number }
    init(from decoder: any Decoder) throws { number = try decoder.singleValueContainer().decode(Int.self) }
    func encode(to encoder: any Encoder) throws {
        if number % 100 == 99 { throw Refusal() }
        var container = encoder.singleValueContainer()
        try container.encode(number)
    }
}

/// A value that cannot be read everywhere.
private struct Unreadable: Codable, Sendable {
    struct Refusal: Error {}
    var number: Int

    init(_ number: Int) { self.number = number }
    init(from decoder: any Decoder) throws {
        number = try decoder.singleValueContainer().decode(Int.self)
        if number % 100 == 50 { throw Refusal() }
    }
    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(number)
    }
}

extension ProcessTests {
    /// Items that are to go alone go together while they are short, and nobody notices but by the time that it takes.
    @Suite(.timeLimit(.minutes(2)))
    struct PoolLooseChunkTests {
        @Test(arguments: [true, false], [nil, 1, 3])
        func everyValueComes(ordered: Bool, lookAhead: Int?) async throws {
            try await withPool(processes: 2) { pool async throws in
                var values: [Int] = []
                let results = try pool.imap(0..<3000, ordered: ordered, chunkSize: 1, lookAhead: lookAhead) { $0 * 3 }
                for try await value in results { values.append(value) }
                if !ordered { values.sort() }
                #expect(values == (0..<3000).map { $0 * 3 })
                // Values that are too long to go by the short way, and empty ones.
                let texts = try await pool.map(0..<500, chunkSize: 1) { String(repeating: "é", count: $0 % 90) }
                #expect(texts == (0..<500).map { String(repeating: "é", count: $0 % 90) })
            }
        }

        @Test func noMoreIsReadThanMayBeUnderWay() async throws {
            try await withPool(processes: 2) { pool async throws in
                let read = try SharedAtomic(0)
                let numbers = (0..<1000).lazy.map { number in
                    read.wrappingAdd(1)
                    return number
                }
                var taken = 0
                for try await _ in try pool.imap(Array(0..<400), chunkSize: 1, { $0 }) { taken += 1 }
                let results = try pool.imap(SendableSequence(numbers), chunkSize: 1, lookAhead: 7) { $0 }
                taken = 0
                for try await _ in results {
                    taken += 1
                    #expect(read.load() <= taken + 7)
                }
                #expect(taken == 1000)
            }
        }

        @Test(arguments: [1, 2])
        func anItemThatTakesLongHoldsUpNoOther(processes: Int) async throws {
            let goOn = try Event()
            try await withPool(processes: processes) { pool async throws in
                var order: [Int] = []
                // Short ones first, so that many go together by the time the long one comes.
                let results = try pool.imap(0..<2000, ordered: false, chunkSize: 1) { number in
                    if number == 1500 { return try goOn.wait(timeout: .seconds(60)) ? number : -1 }
                    return number
                }
                for try await value in results {
                    order.append(value)
                    // With one worker those before it have to come; with two, all others.
                    if order.count == (processes == 1 ? 1500 : 1999) { goOn.set() }
                }
                #expect(order.sorted() == Array(0..<2000))
                if processes == 1 {
                    #expect(order.prefix(1500).sorted() == Array(0..<1500))
                } else {
                    #expect(order.last == 1500)
                }
            }
        }

        @Test func noItemIsCalledTwiceWhoeverDies() async throws {
            let count = 4000
            let calls = try SharedArray<Int>(count: count)
            try await withPool(processes: 2) { pool async throws in
                let killer = Task.detached {
                    while !Task.isCancelled {
                        try? await Task.sleep(for: .milliseconds(30))
                        if let victim = pool.processIdentifiers.randomElement() { kill(victim, SIGKILL) }
                    }
                }
                defer { killer.cancel() }
                var seen: Set<Int> = []
                let results = try pool.imap(0..<count, ordered: false, chunkSize: 1) { number in
                    calls[number] += 1
                    if number % 500 == 250 { die() }
                    return number
                }
                for try await outcome in results.outcomes {
                    #expect(seen.insert(outcome.index).inserted)
                    switch outcome.result {
                    case .success(let value): #expect(value == outcome.index && calls[value] == 1)
                    case .failure(let error): #expect((error as? ProcessCrash)?.item == outcome.index, "\(error)")
                    }
                }
                #expect(seen.count == count)
                #expect((0..<count).allSatisfy { calls[$0] <= 1 })
                #expect((0..<count).filter { $0 % 500 == 250 }.allSatisfy { calls[$0] == 1 })
            }
        }

        @Test func aValueThatCannotLeaveIsItsItemsFailure() async throws {
            let calls = try SharedArray<Int>(count: 1000)
            try await withPool(processes: 1) { pool async throws in
                var failed: [Int] = []
                let results = try pool.imap(0..<1000, chunkSize: 1) { number in
                    calls[number] += 1
                    return Stubborn(number)
                }
                for try await outcome in results.outcomes {
                    switch outcome.result {
                    case .success(let value): #expect(value.number == outcome.index)
                    case .failure(let error):
                        failed.append(outcome.index)
                        #expect((error as? PoolError)?.code == .cannotTravel, "\(error)")
                    }
                }
                #expect(failed == (0..<1000).filter { $0 % 100 == 99 })
                #expect((0..<1000).allSatisfy { calls[$0] == 1 })
            }
        }

        @Test func aValueThatCannotBeReadIsItsItemsFailure() async throws {
            let calls = try SharedArray<Int>(count: 1000)
            try await withPool(processes: 1) { pool async throws in
                var failed: [Int] = []
                let results = try pool.imap(0..<1000, chunkSize: 1) { number in
                    calls[number] += 1
                    return Unreadable(number)
                }
                for try await outcome in results.outcomes {
                    switch outcome.result {
                    case .success(let value): #expect(value.number == outcome.index)
                    case .failure: failed.append(outcome.index)
                    }
                }
                #expect(failed == (0..<1000).filter { $0 % 100 == 50 })
                #expect((0..<1000).allSatisfy { calls[$0] == 1 })
            }
        }

        @Test func leavingTheLoopEndsWhatIsUnderWay() async throws {
            let calls = try SharedAtomic(0)
            try await withPool(processes: 1) { pool async throws in
                let results = try pool.imap(0..., chunkSize: 1) { _ in calls.wrappingAdd(1).newValue }
                for try await value in results where value == 500 { break }
                #expect(try await pool.apply { 1 } == 1)
                let count = calls.load()
                #expect(try await pool.apply { 2 } == 2)
                #expect(calls.load() == count)
            }
        }
    }
}
