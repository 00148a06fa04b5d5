internal import MultiprocessingWire

extension Pool {
    /// Calls `transform` with each item, in the workers, and gives the values as they come: lazily, so that inputs without end are fine.
    ///
    ///     for try await page in try pool.imap(urls, ordered: false, { try fetch($0) }) { … }
    ///
    /// Nothing runs before the first value is asked for. Only so many chunks are read ahead of the loop: see `lookAhead`. Leaving the
    /// loop cancels what is under way.
    ///
    /// The first item that fails ends the loop; ``PoolResults/outcomes`` goes on.
    ///
    /// Python: `imap`, `imap_unordered`, which read the whole input ahead.
    /// - Parameters:
    ///   - ordered: whether the values come in the order of the items; otherwise as soon as they are there.
    ///   - chunkSize: how many items a task takes; nil is measured.
    ///   - lookAhead: how many chunks may be under way, or have come back before their turn; nil is twice the number of workers, and
    ///     two; while they take less than a quarter of a millisecond, as many as last so long; and 64 for each worker may have come
    ///     back before their turn.
    ///   - timeout: what an item may take, on the average of its chunk; the worker is then ended. Nil is no limit.
    ///   - memoryLimit: the resident memory, in bytes, that the worker may have while it runs an item; one that has more is ended. Nil is
    ///     ``PoolOptions/memoryPerTask``.
    ///   - retries: how often an item is called again if a worker dies of it: for a function that can be called twice.
    /// - Throws: ``PoolError`` (`invalidArgument`; `cannotTravel` if the function captures what cannot be sent).
    public func imap<Items: Sequence & Sendable, Value: Codable & Sendable>(
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
    ) throws -> PoolResults<Items, Value> where Items.Element: Codable & Sendable {
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
        return PoolResults(
            pool: self,
            items: items,
            isOrdered: ordered,
            settings: settings,
            function: function,
            encode: { (items) throws(ClosureError) in try Job.encodeArguments(items) }
        )
    }

    /// The same with an asynchronous `transform`.
    public func imap<Items: Sequence & Sendable, Value: Codable & Sendable>(
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
    ) throws -> PoolResults<Items, Value> where Items.Element: Codable & Sendable {
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
        return PoolResults(
            pool: self,
            items: items,
            isOrdered: ordered,
            settings: settings,
            function: function,
            encode: { (items) throws(ClosureError) in try Job.encodeArguments(items) }
        )
    }
}

/// The values of an ``Pool/imap(_:ordered:chunkSize:lookAhead:timeout:memoryLimit:retries:fileID:line:_:)``; each iteration runs the function anew.
public struct PoolResults<Items: Sequence & Sendable, Value: Codable & Sendable>: AsyncSequence, Sendable {
    public typealias Element = Value

    let pool: Pool
    let items: Items
    let isOrdered: Bool
    let settings: MapSettings
    let function: EncodedPieces
    /// Items may be tuples, which are encoded in a way of their own.
    let encode: @Sendable ([Items.Element]) throws(ClosureError) -> EncodedPieces

    /// Takes the values out, one after the other.
    public struct AsyncIterator: AsyncIteratorProtocol {
        private var reader: ValueReader<ChunkStream<Items.Element, Value>>
        // Here and not in the reader: to give out a value that is there is a matter of nanoseconds, and looks up no type.
        private var ready: [Value] = []
        private var place = 0

        init(_ results: PoolResults) {
            reader = ValueReader { results.makeCursor() }
        }

        /// The next value; nil after the last one. Suspends until it is there.
        ///
        /// - Throws: what the function threw, ``ProcessCrash`` or ``PoolError``, when the turn of the item that failed has come; the
        ///   iteration is over then.
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

    func makeCursor() -> ResultCursor<ChunkStream<Items.Element, Value>> {
        let stream = ChunkStream<Items.Element, Value>(
            pool,
            items,
            settings: settings,
            function: function,
            encode: encode
        )
        return ResultCursor(stream, isOrdered: isOrdered)
    }
}
