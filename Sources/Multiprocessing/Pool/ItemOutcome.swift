/// What became of one item of an `imap`: ``PoolResults/outcomes``.
public struct ItemOutcome<Value: Sendable>: Sendable {
    /// The item's index, counted from zero over the whole input.
    public var index: Int
    /// Its value, or its error: what the function threw, ``ProcessCrash`` if the worker died of it, ``PoolError``.
    public var result: Result<Value, any Error>
}

extension PoolResults {
    /// The same results, with the failures among them: an item that fails, or whose worker dies of it, does not end the loop.
    ///
    ///     for try await file in try pool.imap(files, ordered: false, { try parse($0) }).outcomes {
    ///         do { index.add(try file.result.get()) } catch { log("\(files[file.index]): \(error)") }
    ///     }
    ///
    /// Items that were in one chunk with it go to another worker. Those that had been called, and whose values had not left their
    /// worker (they do so every 50 milliseconds), are called again: for a function that must not be, choose a `chunkSize` of 1.
    public var outcomes: PoolOutcomes<Items, Value> { PoolOutcomes(results: self) }
}

/// The values and errors of an `imap`; each iteration runs the function anew.
public struct PoolOutcomes<Items: Sequence & Sendable, Value: Codable & Sendable>: AsyncSequence, Sendable {
    let results: PoolResults<Items, Value>

    /// Takes the outcomes out, one after the other.
    public struct AsyncIterator: AsyncIteratorProtocol {
        private var reader: OutcomeReader<ChunkStream<Items.Element, Value>>

        init(_ results: PoolResults<Items, Value>) {
            reader = OutcomeReader { results.makeCursor() }
        }

        /// The next outcome; nil after the last one. Suspends until it is there.
        ///
        /// - Throws: ``PoolError`` if the pool takes no more tasks; `CancellationError`. The iteration is over then.
        public mutating func next() async throws -> ItemOutcome<Value>? { try await reader.next() }
    }

    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(results) }
}

extension PoolAsyncResults {
    /// The same results, with the failures among them, as for ``PoolResults/outcomes``. An error of the input ends the loop.
    public var outcomes: PoolAsyncOutcomes<Items, Value> { PoolAsyncOutcomes(results: self) }
}

/// The values and errors of an `imap` over an asynchronous sequence; each iteration reads it anew.
public struct PoolAsyncOutcomes<Items: AsyncSequence & Sendable, Value: Codable & Sendable>: AsyncSequence, Sendable
where Items.Element: Codable & Sendable {
    let results: PoolAsyncResults<Items, Value>

    /// Takes the outcomes out, one after the other.
    public struct AsyncIterator: AsyncIteratorProtocol {
        private var reader: OutcomeReader<ChunkFeed<Items, Value>>

        init(_ results: PoolAsyncResults<Items, Value>) {
            reader = OutcomeReader { results.makeCursor() }
        }

        /// The next outcome; nil after the last one. Suspends until it is there.
        ///
        /// - Throws: what the input threw; ``PoolError`` if the pool takes no more tasks; `CancellationError`. The iteration is over
        ///   then.
        public mutating func next() async throws -> ItemOutcome<Value>? { try await reader.next() }
    }

    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(results) }
}

/// Gives values, and ends with the first error. Begins when it is first asked; what is under way ends with it.
struct ValueReader<Source: ChunkSource> {
    private var cursor: ResultCursor<Source>?
    private let make: () -> ResultCursor<Source>
    private var hasBegun = false

    init(_ make: @escaping () -> ResultCursor<Source>) {
        self.make = make
    }

    /// The values that come next, one at least; nil after the last.
    mutating func next() async throws -> [Source.Value]? {
        if !hasBegun { cursor = make() }
        hasBegun = true
        do {
            while true {
                switch try await cursor?.next() {
                case nil:
                    cursor = nil
                    return nil
                case .values(_, let values)?: if !values.isEmpty { return values }
                case .failure(_, let error)?: throw error
                }
            }
        } catch {
            cursor = nil
            throw error
        }
    }
}

/// Gives values and errors, item for item. Begins when it is first asked; what is under way ends with it.
struct OutcomeReader<Source: ChunkSource> {
    private var cursor: ResultCursor<Source>?
    private let make: () -> ResultCursor<Source>
    private var ready: ArraySlice<ItemOutcome<Source.Value>> = []
    private var hasBegun = false

    init(_ make: @escaping () -> ResultCursor<Source>) {
        self.make = make
    }

    mutating func next() async throws -> ItemOutcome<Source.Value>? {
        if !hasBegun { cursor = make() }
        hasBegun = true
        do {
            while true {
                if let outcome = ready.popFirst() { return outcome }
                switch try await cursor?.next() {
                case nil:
                    cursor = nil
                    return nil
                case .values(let start, let values)?:
                    ready = values.enumerated().map { ItemOutcome(index: start + $0, result: .success($1)) }[...]
                case .failure(let items, let error)?:
                    ready = items.map { ItemOutcome(index: $0, result: .failure(error)) }[...]
                }
            }
        } catch {
            cursor = nil
            throw error
        }
    }
}
