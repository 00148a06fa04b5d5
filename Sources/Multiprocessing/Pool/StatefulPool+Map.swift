// Each form of the pool's own, for functions that use their worker's state.

extension StatefulPool {
    /// Calls `transform` with its worker's state and each item, in the workers, and returns the values in the order of the items; suspends.
    ///
    ///     let trees = try await pool.map(files) { parser, file in try parser.parse(file) }
    ///
    /// Otherwise as ``Pool/map(_:chunkSize:timeout:memoryLimit:retries:fileID:line:_:)``.
    public func map<Items: Sequence, Value: Codable & Sendable>(
        _ items: Items,
        chunkSize: Int? = nil,
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ transform: @escaping @Sendable (inout State, Items.Element) throws -> Value
    ) async throws -> [Value] where Items.Element: Codable & Sendable {
        try await map(
            items,
            chunkSize: chunkSize,
            timeout: timeout,
            memoryLimit: memoryLimit,
            retries: retries,
            fileID: fileID,
            line: line,
            Stateful.bound(transform)
        )
    }

    /// Calls an asynchronous `transform` with its worker's state and each item; otherwise as for a synchronous one.
    public func map<Items: Sequence, Value: Codable & Sendable>(
        _ items: Items,
        chunkSize: Int? = nil,
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ transform: @escaping @Sendable @concurrent (inout State, Items.Element) async throws -> Value
    ) async throws -> [Value] where Items.Element: Codable & Sendable {
        try await map(
            items,
            chunkSize: chunkSize,
            timeout: timeout,
            memoryLimit: memoryLimit,
            retries: retries,
            fileID: fileID,
            line: line,
            Stateful.bound(asynchronous: transform)
        )
    }

    /// The same for code that may block its thread.
    @available(*, noasync, message: "Use the async map: this one blocks the thread")
    public func map<Items: Sequence, Value: Codable & Sendable>(
        _ items: Items,
        chunkSize: Int? = nil,
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ transform: @escaping @Sendable (inout State, Items.Element) throws -> Value
    ) throws -> [Value] where Items.Element: Codable & Sendable {
        try map(
            items,
            chunkSize: chunkSize,
            timeout: timeout,
            memoryLimit: memoryLimit,
            retries: retries,
            fileID: fileID,
            line: line,
            Stateful.bound(transform)
        )
    }
}
