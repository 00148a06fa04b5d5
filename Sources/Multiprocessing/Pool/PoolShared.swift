internal import MultiprocessingWire

/// A value for many tasks of a pool, which each worker is sent once: ``Pool/share(_:)``.
///
/// The workers forget it when this object is gone, and the tasks that use it are resolved.
public final class PoolShared<Value: Codable & Sendable>: KeptByWorkers {
    private let core: PoolCore
    let number: Int

    init(_ value: Value, _ core: PoolCore) throws {
        self.core = core
        number = core.register(try travelling { () throws(ClosureError) in try Job.encodeResult(value) })
    }

    deinit {
        core.forget(function: number)
    }

    func require(_ core: PoolCore) throws {
        guard core === self.core else {
            throw PoolError(.invalidArgument, "The value is shared by the workers of another pool")
        }
    }
}

/// Something that workers keep under a number as long as this object lives.
protocol KeptByWorkers: AnyObject, Sendable {
    var number: Int { get }
}

extension Pool {
    /// Gives the pool a value for many tasks.
    ///
    ///     let model = try pool.share(Model(parameters))
    ///     let tasks = try items.map { item in try pool.submit(sharing: model) { model in model.score(item) } }
    ///
    /// It is encoded here, once; sent once to each worker that runs such a task, in front of the first; and decoded there by that
    /// task. `map` and its like need none of it: what they share is sent once to each worker as it is.
    /// - Throws: ``PoolError`` (`cannotTravel`).
    public func share<Value: Codable & Sendable>(_ value: Value) throws -> PoolShared<Value> {
        try PoolShared(value, core)
    }

    /// Gives the pool a task that uses a value which its workers keep, and returns at once.
    ///
    /// The value lives at least until the task is resolved. Otherwise as ``submit(timeout:memoryLimit:retries:fileID:line:_:)-…``.
    /// - Throws: as that one, and ``PoolError`` (`invalidArgument`) if the value was given to another pool.
    public func submit<Shared: Codable & Sendable, Value: Sendable>(
        sharing shared: PoolShared<Shared>,
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: @escaping @Sendable (Shared) throws -> Value
    ) throws -> PoolTask<Value> {
        let bound = Sharing.bound(shared.number, keptAs: Shared.self, body)
        try shared.require(core)
        let function = try travelling { () throws(ClosureError) in
            try Job.encode(bound, fileID: "\(fileID)", line: Int(line))
        }
        return try task(function, timeout, memoryLimit, retries, "\(fileID):\(line)", using: shared)
    }

    /// Gives the pool an asynchronous task that uses a value which its workers keep, and returns at once.
    public func submit<Shared: Codable & Sendable, Value: Sendable>(
        sharing shared: PoolShared<Shared>,
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: @escaping @Sendable @concurrent (Shared) async throws -> Value
    ) throws -> PoolTask<Value> {
        let bound = Sharing.bound(shared.number, keptAs: Shared.self, asynchronous: body)
        try shared.require(core)
        let function = try travelling { () throws(ClosureError) in
            try Job.encode(bound, fileID: "\(fileID)", line: Int(line))
        }
        return try task(function, timeout, memoryLimit, retries, "\(fileID):\(line)", using: shared)
    }

    /// Runs a `body` that uses a value which the workers keep, and returns its value; suspends.
    public func apply<Shared: Codable & Sendable, Value: Sendable>(
        sharing shared: PoolShared<Shared>,
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: @escaping @Sendable (Shared) throws -> Value
    ) async throws -> Value {
        let task = try submit(
            sharing: shared,
            timeout: timeout,
            memoryLimit: memoryLimit,
            retries: retries,
            fileID: fileID,
            line: line,
            body
        )
        return try await task.value
    }

    /// Runs an asynchronous `body` that uses a value which the workers keep, and returns its value; suspends.
    public func apply<Shared: Codable & Sendable, Value: Sendable>(
        sharing shared: PoolShared<Shared>,
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: @escaping @Sendable @concurrent (Shared) async throws -> Value
    ) async throws -> Value {
        let task = try submit(
            sharing: shared,
            timeout: timeout,
            memoryLimit: memoryLimit,
            retries: retries,
            fileID: fileID,
            line: line,
            body
        )
        return try await task.value
    }

    /// Runs a `body` that uses a value which the workers keep, and returns its value; blocks the thread.
    @available(*, noasync, message: "Use the async apply: this one blocks the thread")
    public func apply<Shared: Codable & Sendable, Value: Sendable>(
        sharing shared: PoolShared<Shared>,
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: @escaping @Sendable (Shared) throws -> Value
    ) throws -> Value {
        let task = try submit(
            sharing: shared,
            timeout: timeout,
            memoryLimit: memoryLimit,
            retries: retries,
            fileID: fileID,
            line: line,
            body
        )
        return try task.waitForValue()
    }
}
