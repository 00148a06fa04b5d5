// Each form of the pool's own, for functions of a value that is shared by all calls.

extension Pool {
    /// Calls `transform` with a shared value and each item, in the workers, and returns the values in the order of the items; suspends.
    ///
    ///     let scores = try await pool.map(items, sharing: model) { model, item in model.score(item) }
    ///
    /// The value is encoded once, sent once to each worker, decoded there once, and released there when the call is done. Otherwise
    /// as ``map(_:chunkSize:timeout:memoryLimit:retries:fileID:line:_:)``.
    public func map<Items: Sequence, Shared: Codable & Sendable, Value: Codable & Sendable>(
        _ items: Items,
        sharing shared: Shared,
        chunkSize: Int? = nil,
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ transform: @escaping @Sendable (Shared, Items.Element) throws -> Value
    ) async throws -> [Value] where Items.Element: Codable & Sendable {
        try await map(
            items,
            chunkSize: chunkSize,
            timeout: timeout,
            memoryLimit: memoryLimit,
            retries: retries,
            fileID: fileID,
            line: line,
            Sharing.bound(shared, transform)
        )
    }

    /// Calls an asynchronous `transform` with a shared value and each item; otherwise as for a synchronous one.
    public func map<Items: Sequence, Shared: Codable & Sendable, Value: Codable & Sendable>(
        _ items: Items,
        sharing shared: Shared,
        chunkSize: Int? = nil,
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ transform: @escaping @Sendable @concurrent (Shared, Items.Element) async throws -> Value
    ) async throws -> [Value] where Items.Element: Codable & Sendable {
        try await map(
            items,
            chunkSize: chunkSize,
            timeout: timeout,
            memoryLimit: memoryLimit,
            retries: retries,
            fileID: fileID,
            line: line,
            Sharing.bound(shared, asynchronous: transform)
        )
    }

    /// The same for code that may block its thread.
    @available(*, noasync, message: "Use the async map: this one blocks the thread")
    public func map<Items: Sequence, Shared: Codable & Sendable, Value: Codable & Sendable>(
        _ items: Items,
        sharing shared: Shared,
        chunkSize: Int? = nil,
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ transform: @escaping @Sendable (Shared, Items.Element) throws -> Value
    ) throws -> [Value] where Items.Element: Codable & Sendable {
        try map(
            items,
            chunkSize: chunkSize,
            timeout: timeout,
            memoryLimit: memoryLimit,
            retries: retries,
            fileID: fileID,
            line: line,
            Sharing.bound(shared, transform)
        )
    }
}
