internal import MultiprocessingWire

extension Pool {
    /// Calls `transform` with each item of an asynchronous sequence, in the workers, and gives the values as they come.
    ///
    ///     for try await size in try pool.imap(linesOfLog, { try parse($0) }) { … }
    ///
    /// As for a synchronous sequence, but for two things: the input is read by a Swift task, as far as `lookAhead` allows, so that
    /// results come out while it waits for items; and it may throw, which is thrown here after the values of what came before.
    /// - Parameters:
    ///   - ordered: whether the values come in the order of the items; otherwise as soon as they are there.
    ///   - chunkSize: how many items a task takes; nil is one, because items may be long in coming. A chunk in which the input
    ///     fails is dropped.
    ///   - lookAhead: how many chunks may be under way; nil is twice the number of workers, and two.
    ///   - timeout: what an item may take, on the average of its chunk; the worker is then ended. Nil is no limit.
    ///   - retries: how often a chunk is run again if its worker dies of it: for a function that can be called twice.
    /// - Throws: ``PoolError`` (`invalidArgument`; `cannotTravel` if the function captures what cannot be sent).
    public func imap<Items: AsyncSequence & Sendable, Value: Codable & Sendable>(
        _ items: Items,
        ordered: Bool = true,
        chunkSize: Int? = nil,
        lookAhead: Int? = nil,
        timeout: Duration? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ transform: @escaping @Sendable (Items.Element) throws -> Value
    ) throws -> PoolAsyncResults<Items, Value> where Items.Element: Codable & Sendable {
        let settings = try MapSettings(chunkSize, lookAhead, timeout, retries, fileID, line)
        let function = try ChunkFunction.make(transform, settings)
        return PoolAsyncResults(pool: self, items: items, isOrdered: ordered, settings: settings, function: function)
    }

    /// The same with an asynchronous `transform`.
    public func imap<Items: AsyncSequence & Sendable, Value: Codable & Sendable>(
        _ items: Items,
        ordered: Bool = true,
        chunkSize: Int? = nil,
        lookAhead: Int? = nil,
        timeout: Duration? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ transform: @escaping @Sendable @concurrent (Items.Element) async throws -> Value
    ) throws -> PoolAsyncResults<Items, Value> where Items.Element: Codable & Sendable {
        let settings = try MapSettings(chunkSize, lookAhead, timeout, retries, fileID, line)
        let function = try ChunkFunction.make(transform, settings)
        return PoolAsyncResults(pool: self, items: items, isOrdered: ordered, settings: settings, function: function)
    }
}

/// The values of an `imap` over an asynchronous sequence; each iteration reads it anew.
public struct PoolAsyncResults<Items: AsyncSequence & Sendable, Value: Codable & Sendable>: AsyncSequence, Sendable
where Items.Element: Codable & Sendable {
    public typealias Element = Value

    let pool: Pool
    let items: Items
    let isOrdered: Bool
    let settings: MapSettings
    let function: EncodedPieces

    /// Takes the values out, one after the other.
    public struct AsyncIterator: AsyncIteratorProtocol {
        private let results: PoolAsyncResults
        private var feed: ChunkFeed<Items, Value>?
        private var ready: ArraySlice<Value> = []
        /// Chunks whose turn has not come.
        private var early: [Int: PoolCore.Outcome] = [:]
        /// The chunk whose turn it is, or how many have come if order does not matter.
        private var next = 0
        /// How many chunks there are, once that is known.
        private var chunkCount: Int?
        private var inputError: (any Error)?
        /// Thrown when `ready` is empty.
        private var failure: (any Error)?
        private var hasEnded = false

        init(_ results: PoolAsyncResults) {
            self.results = results
        }

        /// The next value; nil after the last one. Suspends until it is there.
        ///
        /// - Throws: what the function or the input threw, ``ProcessCrash`` or ``PoolError``; the iteration is over then.
        public mutating func next() async throws -> Value? {
            while true {
                if let value = ready.popFirst() { return value }
                if hasEnded { return nil }
                if failure == nil, next == chunkCount { failure = inputError }
                if failure != nil || next == chunkCount {
                    end()
                    if let failure { throw failure }
                    return nil
                }
                do {
                    try await advance()
                } catch {
                    end()
                    throw error
                }
            }
        }

        /// Leaves nothing under way.
        private mutating func end() {
            hasEnded = true
            feed = nil
        }

        private mutating func advance() async throws {
            let feed = feed ?? ChunkFeed(results.pool, results.items, results.settings, results.function)
            self.feed = feed
            for arrival in try await feed.wait() {
                switch arrival {
                case .end(let chunks, let error): (chunkCount, inputError) = (chunks, error)
                case .chunk(let chunk, let outcome) where results.isOrdered: early[chunk] = outcome
                case .chunk(_, let outcome): take(outcome)
                }
            }
            while failure == nil, let outcome = early.removeValue(forKey: next) { take(outcome) }
        }

        private mutating func take(_ outcome: PoolCore.Outcome) {
            next += 1
            do {
                let result: ChunkResult<Value> = try outcome.decoded()
                ready += result.values
                guard let bytes = result.error, failure == nil else { return }
                let worker = "a worker of \(results.pool.options.name)"
                failure = bytes.withUnsafeBytes { ErrorCoding.decode($0, process: worker, pid: 0) }
            } catch {
                failure = failure ?? error
            }
        }
    }

    public func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(self)
    }
}
