// Each form of the pool's own, for functions of a value that is shared by all calls.

extension Pool {
    /// Calls `transform` with a shared value and each item, in the workers, and gives the values as they come.
    ///
    /// Otherwise as ``imap(_:ordered:chunkSize:lookAhead:timeout:memoryLimit:retries:fileID:line:_:)``.
    public func imap<Items: Sequence & Sendable, Shared: Codable & Sendable, Value: Codable & Sendable>(
        _ items: Items,
        sharing shared: Shared,
        ordered: Bool = true,
        chunkSize: Int? = nil,
        lookAhead: Int? = nil,
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ transform: @escaping @Sendable (Shared, Items.Element) throws -> Value
    ) throws -> PoolResults<Items, Value> where Items.Element: Codable & Sendable {
        try imap(
            items,
            ordered: ordered,
            chunkSize: chunkSize,
            lookAhead: lookAhead,
            timeout: timeout,
            memoryLimit: memoryLimit,
            retries: retries,
            fileID: fileID,
            line: line,
            Sharing.bound(shared, transform)
        )
    }

    /// Calls an asynchronous `transform` with a shared value and each item, in the workers, and gives the values as they come.
    public func imap<Items: Sequence & Sendable, Shared: Codable & Sendable, Value: Codable & Sendable>(
        _ items: Items,
        sharing shared: Shared,
        ordered: Bool = true,
        chunkSize: Int? = nil,
        lookAhead: Int? = nil,
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ transform: @escaping @Sendable @concurrent (Shared, Items.Element) async throws -> Value
    ) throws -> PoolResults<Items, Value> where Items.Element: Codable & Sendable {
        try imap(
            items,
            ordered: ordered,
            chunkSize: chunkSize,
            lookAhead: lookAhead,
            timeout: timeout,
            memoryLimit: memoryLimit,
            retries: retries,
            fileID: fileID,
            line: line,
            Sharing.bound(shared, asynchronous: transform)
        )
    }

    /// Calls `transform` with a shared value and each item of an asynchronous sequence, in the workers, and gives the values as they come.
    public func imap<Items: AsyncSequence & Sendable, Shared: Codable & Sendable, Value: Codable & Sendable>(
        _ items: Items,
        sharing shared: Shared,
        ordered: Bool = true,
        chunkSize: Int? = nil,
        lookAhead: Int? = nil,
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ transform: @escaping @Sendable (Shared, Items.Element) throws -> Value
    ) throws -> PoolAsyncResults<Items, Value> where Items.Element: Codable & Sendable {
        try imap(
            items,
            ordered: ordered,
            chunkSize: chunkSize,
            lookAhead: lookAhead,
            timeout: timeout,
            memoryLimit: memoryLimit,
            retries: retries,
            fileID: fileID,
            line: line,
            Sharing.bound(shared, transform)
        )
    }

    /// Calls an asynchronous `transform` with a shared value and each item of an asynchronous sequence, in the workers, and gives the values as they come.
    public func imap<Items: AsyncSequence & Sendable, Shared: Codable & Sendable, Value: Codable & Sendable>(
        _ items: Items,
        sharing shared: Shared,
        ordered: Bool = true,
        chunkSize: Int? = nil,
        lookAhead: Int? = nil,
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ transform: @escaping @Sendable @concurrent (Shared, Items.Element) async throws -> Value
    ) throws -> PoolAsyncResults<Items, Value> where Items.Element: Codable & Sendable {
        try imap(
            items,
            ordered: ordered,
            chunkSize: chunkSize,
            lookAhead: lookAhead,
            timeout: timeout,
            memoryLimit: memoryLimit,
            retries: retries,
            fileID: fileID,
            line: line,
            Sharing.bound(shared, asynchronous: transform)
        )
    }
}
