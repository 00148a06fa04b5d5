import Multiprocessing
import Testing

private struct BadInput: Error, Equatable {
    var place: Int
}

/// The numbers from zero; in place of one of them, an error.
private struct Numbers: AsyncSequence, Sendable {
    var failure: Int?

    struct AsyncIterator: AsyncIteratorProtocol {
        var next = 0
        var failure: Int?

        mutating func next() async throws -> Int? {
            if next == failure { throw BadInput(place: next) }
            defer { next += 1 }
            return next
        }
    }

    func makeAsyncIterator() -> AsyncIterator { AsyncIterator(failure: failure) }
}

extension ProcessTests {
    @Suite(.timeLimit(.minutes(2)))
    struct PoolInputTests {
        // CPython: _TestPool.test_imap_handle_iterable_exception, _TestPool.test_map_handle_iterable_exception
        @Test(arguments: Backend.poolWorkersAnywhere, [(0, 1), (3, 1), (10, 1), (27, 10)])
        func resultsBeforeAnInputThatFails(backend: Backend, _ place: (failure: Int, chunkSize: Int)) async throws {
            try await withPool(processes: 2, options: backend.poolOptions) { pool async throws in
                var values: [Int] = []
                await #expect(throws: BadInput(place: place.failure)) {
                    let input = Numbers(failure: place.failure)
                    for try await value in try pool.imap(input, chunkSize: place.chunkSize, { $0 * 2 }) {
                        values.append(value)
                    }
                }
                #expect(values == (0..<place.failure / place.chunkSize * place.chunkSize).map { $0 * 2 })
                #expect(try await pool.apply { 1 } == 1)
            }
        }

        // CPython: _TestPool.test_imap_unordered_handle_iterable_exception
        @Test(arguments: Backend.poolWorkersAnywhere) func unorderedResultsOfAnInputThatFails(backend: Backend)
            async throws
        {
            try await withPool(processes: 2, options: backend.poolOptions) { pool async throws in
                var values: Set<Int> = []
                await #expect(throws: BadInput(place: 10)) {
                    for try await value in try pool.imap(Numbers(failure: 10), ordered: false, { $0 * 2 }) {
                        values.insert(value)
                    }
                }
                #expect(values == Set((0..<10).map { $0 * 2 }))
            }
        }

        @Test(arguments: [true, false]) func anInputWithoutEnd(ordered: Bool) async throws {
            try await withPool(processes: 2) { pool async throws in
                var values: [Int] = []
                for try await value in try pool.imap(Numbers(), ordered: ordered, chunkSize: 3, { $0 }) {
                    values.append(value)
                    if values.count == 300 { break }
                }
                #expect(ordered ? values == Array(0..<300) : Set(values).count == 300)
                #expect(try await eventually { pool.unresolvedCount == 0 })
            }
        }

        @Test func resultsComeOutWhileTheInputWaits() async throws {
            let (input, continuation) = AsyncStream.makeStream(of: Int.self)
            try await withPool(processes: 1) { pool async throws in
                var values = try pool.imap(input) { $0 + 1 }.makeAsyncIterator()
                for number in 0..<5 {
                    continuation.yield(number)
                    #expect(try await values.next() == number + 1)
                }
                continuation.finish()
                #expect(try await values.next() == nil)
            }
        }
    }
}
