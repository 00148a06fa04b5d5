import MultiprocessingWire
import Testing

@testable import Multiprocessing

/// The ledger against workers that may do with a chunk whatever a worker can: every item has its value or its error, once.
@Suite(.timeLimit(.minutes(1)))
struct ChunkLedgerTests {
    private struct Failure: Error, Codable, Equatable {}

    private static func settings(retries: Int = 0, goesOn: Bool = true) throws -> MapSettings {
        try MapSettings(nil, nil, nil, nil, retries, "Here.swift", 1, goesOn: goesOn)
    }

    private static func result(_ offset: Int, _ values: Range<Int>, fails: Bool = false) throws -> TravellingBytes {
        let error = fails ? ErrorBox.encode(Failure()) : nil
        return TravellingBytes(try Job.encodeResult(ChunkResult(offset: offset, values: Array(values), error: error)))
    }

    /// Takes what settled into account; what goes again stays to be done.
    private struct Account {
        var values: [Int: Int] = [:]
        var failures: [Int: any Error] = [:]
        var open: [Chunk<Int>] = []

        mutating func take(_ settled: Settled<Int, Int>) {
            for (start, piece) in settled.pieces {
                for (place, value) in piece.enumerated() {
                    #expect(values[start + place] == nil && failures[start + place] == nil)
                    values[start + place] = value
                }
            }
            for (items, error) in settled.failures {
                for item in items {
                    #expect(values[item] == nil && failures[item] == nil)
                    failures[item] = error
                }
            }
            open += settled.again
        }
    }

    /// An end with no items would take the place of the next chunk's results, and those would be lost.
    @Test func aChunkThatFailsWithAllItsValuesThere() throws {
        var ledger = ChunkLedger<Int, Int>(try Self.settings(), pool: "Pool")
        ledger.begin(0, Chunk(start: 0, items: [0, 1]))
        #expect(ledger.arrived(0, .values(try Self.result(0, 0..<2))).pieces.map(\.values) == [[0, 1]])
        let settled = ledger.resolved(0, .failure(PoolError(.terminated, "")))
        #expect(settled.failures.isEmpty && settled.pieces.isEmpty && settled.again.isEmpty)
        #expect(ledger.isEmpty)
    }

    @Test(arguments: 0..<200)
    func anythingMayHappen(seed: UInt64) throws {
        var random = Seeded(state: seed &* 0x9e37_79b9_7f4a_7c15 | 1)
        let count = Int.random(in: 1...60, using: &random)
        let retries = Int.random(in: 0...2, using: &random)
        var ledger = ChunkLedger<Int, Int>(try Self.settings(retries: retries), pool: "Pool")
        var account = Account()
        account.open = [Chunk(start: 0, items: Array(0..<count), isLoose: Bool.random(using: &random))]
        var number = 0
        while let chunk = account.open.popLast() {
            number += 1
            try #require(number < 10_000, "it does not end")
            ledger.begin(number, chunk)
            var all = chunk.items.count
            // A part comes ahead, perhaps twice, as from a worker that was killed for another task.
            let ahead = Bool.random(using: &random) ? Int.random(in: 0...all, using: &random) : 0
            if ahead > 0 {
                for _ in 0..<Int.random(in: 1...2, using: &random) {
                    account.take(
                        ledger.arrived(number, .values(try Self.result(0, chunk.start..<(chunk.start + ahead))))
                    )
                }
            }
            // A loose chunk gives back what has not begun.
            if chunk.isLoose, Int.random(in: 0..<2, using: &random) == 0 {
                let begun = Int.random(in: max(1, ahead)...max(1, all), using: &random)
                account.take(ledger.arrived(number, .returned(begun)))
                all = begun
            }
            let place = Int.random(in: 0..<all, using: &random)
            let values = (chunk.start + ahead)..<(chunk.start + max(ahead, place))
            let loss = PoolCore.Loss(error: Failure(), position: nil, isDeath: Bool.random(using: &random))
            let outcome: PoolCore.Outcome =
                switch Int.random(in: 0..<7, using: &random) {
                case 0, 1: .value(try Self.result(ahead, (chunk.start + ahead)..<(chunk.start + all)), 1)
                case 2 where values.count + ahead < all: .value(try Self.result(ahead, values, fails: true), 1)
                case 3: .lost(PoolCore.Loss(error: loss.error, position: .item(place), isDeath: loss.isDeath))
                case 4: .lost(PoolCore.Loss(error: loss.error, position: .noItem, isDeath: loss.isDeath))
                case 5: .lost(PoolCore.Loss(error: loss.error, position: .before(max(1, place)), isDeath: loss.isDeath))
                default: .lost(loss)
                }
            account.take(ledger.resolved(number, outcome))
        }
        #expect(ledger.isEmpty)
        #expect(account.values.count + account.failures.count == count)
        #expect(account.values.allSatisfy { $0.key == $0.value })
    }

    @Test func aMapThatEndsWithItsFirstErrorDoesNothingAgain() throws {
        var ledger = ChunkLedger<Int, Int>(try Self.settings(goesOn: false), pool: "Pool")
        ledger.begin(1, Chunk(start: 10, items: Array(10..<20)))
        let settled = ledger.resolved(
            1,
            .lost(PoolCore.Loss(error: Failure(), position: .item(4), isDeath: true))
        )
        #expect(settled.again.isEmpty && settled.failures.map(\.items) == [14..<15])
    }

