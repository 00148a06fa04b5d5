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
    ///   - lookAhead: how many chunks may be under way, or have come back before their turn; nil is twice the number of workers, and
    ///     two; and 64 for each worker may have come back before their turn.
    ///   - timeout: what an item may take, on the average of its chunk; the worker is then ended. Nil is no limit.
    ///   - memoryLimit: the resident memory, in bytes, that the worker may have while it runs an item; one that has more is ended. Nil is
    ///     ``PoolOptions/memoryPerTask``.
    ///   - retries: how often an item is called again if a worker dies of it: for a function that can be called twice.
    /// - Throws: ``PoolError`` (`invalidArgument`; `cannotTravel` if the function captures what cannot be sent).
    public func imap<Items: AsyncSequence & Sendable, Value: Codable & Sendable>(
        _ items: Items,
        ordered: Bool = true,
        chunkSize: Int? = nil,
        lookAhead: Int? = nil,
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ transform: @escaping @Sendable (Items.Element) throws -> Value
    ) throws -> PoolAsyncResults<Items, Value> where Items.Element: Codable & Sendable {
        let settings = try MapSettings(
            chunkSize,
            lookAhead,
            timeout,
            memoryLimit,
            retries,
            fileID,
            line,
            call: "imap",
            goesOn: true
        )
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
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ transform: @escaping @Sendable @concurrent (Items.Element) async throws -> Value
    ) throws -> PoolAsyncResults<Items, Value> where Items.Element: Codable & Sendable {
        let settings = try MapSettings(
            chunkSize,
            lookAhead,
            timeout,
            memoryLimit,
            retries,
            fileID,
            line,
            call: "imap",
            goesOn: true
        )
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
        private var reader: ValueReader<ChunkFeed<Items, Value>>
        // Here and not in the reader: to give out a value that is there is a matter of nanoseconds, and looks up no type.
        private var ready: [Value] = []
        private var place = 0

        init(_ results: PoolAsyncResults) {
            reader = ValueReader { results.makeCursor() }
        }

        /// The next value; nil after the last one. Suspends until it is there.
        ///
        /// - Throws: what the function or the input threw, ``ProcessCrash`` or ``PoolError``; the iteration is over then.
        public mutating func next() async throws -> Value? {
            if place == ready.count {
                (ready, place) = ([], 0)
                guard let values = try await reader.next() else { return nil }
                ready = values
            }
            place += 1
            return ready[place - 1]
        }
    }

    public func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(self)
    }

    func makeCursor() -> ResultCursor<ChunkFeed<Items, Value>> {
        ResultCursor(ChunkFeed(pool, items, settings, function), isOrdered: isOrdered)
    }
}
