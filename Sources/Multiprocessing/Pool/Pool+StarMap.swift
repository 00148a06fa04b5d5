internal import MultiprocessingWire

// Functions of several arguments, over tuples: each form of `map` and `imap`.

extension Pool {
    /// Calls `transform` with each tuple's elements as its arguments, in the workers; otherwise as `map`. Suspends.
    ///
    ///     let sums = try await pool.starMap(pairs) { left, right in left + right }
    ///
    /// Python: `Pool.starmap`.
    public func starMap<Tuples: Sequence, each Argument: Codable & Sendable, Value: Codable & Sendable>(
        _ tuples: Tuples,
        chunkSize: Int? = nil,
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ transform: @escaping @Sendable (repeat each Argument) throws -> Value
    ) async throws -> [Value] where Tuples.Element == (repeat each Argument) {
        let settings = try MapSettings(chunkSize, nil, timeout, memoryLimit, retries, fileID, line, call: "starMap")
        let function = try travelling { () throws(ClosureError) in
            try Job.encodeMapping(transform, fileID: settings.fileID, line: settings.line)
        }
        return try await tupleMap(tuples, settings, function).values()
    }

    /// Calls an asynchronous `transform` with each tuple's elements as its arguments; otherwise as for a synchronous one.
    public func starMap<Tuples: Sequence, each Argument: Codable & Sendable, Value: Codable & Sendable>(
        _ tuples: Tuples,
        chunkSize: Int? = nil,
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ transform: @escaping @Sendable @concurrent (repeat each Argument) async throws -> Value
    ) async throws -> [Value] where Tuples.Element == (repeat each Argument) {
        let settings = try MapSettings(chunkSize, nil, timeout, memoryLimit, retries, fileID, line, call: "starMap")
        let function = try travelling { () throws(ClosureError) in
            try Job.encodeMapping(asynchronous: transform, fileID: settings.fileID, line: settings.line)
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
        _ transform: @escaping @Sendable (repeat each Argument) throws -> Value
    ) throws -> [Value] where Tuples.Element == (repeat each Argument) {
        let settings = try MapSettings(chunkSize, nil, timeout, memoryLimit, retries, fileID, line, call: "starMap")
        let function = try travelling { () throws(ClosureError) in
            try Job.encodeMapping(transform, fileID: settings.fileID, line: settings.line)
        }
        return try tupleMap(tuples, settings, function).values()
    }

    /// Calls `transform` with each tuple's elements as its arguments, in the workers, and gives the values as they come; otherwise as `imap`.
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
        _ transform: @escaping @Sendable (repeat each Argument) throws -> Value
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
            try Job.encodeMapping(transform, fileID: settings.fileID, line: settings.line)
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
        _ transform: @escaping @Sendable @concurrent (repeat each Argument) async throws -> Value
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
            try Job.encodeMapping(asynchronous: transform, fileID: settings.fileID, line: settings.line)
        }
        return tupleResults(tuples, ordered, settings, function)
    }
}

extension Pool {
    func tupleMap<Tuples: Sequence, each Argument: Codable & Sendable, Value>(
        _ tuples: Tuples,
        _ settings: MapSettings,
        _ function: EncodedPieces
    ) -> RunningMap<Value> where Tuples.Element == (repeat each Argument) {
        let stream = ChunkStream<Tuples.Element, Value>(self, tuples, settings: settings, function: function) {
            (tuples) throws(ClosureError) in
            try Job.encodeTuples(tuples) { (tuple: Tuples.Element) -> (repeat each Argument) in tuple }
        }
        return RunningMap(suspending: { try await self.all(of: stream) }, blocking: { try self.all(of: stream) })
    }

    func tupleResults<Tuples: Sequence & Sendable, each Argument: Codable & Sendable, Value>(
        _ tuples: Tuples,
        _ ordered: Bool,
        _ settings: MapSettings,
        _ function: EncodedPieces
    ) -> PoolResults<Tuples, Value> where Tuples.Element == (repeat each Argument) {
        PoolResults(
            pool: self,
            items: tuples,
            isOrdered: ordered,
            settings: settings,
            function: function,
            encode: { (tuples) throws(ClosureError) in
                try Job.encodeTuples(tuples) { (tuple: Tuples.Element) -> (repeat each Argument) in tuple }
            }
        )
    }
}

/// A map over tuples, of which only the type of the values is left to see.
///
/// For functions that are generic over a pack: an optimised one that is asynchronous, and calls another one such, takes its memory
/// back in a wrong order, which the runtime notices ("freed pointer was not the last allocation"). So it makes one of these in a
/// synchronous call, and what it awaits knows of no pack.
struct RunningMap<Value: Codable & Sendable> {
    private let suspending: () async throws -> [Value]
    private let blocking: () throws -> [Value]

    init(suspending: @escaping () async throws -> [Value], blocking: @escaping () throws -> [Value]) {
        self.suspending = suspending
        self.blocking = blocking
    }

    func values() async throws -> [Value] { try await suspending() }
    func values() throws -> [Value] { try blocking() }
}