    @Test func whereNothingIsKnownTheChunkFailsAsAWhole() throws {
        var ledger = ChunkLedger<Int, Int>(try Self.settings(retries: 1), pool: "Pool")
        ledger.begin(1, Chunk(start: 10, items: Array(10..<20)))
        let loss = PoolCore.Outcome.lost(PoolCore.Loss(error: Failure(), position: nil, isDeath: true))
        let first = ledger.resolved(1, loss)
        // Where one of them may have done it they go apart.
        #expect(first.failures.isEmpty && first.again.map(\.range) == (10..<20).map { $0..<$0 + 1 })
        ledger.begin(2, first.again[0])
        let second = ledger.resolved(2, loss)
        #expect(second.again.isEmpty && second.failures.map(\.items) == [10..<11])
        var without = ChunkLedger<Int, Int>(try Self.settings(), pool: "Pool")
        without.begin(1, Chunk(start: 10, items: Array(10..<20)))
        #expect(without.resolved(1, loss).failures.map(\.items) == [10..<20])
    }

    @Test func whatMayHaveBegunIsLost() throws {
        var ledger = ChunkLedger<Int, Int>(try Self.settings(), pool: "Pool")
        func end(_ received: Int, before place: Int, chunk number: Int) throws -> Settled<Int, Int> {
            ledger.begin(number, Chunk(start: 10, items: Array(10..<20)))
            _ = ledger.arrived(number, .values(try Self.result(0, 10..<(10 + received))))
            let loss = PoolCore.Loss(error: Failure(), position: .before(place), isDeath: true)
            return ledger.resolved(number, .lost(loss))
        }
        var settled = try end(3, before: 6, chunk: 1)
        #expect(settled.failures.map(\.items) == [13..<16] && settled.again.map(\.range) == [16..<20])
        settled = try end(3, before: 3, chunk: 2)
        #expect(settled.failures.isEmpty && settled.again.map(\.range) == [13..<20])
        settled = try end(0, before: 1000, chunk: 3)
        #expect(settled.failures.map(\.items) == [10..<20] && settled.again.isEmpty)
    }

    /// A result that no honest worker sends is an error of its items, and harms nobody.
    @Test func resultsThatCannotBe() throws {
        var ledger = ChunkLedger<Int, Int>(try Self.settings(), pool: "Pool")
        let odd: [(Int, Range<Int>, Bool)] = [
            (.min, 0..<1, false), (.max, 0..<1, false), (-1, 0..<1, false), (1, 0..<1, false), (0, 0..<4, false),
            (0, 0..<3, true), (0, 0..<2, false),
        ]
        for (number, (offset, values, fails)) in odd.enumerated() {
            ledger.begin(number, Chunk(start: 0, items: [0, 1, 2]))
            let result = try Self.result(offset, values, fails: fails)
            let early = ledger.arrived(number + 100, .values(result))
            #expect(early.pieces.isEmpty)
            var account = Account()
            account.take(ledger.resolved(number, .value(result, 1)))
            #expect(account.values.count + account.failures.count + account.open.reduce(0) { $0 + $1.items.count } == 3)
            // What may be right is taken.
            #expect(account.values.count == [0, 0, 0, 0, 0, 3, 2][number])
        }
    }

    @Test func theOneThatDiedGoesAloneAndTheOthersTogether() throws {
        var ledger = ChunkLedger<Int, Int>(try Self.settings(retries: 1), pool: "Pool")
        ledger.begin(1, Chunk(start: 0, items: Array(0..<10)))
        let loss = PoolCore.Outcome.lost(PoolCore.Loss(error: Failure(), position: .item(6), isDeath: true))
        let settled = ledger.resolved(1, loss)
        #expect(settled.failures.isEmpty && settled.again.map(\.range) == [6..<7, 0..<6, 7..<10])
    }

    @Test func whatDiesBetweenTwoItemsIsNobodysFault() throws {
        var ledger = ChunkLedger<Int, Int>(try Self.settings(), pool: "Pool")
        ledger.begin(1, Chunk(start: 0, items: Array(0..<10), isLoose: true))
        let first = ledger.arrived(1, .values(try Self.result(0, 0..<4)))
        let loss = PoolCore.Outcome.lost(PoolCore.Loss(error: Failure(), position: .item(3), isDeath: true))
        let settled = ledger.resolved(1, loss)
        #expect(first.pieces.count == 1 && settled.failures.isEmpty && settled.again.map(\.range) == [4..<10])
    }

    @Test func valuesThatAreNoneEndTheChunk() throws {
        for bytes: [UInt8] in [[9, 1], [255], [2, 0, 0], [0], []] {
            var ledger = ChunkLedger<Int, Int>(try Self.settings(goesOn: false), pool: "Pool")
            ledger.begin(1, Chunk(start: 0, items: [0, 1], isLoose: true))
            let settled = ledger.arrived(1, .singly(0, TravellingBytes(bytes)))
            let end = ledger.resolved(1, .value(try Self.result(0, 0..<2), 1))
            #expect(settled.pieces.isEmpty && (end.failures.map(\.items) == [0..<2] || bytes.isEmpty))
        }
    }
}
