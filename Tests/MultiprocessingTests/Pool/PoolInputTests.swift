import Synchronization
import Testing

@testable import Multiprocessing

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

/// The elements of an iterator, for one iteration.
private struct AsyncNumbers<Base: IteratorProtocol>: AsyncSequence, @unchecked Sendable where Base.Element == Int {
    // Unchecked: only one iterates.
    let base: Base

    init(_ base: Base) { self.base = base }

    struct AsyncIterator: AsyncIteratorProtocol {
        var base: Base

        mutating func next() async -> Int? { base.next() }
    }

    func makeAsyncIterator() -> AsyncIterator { AsyncIterator(base: base) }
}

/// A sequence of which no more is known than that it is one.
struct SendableSequence<Element>: Sequence, @unchecked Sendable {
    // Unchecked: only one iterates.
    private let base: AnySequence<Element>

    init(_ base: some Sequence<Element>) { self.base = AnySequence { base.makeIterator() } }

    func makeIterator() -> AnyIterator<Element> { base.makeIterator() }
}

/// Numbers without end, which are counted as they are read: at once, or by a Swift task.
private final class Counted: Sequence, AsyncSequence, Sendable {
    typealias Element = Int
    let read = Atomic(0)

    struct Iterator: IteratorProtocol, AsyncIteratorProtocol {
        let source: Counted

        func next() -> Int? { source.read.add(1, ordering: .relaxed).oldValue }
    }

    func makeIterator() -> Iterator { Iterator(source: self) }
    func makeAsyncIterator() -> Iterator { makeIterator() }
}

/// All odd numbers, of which nobody knows how many there are but by going from one to the next.
private struct Odd: Collection, Sendable {
    let startIndex = 1
    let endIndex = Int.max
    func index(after index: Int) -> Int { index + 2 }
    subscript(index: Int) -> Int { index }
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

        /// What comes back before its turn counts: one item that takes long does not have an input without end read behind it.
        @Test(arguments: [true, false], [1, 4]) func noMoreIsReadBehindAnItemThatTakesLong(
            isAsync: Bool,
            chunkSize: Int
        )
            async throws
        {
            let (goOn, read) = (try Event(), try SharedAtomic(0))
            let counted = (0...).lazy.map { number in
                read.wrappingAdd(1)
                return number
            }
            let body: @Sendable (Int) throws -> Int = { number in
                if number == 0 { _ = try goOn.wait(timeout: .seconds(60)) }
                return number
            }
            try await withPool(processes: 2) { pool async throws in
                let watcher = Task.detached {
                    let isRead = try await eventually { read.load() >= 5 * chunkSize }
                    try await Task.sleep(for: .milliseconds(100))
                    defer { goOn.set() }
                    return isRead ? read.load() : -1
                }
                if isAsync {
                    let input = AsyncNumbers(counted.makeIterator())
                    for try await value in try pool.imap(input, chunkSize: chunkSize, lookAhead: 5, body)
                    where value == 99 {
                        break
                    }
                } else {
                    let input = SendableSequence(counted)
                    for try await value in try pool.imap(input, chunkSize: chunkSize, lookAhead: 5, body)
                    where value == 99 {
                        break
                    }
                }
                #expect(try await watcher.value == 5 * chunkSize)
            }
        }

        /// Everything behind a slow item comes back, and waits for its turn: no more may be read than the loop allows.
        @Test(arguments: [true, false]) func aSlowItemDoesNotHaveTheInputRead(comesLater: Bool) async throws {
            let slow: @Sendable (Int) -> Int = { number in
                if number == 0 { pause(.milliseconds(200)) }
                return number
            }
            try await withPool(processes: 2) { pool async throws in
                let numbers = Counted()
                var values: [Int] = []
                var most = 0
                func take(_ value: Int) {
                    values.append(value)
                    // Four chunks of three, and one that may be read while this looks.
                    most = Swift.max(most, numbers.read.load(ordering: .relaxed) - value)
                }
                if comesLater {
                    let results: PoolAsyncResults<Counted, Int> = try pool.imap(
                        numbers,
                        chunkSize: 3,
                        lookAhead: 4,
                        slow
                    )
                    for try await value in results {
                        take(value)
                        if values.count == 300 { break }
                    }
                } else {
                    let results: PoolResults<Counted, Int> = try pool.imap(numbers, chunkSize: 3, lookAhead: 4, slow)
                    for try await value in results {
                        take(value)
                        if values.count == 300 { break }
                    }
                }
                #expect(values == Array(0..<300))
                #expect(most <= 15, "\(most) items were read ahead")
            }
        }

        /// To count its items would be to look at all of them.
        @Test func aCollectionThatHasToBeReadIsNotCounted() async throws {
            try await withPool(processes: 1) { pool async throws in
                var values: [Int] = []
                for try await value in try pool.imap(Odd(), { $0 }) {
                    values.append(value)
                    if values.count == 5 { break }
                }
                #expect(values == [1, 3, 5, 7, 9])
                #expect(try await pool.map(Set(0..<50)) { $0 }.sorted() == Array(0..<50))
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
