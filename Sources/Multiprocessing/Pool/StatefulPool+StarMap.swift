internal import MultiprocessingWire

// Functions of several arguments that use their worker's state: each form of the pool's own.

extension StatefulPool {
    /// Calls `transform` with its worker's state and each tuple's elements, in the workers; otherwise as `map`. Suspends.
    ///
    ///     let sums = try await pool.starMap(pairs) { cache, left, right in cache.sum(left, right) }
    ///
    /// A closure that changes a state that is a value has to say so: `{ (cache: inout Cache, left: Int, right: Int) in … }`.
    public func starMap<Tuples: Sequence, each Argument: Codable & Sendable, Value: Codable & Sendable>(
        _ tuples: Tuples,
        chunkSize: Int? = nil,
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ transform: @escaping @Sendable (inout State, repeat each Argument) throws -> Value
    ) async throws -> [Value] where Tuples.Element == (repeat each Argument) {
        let settings = try MapSettings(chunkSize, nil, timeout, memoryLimit, retries, fileID, line, call: "starMap")
        let function = try travelling { () throws(ClosureError) in
            try Job.encodeMapping(
                leading: WorkerState<State>.self,
                transform,
                fileID: settings.fileID,
                line: settings.line
            )
        }
        return try await tupleMap(tuples, settings, function).values()
    }

    /// Calls an asynchronous `transform` with its worker's state and each tuple's elements; otherwise as for a synchronous one.
    public func starMap<Tuples: Sequence, each Argument: Codable & Sendable, Value: Codable & Sendable>(
        _ tuples: Tuples,
        chunkSize: Int? = nil,
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ transform: @escaping @Sendable @concurrent (inout State, repeat each Argument) async throws -> Value
    ) async throws -> [Value] where Tuples.Element == (repeat each Argument) {
        let settings = try MapSettings(chunkSize, nil, timeout, memoryLimit, retries, fileID, line, call: "starMap")
        let function = try travelling { () throws(ClosureError) in
            try Job.encodeMapping(
                leading: WorkerState<State>.self,
                asynchronous: transform,
                fileID: settings.fileID,
                line: settings.line
            )
        }
        return try await tupleMap(tuples, settings, function).values()
    }

    /// The same for code that may block its thread.
    @available(*, noasync, message: "Use the async starMap: this one blocks the thread")
    public func starMap<Tuples: Sequence, each Argument: Codable & Sendable, Value: Codable & Sendable>(
        _ tuples: Tuples,
        chunkSize: Int? = nil,
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ transform: @escaping @Sendable (inout State, repeat each Argument) throws -> Value
    ) throws -> [Value] where Tuples.Element == (repeat each Argument) {
        let settings = try MapSettings(chunkSize, nil, timeout, memoryLimit, retries, fileID, line, call: "starMap")
        let function = try travelling { () throws(ClosureError) in
            try Job.encodeMapping(
                leading: WorkerState<State>.self,
                transform,
                fileID: settings.fileID,
                line: settings.line
            )
        }
        return try tupleMap(tuples, settings, function).values()
    }

    /// Calls `transform` with its worker's state and each tuple's elements, in the workers, and gives the values as they come; otherwise as `imap`.
    public func starImap<Tuples: Sequence & Sendable, each Argument: Codable & Sendable, Value: Codable & Sendable>(
        _ tuples: Tuples,
        ordered: Bool = true,
        chunkSize: Int? = nil,
        lookAhead: Int? = nil,
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ transform: @escaping @Sendable (inout State, repeat each Argument) throws -> Value
    ) throws -> PoolResults<Tuples, Value> where Tuples.Element == (repeat each Argument) {
        let settings = try MapSettings(
            chunkSize,
            lookAhead,
            timeout,
            memoryLimit,
            retries,
            fileID,
            line,
            call: "starImap",
            goesOn: true
        )
        let function = try travelling { () throws(ClosureError) in
            try Job.encodeMapping(
                leading: WorkerState<State>.self,
                transform,
                fileID: settings.fileID,
                line: settings.line
            )
        }
        return tupleResults(tuples, ordered, settings, function)
    }

    /// The same with an asynchronous `transform`.
    public func starImap<Tuples: Sequence & Sendable, each Argument: Codable & Sendable, Value: Codable & Sendable>(
        _ tuples: Tuples,
        ordered: Bool = true,
        chunkSize: Int? = nil,
        lookAhead: Int? = nil,
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ transform: @escaping @Sendable @concurrent (inout State, repeat each Argument) async throws -> Value
    ) throws -> PoolResults<Tuples, Value> where Tuples.Element == (repeat each Argument) {
        let settings = try MapSettings(
            chunkSize,
            lookAhead,
            timeout,
            memoryLimit,
            retries,
            fileID,
            line,
            call: "starImap",
            goesOn: true
        )
        let function = try travelling { () throws(ClosureError) in
            try Job.encodeMapping(
                leading: WorkerState<State>.self,
                asynchronous: transform,
                fileID: settings.fileID,
                line: settings.line
            )
        }
        return tupleResults(tuples, ordered, settings, function)
    }
}
