internal import MultiprocessingWire

// Functions of several arguments, over several sequences.

extension Pool {
    /// Calls `transform` with an item of each sequence, until one of them ends; otherwise as `map`. Suspends.
    ///
    ///     let sums = try await pool.starMap(zipping: left, right) { $0 + $1 }
    ///
    /// Python: `concurrent.futures.Executor.map` of several iterables.
    public func starMap<each Items: Sequence, Value: Codable & Sendable>(
        zipping items: repeat each Items,
        chunkSize: Int? = nil,
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ transform: @escaping @Sendable (repeat (each Items).Element) throws -> Value
    ) async throws -> [Value] where repeat (each Items).Element: Codable & Sendable {
        let settings = try MapSettings(chunkSize, nil, timeout, memoryLimit, retries, fileID, line, call: "starMap")
        let function = try travelling { () throws(ClosureError) in
            try Job.encodeMapping(transform, fileID: settings.fileID, line: settings.line)
        }
        return try await tupleMap(zipping: repeat each items, settings: settings, function: function).values()
    }

    /// Calls an asynchronous `transform` with an item of each sequence; otherwise as for a synchronous one.
    public func starMap<each Items: Sequence, Value: Codable & Sendable>(
        zipping items: repeat each Items,
        chunkSize: Int? = nil,
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ transform: @escaping @Sendable @concurrent (repeat (each Items).Element) async throws -> Value
    ) async throws -> [Value] where repeat (each Items).Element: Codable & Sendable {
        let settings = try MapSettings(chunkSize, nil, timeout, memoryLimit, retries, fileID, line, call: "starMap")
        let function = try travelling { () throws(ClosureError) in
            try Job.encodeMapping(asynchronous: transform, fileID: settings.fileID, line: settings.line)
        }
        return try await tupleMap(zipping: repeat each items, settings: settings, function: function).values()
    }

    /// The same for code that may block its thread.
    @available(*, noasync, message: "Use the async starMap: this one blocks the thread")
    public func starMap<each Items: Sequence, Value: Codable & Sendable>(
        zipping items: repeat each Items,
        chunkSize: Int? = nil,
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ transform: @escaping @Sendable (repeat (each Items).Element) throws -> Value
    ) throws -> [Value] where repeat (each Items).Element: Codable & Sendable {
        let settings = try MapSettings(chunkSize, nil, timeout, memoryLimit, retries, fileID, line, call: "starMap")
        let function = try travelling { () throws(ClosureError) in
            try Job.encodeMapping(transform, fileID: settings.fileID, line: settings.line)
        }
        return try tupleMap(zipping: repeat each items, settings: settings, function: function).values()
    }

    /// Calls `transform` with an item of each sequence and gives the values as they come; otherwise as `imap`.
    public func starImap<each Items: Sequence & Sendable, Value: Codable & Sendable>(
        zipping items: repeat each Items,
        ordered: Bool = true,
        chunkSize: Int? = nil,
        lookAhead: Int? = nil,
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ transform: @escaping @Sendable (repeat (each Items).Element) throws -> Value
    ) throws -> PoolResults<Zipped<repeat each Items>, Value> where repeat (each Items).Element: Codable & Sendable {
        try starImap(
            Zipped(repeat each items),
            ordered: ordered,
            chunkSize: chunkSize,
            lookAhead: lookAhead,
            timeout: timeout,
            memoryLimit: memoryLimit,
            retries: retries,
            fileID: fileID,
            line: line,
            transform
        )
    }

    /// The same with an asynchronous `transform`.
    public func starImap<each Items: Sequence & Sendable, Value: Codable & Sendable>(
        zipping items: repeat each Items,
        ordered: Bool = true,
        chunkSize: Int? = nil,
        lookAhead: Int? = nil,
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ transform: @escaping @Sendable @concurrent (repeat (each Items).Element) async throws -> Value
    ) throws -> PoolResults<Zipped<repeat each Items>, Value> where repeat (each Items).Element: Codable & Sendable {
        try starImap(
            Zipped(repeat each items),
            ordered: ordered,
            chunkSize: chunkSize,
            lookAhead: lookAhead,
            timeout: timeout,
            memoryLimit: memoryLimit,
            retries: retries,
            fileID: fileID,
            line: line,
            transform
        )
    }

    private func tupleMap<each Items: Sequence, Value: Codable & Sendable>(
        zipping items: repeat each Items,
        settings: MapSettings,
        function: EncodedPieces
    ) -> RunningMap<Value> where repeat (each Items).Element: Codable & Sendable {
        tupleMap(Zipped(repeat each items), settings, function)
    }
}
