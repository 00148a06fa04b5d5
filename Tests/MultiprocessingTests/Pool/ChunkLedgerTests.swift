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
        #expect(ledger.arrived(0, try Self.result(0, 0..<2)).pieces.map(\.values) == [[0, 1]])
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
        account.open = [Chunk(start: 0, items: Array(0..<count))]
        var number = 0
        while let chunk = account.open.popLast() {
            number += 1
            try #require(number < 10_000, "it does not end")
            ledger.begin(number, chunk)
            let all = chunk.items.count
            // A part comes ahead, perhaps twice, as from a worker that was killed for another task.
            let ahead = Bool.random(using: &random) ? Int.random(in: 0...all, using: &random) : 0
            if ahead > 0 {
                for _ in 0..<Int.random(in: 1...2, using: &random) {
                    account.take(ledger.arrived(number, try Self.result(0, chunk.start..<(chunk.start + ahead))))
                }
            }
            let place = Int.random(in: 0..<all, using: &random)
            let values = (chunk.start + ahead)..<(chunk.start + max(ahead, place))
            let loss = PoolCore.Loss(error: Failure(), position: nil, isDeath: Bool.random(using: &random))
            let outcome: PoolCore.Outcome =
                switch Int.random(in: 0..<6, using: &random) {
                case 0, 1: .value(try Self.result(ahead, (chunk.start + ahead)..<chunk.range.upperBound), 1)
                case 2 where values.count + ahead < all: .value(try Self.result(ahead, values, fails: true), 1)
                case 3: .lost(PoolCore.Loss(error: loss.error, position: .item(place), isDeath: loss.isDeath))
                case 4: .lost(PoolCore.Loss(error: loss.error, position: .noItem, isDeath: loss.isDeath))
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
        #expect(first.failures.isEmpty && first.again.map(\.range) == [10..<20])
        ledger.begin(2, first.again[0])
        let second = ledger.resolved(2, loss)
        #expect(second.again.isEmpty && second.failures.map(\.items) == [10..<20])
    }

    @Test func theOneThatDiedGoesAloneAndTheOthersTogether() throws {
        var ledger = ChunkLedger<Int, Int>(try Self.settings(retries: 1), pool: "Pool")
        ledger.begin(1, Chunk(start: 0, items: Array(0..<10)))
        let loss = PoolCore.Outcome.lost(PoolCore.Loss(error: Failure(), position: .item(6), isDeath: true))
        let settled = ledger.resolved(1, loss)
        #expect(settled.failures.isEmpty && settled.again.map(\.range) == [6..<7, 0..<6, 7..<10])
    }
}
