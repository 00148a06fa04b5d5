// Each form of the pool's own, for functions that use their worker's state.

extension StatefulPool {
    /// Gives the pool a task that uses its worker's state, and returns at once.
    ///
    /// Otherwise as ``Pool/submit(timeout:memoryLimit:retries:fileID:line:_:)-…``.
    public func submit<Value: Sendable>(
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: @escaping @Sendable (inout State) throws -> Value
    ) throws -> PoolTask<Value> {
        try submit(
            timeout: timeout,
            memoryLimit: memoryLimit,
            retries: retries,
            fileID: fileID,
            line: line,
            Stateful.bound(body)
        )
    }

    /// Gives the pool an asynchronous task that uses its worker's state, and returns at once.
    public func submit<Value: Sendable>(
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: @escaping @Sendable @concurrent (inout State) async throws -> Value
    ) throws -> PoolTask<Value> {
        try submit(
            timeout: timeout,
            memoryLimit: memoryLimit,
            retries: retries,
            fileID: fileID,
            line: line,
            Stateful.bound(asynchronous: body)
        )
    }

    /// Runs a `body` that uses its worker's state, in a worker, and returns its value; suspends.
    public func apply<Value: Sendable>(
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: @escaping @Sendable (inout State) throws -> Value
    ) async throws -> Value {
        try await apply(
            timeout: timeout,
            memoryLimit: memoryLimit,
            retries: retries,
            fileID: fileID,
            line: line,
            Stateful.bound(body)
        )
    }

    /// Runs an asynchronous `body` that uses its worker's state, in a worker, and returns its value; suspends.
    public func apply<Value: Sendable>(
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: @escaping @Sendable @concurrent (inout State) async throws -> Value
    ) async throws -> Value {
        try await apply(
            timeout: timeout,
            memoryLimit: memoryLimit,
            retries: retries,
            fileID: fileID,
            line: line,
            Stateful.bound(asynchronous: body)
        )
    }

    /// Runs a `body` that uses its worker's state, in a worker, and returns its value; blocks the thread.
    @available(*, noasync, message: "Use the async apply: this one blocks the thread")
    public func apply<Value: Sendable>(
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: @escaping @Sendable (inout State) throws -> Value
    ) throws -> Value {
        try apply(
            timeout: timeout,
            memoryLimit: memoryLimit,
            retries: retries,
            fileID: fileID,
            line: line,
            Stateful.bound(body)
        )
    }
}
