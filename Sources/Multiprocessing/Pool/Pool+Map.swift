// A function over many items: `map` gives all results at once, in order; `imap` gives them as they come.

extension Pool {
    /// Calls `transform` with each item, in the workers, and returns the values in the order of the items; suspends.
    ///
    /// Items travel in chunks, sized from how long items have taken so far (some milliseconds of work each). The first error, of
    /// an item or of a worker that died, ends the map: what has not begun is dropped, and the error is thrown with its type.
    /// Cancelling the Swift task ends the work. Reads the sequence as it goes, but keeps all the results.
    ///
    /// Python: `Pool.map`.
    /// - Parameters:
    ///   - chunkSize: how many items a task takes; nil is measured.
    ///   - timeout: what an item may take, on the average of its chunk; the worker is then ended. Nil is no limit.
    ///   - retries: how often a chunk is run again if its worker dies of it: for a function that can be called twice.
    /// - Throws: what `transform` throws, with its type where that is `Codable`, else ``RemoteError``; ``ProcessCrash``; ``PoolError``.
    public func map<Items: Sequence, Value: Codable & Sendable>(
        _ items: Items,
        chunkSize: Int? = nil,
        timeout: Duration? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ transform: @escaping @Sendable (Items.Element) throws -> Value
    ) async throws -> [Value] where Items.Element: Codable & Sendable {
        let settings = try settings(chunkSize, nil, timeout, retries, fileID, line)
        let stream = try ChunkStream(self, items, settings: settings, transform: transform)
        var results = OrderedChunks<Value>()
        try stream.fill()
        while !stream.isDone {
            for arrival in try await stream.wait() {
                if let error = arrival.error { throw error }
                results.add(arrival.chunk, arrival.values)
            }
            try stream.fill()
        }
        return results.all
    }

    /// ``map(_:chunkSize:timeout:retries:fileID:line:_:)`` for code that may block its thread.
    @available(*, noasync, message: "Use the async map: this one blocks the thread")
    public func map<Items: Sequence, Value: Codable & Sendable>(
        _ items: Items,
        chunkSize: Int? = nil,
        timeout: Duration? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ transform: @escaping @Sendable (Items.Element) throws -> Value
    ) throws -> [Value] where Items.Element: Codable & Sendable {
        let settings = try settings(chunkSize, nil, timeout, retries, fileID, line)
        let stream = try ChunkStream(self, items, settings: settings, transform: transform)
        var results = OrderedChunks<Value>()
        try stream.fill()
        while !stream.isDone {
            for arrival in stream.wait() {
                if let error = arrival.error { throw error }
                results.add(arrival.chunk, arrival.values)
            }
            try stream.fill()
        }
        return results.all
    }

    /// Calls `transform` with each item, in the workers, and gives the values as they come: lazily, so that inputs without end are fine.
    ///
    ///     for try await page in pool.imap(urls, ordered: false, { try fetch($0) }) { … }
    ///
    /// Nothing happens before the first value is asked for. Only `lookAhead` chunks are read ahead of the loop. Leaving the loop
    /// cancels what is under way.
    ///
    /// Python: `imap`, `imap_unordered`, which read the whole input ahead.
    /// - Parameters:
    ///   - ordered: whether the values come in the order of the items; otherwise as soon as they are there.
    ///   - chunkSize: how many items a task takes; nil is measured.
    ///   - lookAhead: how many chunks may be under way; nil is twice the number of workers, and two.
    public func imap<Items: Sequence & Sendable, Value: Codable & Sendable>(
        _ items: Items,
        ordered: Bool = true,
        chunkSize: Int? = nil,
        lookAhead: Int? = nil,
        timeout: Duration? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ transform: @escaping @Sendable (Items.Element) throws -> Value
    ) throws -> PoolResults<Items, Value> where Items.Element: Codable & Sendable {
        let settings = try settings(chunkSize, lookAhead, timeout, retries, fileID, line)
        return PoolResults(pool: self, items: items, isOrdered: ordered, settings: settings, transform: transform)
    }

