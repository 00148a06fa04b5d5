import MultiprocessingWire
import Synchronization
import Testing

@testable import Multiprocessing

/// What a loop over the items of a chunk tells a pool that cannot look into its memory.
@Suite(.timeLimit(.minutes(1)))
struct ChunkClaimTests {
    private final class Told: Sendable {
        let claims = Mutex<[Int]>([])
        let values = Mutex(0)

        func reporter(_ pace: ChunkPace) -> ChunkReporter {
            let claims = ChunkReporter.Claims(pace: pace) { count in self.claims.withLock { $0.append(count) } }
            return ChunkReporter(word: nil, tag: 0, claims: claims) { pieces in
                let result: ChunkResult<Int> = try TravellingBytes(pieces).decoded()
                self.values.withLock { $0 += result.values.count }
            }
        }
    }

    @Test func noItemBeginsThatWasNotClaimed() {
        let pace = ChunkPace()
        for round in 0..<2 {
            let told = Told()
            ChunkReporter.$current.withValue(told.reporter(pace)) {
                var chunk = ChunkRun<Int>()
                for item in 0..<100_000 {
                    guard chunk.begin() else { break }
                    let claimed = told.claims.withLock { $0.last ?? 0 }
                    if item >= claimed { Issue.record("item \(item), where \(claimed) were claimed") }
                    chunk.add(item)
                }
                #expect(told.values.withLock { $0 } + chunk.end().values.count == 100_000)
            }
            // Some at first, as it is not known how short the items are; then about one for each ten milliseconds.
            #expect(told.claims.withLock { $0.count } < 200, "round \(round)")
        }
    }

    @Test func longItemsAreClaimedOneByOneAndTheirValuesLeave() {
        let told = Told()
        let pace = ChunkPace()
        // What is known from other chunks is wrong at once.
        ChunkReporter.$current.withValue(Told().reporter(pace)) {
            var chunk = ChunkRun<Int>()
            for item in 0..<1000 {
                let begins = chunk.begin()
                #expect(begins)
                chunk.add(item)
            }
            _ = chunk.end()
        }
        ChunkReporter.$current.withValue(told.reporter(pace)) {
            var chunk = ChunkRun<Int>()
            for item in 0..<5 {
                let begins = chunk.begin()
                #expect(begins)
                if item > 0 {
                    #expect(told.claims.withLock { $0.last } == item + 1)
                    #expect(told.values.withLock { $0 } == item)
                }
                pause(.milliseconds(12))
                chunk.add(item)
            }
            #expect(chunk.end().values.count == 1)
        }
        #expect(told.claims.withLock { $0.count } == 5)
    }
}
