internal import MultiprocessingWire

// One task: `submit` gives a handle on it, `apply` waits for its value. As everywhere, one form for each kind of body.

extension Pool {
    /// Gives the pool a task and returns at once. Encodes the closure and what it captures.
    ///
    /// Python: `apply_async`, `submit`.
    /// - Parameters:
    ///   - timeout: what the task may take from when it begins; its worker is then ended, and replaced. Nil is no limit.
    ///   - memoryLimit: the resident memory, in bytes, that its worker may have while it runs; one that has more is ended. Nil is
    ///     ``PoolOptions/memoryPerTask``.
    ///   - retries: how often it is run again if its worker dies of it: for tasks that can be done twice. The last crash is thrown
    ///     then, and says how many workers it was (``ProcessCrash/attempts``).
    /// - Throws: ``PoolError`` (`closed`, `workersFail`, `invalidArgument`; `cannotTravel` if the closure captures what cannot be sent).
    public func submit<Value: Sendable>(
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: @escaping @Sendable () throws -> Value
    ) throws -> PoolTask<Value> {
        let function = try travelling { () throws(ClosureError) in
            try Job.encode(body, fileID: "\(fileID)", line: Int(line))
        }
        return try task(function, timeout, memoryLimit, retries, "\(fileID):\(line)")
    }

    /// Gives the pool an asynchronous task and returns at once; otherwise as for a synchronous one.
    public func submit<Value: Sendable>(
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: @escaping @Sendable @concurrent () async throws -> Value
    ) throws -> PoolTask<Value> {
        let function = try travelling { () throws(ClosureError) in
            try Job.encode(body, fileID: "\(fileID)", line: Int(line))
        }
        return try task(function, timeout, memoryLimit, retries, "\(fileID):\(line)")
    }

    /// - Parameter shared: the value that the task uses.
    func task<Value: Sendable>(
        _ function: EncodedPieces,
        _ timeout: Duration?,
        _ memoryLimit: Int?,
        _ retries: Int,
        _ place: String,
        using shared: (any KeptByWorkers)? = nil
    ) throws -> PoolTask<Value> {
        try Self.require(memoryLimit: memoryLimit)
        return try PoolTask(
            core: core,
            function: shared.map { -$0.number } ?? 0,
            content: TravellingBytes(function),
            timeout: timeout,
            memoryLimit: memoryLimit ?? options.memoryPerTask,
            retries: retries,
            name: "the task at \(place)",
            keeping: shared
        )
    }

    static func require(memoryLimit: Int?) throws {
        guard let memoryLimit, memoryLimit < 1 else { return }
        throw PoolError(.invalidArgument, "A task cannot do with \(memoryLimit) bytes")
    }

    /// Runs `body` in a worker and returns its value; suspends. Cancelling the Swift task ends the work. Python: `apply`.
    ///
    /// - Throws: as ``submit(timeout:memoryLimit:retries:fileID:line:_:)-…`` and ``PoolTask/value``.
    public func apply<Value: Sendable>(
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: @escaping @Sendable () throws -> Value
    ) async throws -> Value {
        try await submit(timeout: timeout, memoryLimit: memoryLimit, retries: retries, fileID: fileID, line: line, body)
            .value
    }

    /// Runs an asynchronous `body` in a worker and returns its value; suspends. Cancelling the Swift task ends the work.
    public func apply<Value: Sendable>(
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: @escaping @Sendable @concurrent () async throws -> Value
    ) async throws -> Value {
        try await submit(timeout: timeout, memoryLimit: memoryLimit, retries: retries, fileID: fileID, line: line, body)
            .value
    }

    /// Runs `body` in a worker and returns its value; blocks the thread. Python: `apply`.
    ///
    /// - Throws: as ``submit(timeout:memoryLimit:retries:fileID:line:_:)-…`` and ``PoolTask/value``.
    @available(*, noasync, message: "Use the async apply: this one blocks the thread")
    public func apply<Value: Sendable>(
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: @escaping @Sendable () throws -> Value
    ) throws -> Value {
        try submit(timeout: timeout, memoryLimit: memoryLimit, retries: retries, fileID: fileID, line: line, body)
            .waitForValue()
    }
}
