// Each form of the pool's own, for functions of a value that is shared by all calls.

extension Pool {
    /// Gives the pool a task that uses a value that is sent along, and returns at once.
    ///
    /// It is sent with each such task: see ``share(_:)`` for a value that many tasks use. Otherwise as
    /// ``submit(timeout:memoryLimit:retries:fileID:line:_:)-…``.
    public func submit<Shared: Codable & Sendable, Value: Sendable>(
        sharing shared: Shared,
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: @escaping @Sendable (Shared) throws -> Value
    ) throws -> PoolTask<Value> {
        try submit(
            timeout: timeout,
            memoryLimit: memoryLimit,
            retries: retries,
            fileID: fileID,
            line: line,
            Sharing.bound(shared, body)
        )
    }

    /// Gives the pool an asynchronous task that uses a value that is sent along, and returns at once.
    public func submit<Shared: Codable & Sendable, Value: Sendable>(
        sharing shared: Shared,
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: @escaping @Sendable @concurrent (Shared) async throws -> Value
    ) throws -> PoolTask<Value> {
        try submit(
            timeout: timeout,
            memoryLimit: memoryLimit,
            retries: retries,
            fileID: fileID,
            line: line,
            Sharing.bound(shared, asynchronous: body)
        )
    }

    /// Runs a `body` that uses a value that is sent along, in a worker, and returns its value; suspends.
    public func apply<Shared: Codable & Sendable, Value: Sendable>(
        sharing shared: Shared,
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: @escaping @Sendable (Shared) throws -> Value
    ) async throws -> Value {
        try await apply(
            timeout: timeout,
            memoryLimit: memoryLimit,
            retries: retries,
            fileID: fileID,
            line: line,
            Sharing.bound(shared, body)
        )
    }

    /// Runs an asynchronous `body` that uses a value that is sent along, in a worker, and returns its value; suspends.
    public func apply<Shared: Codable & Sendable, Value: Sendable>(
        sharing shared: Shared,
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: @escaping @Sendable @concurrent (Shared) async throws -> Value
    ) async throws -> Value {
        try await apply(
            timeout: timeout,
            memoryLimit: memoryLimit,
            retries: retries,
            fileID: fileID,
            line: line,
            Sharing.bound(shared, asynchronous: body)
        )
    }

    /// Runs a `body` that uses a value that is sent along, in a worker, and returns its value; blocks the thread.
    @available(*, noasync, message: "Use the async apply: this one blocks the thread")
    public func apply<Shared: Codable & Sendable, Value: Sendable>(
        sharing shared: Shared,
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: @escaping @Sendable (Shared) throws -> Value
    ) throws -> Value {
        try apply(
            timeout: timeout,
            memoryLimit: memoryLimit,
            retries: retries,
            fileID: fileID,
            line: line,
            Sharing.bound(shared, body)
        )
    }
}
