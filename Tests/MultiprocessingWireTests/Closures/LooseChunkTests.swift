import Synchronization
import Testing

@testable import MultiprocessingWire

/// What a worker does with a loose chunk, without a worker.
@Suite(.timeLimit(.minutes(1)))
struct LooseChunkTests {
    private struct Failure: Error, Codable {}

    /// What leaves, in order.
    private final class Sent: Sendable {
        let values = Mutex<[(place: Int, value: Int)]>([])
        let takesSmall: Bool

        init(takesSmall: Bool = true) { self.takesSmall = takesSmall }

        var loose: LooseChunk {
            LooseChunk { place, bytes in
                guard self.takesSmall else { return false }
                let value = try #require(BinaryDecoder.decodeSmall(Int.self, from: bytes))
                self.values.withLock { $0.append((place, value)) }
                return true
            } explain: { _ in
                Failure()
            }
        }

        func reporter(_ loose: LooseChunk) -> ChunkReporter {
            ChunkReporter(word: nil, tag: 0, loose: loose) { pieces in
                let result = try Job.decodeResult(pieces, as: ChunkResult<Int>.self)
                self.values.withLock { $0 += result.values.enumerated().map { (result.offset + $0, $1) } }
            }
        }
    }

    @Test(arguments: [true, false])
    func valuesLeaveBeforeTheNextItemBegins(takesSmall: Bool) throws {
        let sent = Sent(takesSmall: takesSmall)
        let result = ChunkReporter.$current.withValue(sent.reporter(sent.loose)) {
            var chunk = ChunkRun<Int>()
            return chunk.run(Array(0..<300)) { item in
                #expect(sent.values.withLock { $0.count } == item)
                return item * 2
            }
        }
        #expect(result.values.isEmpty && result.offset == 300 && result.error == nil)
        #expect(sent.values.withLock { $0.map(\.place) } == Array(0..<300))
        #expect(sent.values.withLock { $0.map(\.value) } == (0..<300).map { $0 * 2 })
    }

    @Test func aClosedOneBeginsNothingMore() {
        let sent = Sent()
        let loose = sent.loose
        var begun: Int?
        let result = ChunkReporter.$current.withValue(sent.reporter(loose)) {
            var chunk = ChunkRun<Int>()
            return chunk.run(Array(0..<100)) { item in
                if item == 40 { begun = loose.close() }
                return item
            }
        }
        #expect(begun == 41 && loose.close() == nil)
        #expect(result.offset == 41 && result.error == nil && sent.values.withLock { $0.count } == 41)
    }

    /// Whoever closes it, at whatever moment, knows exactly which items have begun.
    @Test(arguments: 0..<20)
    func closedFromElsewhere(round: Int) async {
        let sent = Sent()
        let loose = sent.loose
        let count = 20_000
        async let begun = Task.detached {
            for _ in 0..<(round * 500) { _ = loose }
            return loose.close()
        }.value
        let result = await Task.detached {
            ChunkReporter.$current.withValue(sent.reporter(loose)) {
                var chunk = ChunkRun<Int>()
                return chunk.run(Array(0..<count)) { $0 }
            }
        }.value
        // It may be closed after its last item.
        #expect(await begun == result.offset || result.offset == count)
        #expect(sent.values.withLock { $0.count } == result.offset)
    }

    @Test func whatIsThrownIsTheError() {
        let sent = Sent()
        let result = ChunkReporter.$current.withValue(sent.reporter(sent.loose)) {
            var chunk = ChunkRun<Int>()
            return chunk.run(Array(0..<100)) { item in
                if item == 7 { throw Failure() }
                return item
            }
        }
        #expect(result.offset == 7 && result.values.isEmpty && result.error != nil)
    }

    @Test func aValueThatCannotLeaveEndsIt() {
        let loose = LooseChunk { place, _ in
            if place == 5 { throw Failure() }
            return true
        } explain: {
            $0
        }
        let reporter = ChunkReporter(word: nil, tag: 0, loose: loose) { _ in }
        var calls = 0
        let result = ChunkReporter.$current.withValue(reporter) {
            var chunk = ChunkRun<Int>()
            return chunk.run(Array(0..<100)) { item in
                calls += 1
                return item
            }
        }
        #expect(calls == 6 && result.offset == 5 && result.error != nil)
    }
}