    private func settings(
        _ chunkSize: Int?,
        _ lookAhead: Int?,
        _ timeout: Duration?,
        _ retries: Int,
        _ fileID: StaticString,
        _ line: UInt
    ) throws -> MapSettings {
        if let chunkSize, chunkSize < 1 { throw PoolError(.invalidArgument, "A chunk cannot have \(chunkSize) items") }
        if let lookAhead, lookAhead < 1 {
            throw PoolError(.invalidArgument, "Nothing comes of a look-ahead of \(lookAhead)")
        }
        return MapSettings(
            chunkSize: chunkSize,
            lookAhead: lookAhead,
            timeout: timeout,
            retries: retries,
            fileID: "\(fileID)",
            line: Int(line)
        )
    }
}

/// The values of an ``Pool/imap(_:ordered:chunkSize:lookAhead:timeout:retries:fileID:line:_:)``; each iteration runs the function anew.
public struct PoolResults<Items: Sequence & Sendable, Value: Codable & Sendable>: AsyncSequence, Sendable
where Items.Element: Codable & Sendable {
    public typealias Element = Value

    let pool: Pool
    let items: Items
    let isOrdered: Bool
    let settings: MapSettings
    let transform: @Sendable (Items.Element) throws -> Value

    /// Takes the values out, one after the other.
    public struct AsyncIterator: AsyncIteratorProtocol {
        let results: PoolResults
        private var stream: ChunkStream<Items.Element, Value>?
        private var ready: ArraySlice<Value> = []
        private var ordered = OrderedChunks<Value>()
        /// The errors of chunks whose turn has not come.
        private var errors: [Int: any Error] = [:]
        private var failure: (any Error)?
        private var hasEnded = false

        init(_ results: PoolResults) {
            self.results = results
        }

        /// The next value; nil after the last one.
        ///
        /// - Throws: as ``Pool/map(_:chunkSize:timeout:retries:fileID:line:_:)``, when the turn of the failing item has come; the
        ///   iteration is over then.
        public mutating func next() async throws -> Value? {
            while true {
                if let value = ready.popFirst() { return value }
                if let failure {
                    end()
                    throw failure
                }
                if hasEnded { return nil }
                if try await !advance() {
                    end()
                    return nil
                }
            }
        }

        /// Leaves nothing under way.
        private mutating func end() {
            hasEnded = true
            failure = nil
            stream = nil
        }

        /// Gets more values ready; false if there are no more.
        private mutating func advance() async throws -> Bool {
            let stream = try self.stream ?? results.makeStream()
            self.stream = stream
            try stream.fill()
            if stream.isDone { return false }
            let arrivals: [ChunkStream<Items.Element, Value>.Arrival]
            do {
                arrivals = try await stream.wait()
            } catch {
                end()
                throw error
            }
            for arrival in arrivals {
                guard results.isOrdered else {
                    ready += arrival.values
                    failure = failure ?? arrival.error
                    continue
                }
                ordered.add(arrival.chunk, arrival.values)
                errors[arrival.chunk] = arrival.error
            }
            while failure == nil, let (chunk, values) = ordered.popFirst() {
                ready += values
                failure = errors.removeValue(forKey: chunk)
            }
            return true
        }
    }

    public func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(self)
    }

    fileprivate func makeStream() throws -> ChunkStream<Items.Element, Value> {
        try ChunkStream(pool, items, settings: settings, transform: transform)
    }
}

/// Chunks that arrive in any order, to be taken out in theirs.
private struct OrderedChunks<Value> {
    private var chunks: [Int: [Value]] = [:]
    private var next = 0

    mutating func add(_ chunk: Int, _ values: [Value]) {
        chunks[chunk] = values
    }

    mutating func popFirst() -> (chunk: Int, values: [Value])? {
        guard let values = chunks.removeValue(forKey: next) else { return nil }
        defer { next += 1 }
        return (next, values)
    }

    /// Everything, once all of it is there.
    var all: [Value] {
        var all: [Value] = []
        all.reserveCapacity(chunks.values.reduce(0) { $0 + $1.count })
        for (_, values) in chunks.sorted(by: { $0.key < $1.key }) { all += values }
        return all
    }
}
