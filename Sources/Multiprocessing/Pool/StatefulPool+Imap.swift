// Each form of the pool's own, for functions that use their worker's state.

extension StatefulPool {
    /// Calls `transform` with its worker's state and each item, in the workers, and gives the values as they come.
    ///
    /// Otherwise as ``Pool/imap(_:ordered:chunkSize:lookAhead:timeout:memoryLimit:retries:fileID:line:_:)``.
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
        _ transform: @escaping @Sendable (inout State, Items.Element) throws -> Value
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
            Stateful.bound(transform)
        )
    }

    /// Calls an asynchronous `transform` with its worker's state and each item, in the workers, and gives the values as they come.
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
        _ transform: @escaping @Sendable @concurrent (inout State, Items.Element) async throws -> Value
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
            Stateful.bound(asynchronous: transform)
        )
    }

    /// Calls `transform` with its worker's state and each item of an asynchronous sequence, in the workers, and gives the values as they come.
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
        _ transform: @escaping @Sendable (inout State, Items.Element) throws -> Value
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
            Stateful.bound(transform)
        )
    }

    /// Calls an asynchronous `transform` with its worker's state and each item of an asynchronous sequence, in the workers, and gives the values as they come.
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
        _ transform: @escaping @Sendable @concurrent (inout State, Items.Element) async throws -> Value
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
            Stateful.bound(asynchronous: transform)
        )
    }
}
