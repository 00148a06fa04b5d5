/// A pool whose workers have a state each, which every task in that worker can use.
///
///     try await withPool(processes: 4, state: { try Parser() }) { pool in
///         let trees = try await pool.map(files) { parser, file in try parser.parse(file) }
///     }
///
/// The state is made by `state` in each worker, before its first task, and again in each worker that replaces another one. It
/// never leaves the worker, so it need be neither `Codable` nor `Sendable`: an open file, a connection to a database, a C library's
/// handle, a cache. A worker runs one task at a time, which has the state for itself and may change it. State made by a worker is
/// lost when the worker is.
///
/// `onExit` is given the state when a worker leaves in an orderly way, after its last task: because the pool was closed, made
/// smaller, or replaces it (``PoolOptions/tasksPerWorker`` and its like). It does not run in a worker that is killed or crashes, nor
/// after ``Pool/terminate()``. It has ``PoolOptions/exitTimeout``; then its Swift task is cancelled and the worker ends without it. What
/// goes wrong with it is in ``Pool/exitFailures``, and `withPool` throws the first of them when it has ended the pool.
///
/// All the rest of a pool is there as well, for tasks that want no state.
///
/// Python: globals that the pool's `initializer` sets; mpire's `worker_init`, `worker_exit` and worker state.
public final class StatefulPool<State>: Pool, @unchecked Sendable {
    /// Makes a pool and starts its workers; does not wait for them to come up.
    ///
    /// - Parameters:
    ///   - processes: how many workers; nil is ``availableProcessorCount``.
    ///   - state: runs in each worker before its first task. If it throws in one worker after the other, the pool gives up and its
    ///     tasks throw ``PoolError/Code/workersFail``.
    ///   - onExit: runs when a worker leaves, with its state.
    /// - Throws: ``PoolError`` (`invalidArgument`; `cannotTravel` if a closure captures what cannot be sent).
    public init(
        processes: Int? = nil,
        options: PoolOptions = PoolOptions(),
        fileID: StaticString = #fileID,
        line: UInt = #line,
        state: @escaping @Sendable () throws -> State,
        onExit: (@Sendable (inout State) throws -> Void)? = nil
    ) throws {
        try super.init(processes, options, Stateful.setup(state, onExit), fileID, line)
    }

    /// Makes a pool whose workers make their state asynchronously; otherwise as for a synchronous `state`.
    public init(
        processes: Int? = nil,
        options: PoolOptions = PoolOptions(),
        fileID: StaticString = #fileID,
        line: UInt = #line,
        state: @escaping @Sendable @concurrent () async throws -> State,
        onExit: (@Sendable @concurrent (inout State) async throws -> Void)? = nil
    ) throws {
        try super.init(processes, options, Stateful.setup(asynchronous: state, onExit), fileID, line)
    }
}

/// Makes a pool whose workers have a state each, hands it to `body`, and ends it: nothing of it is left when this returns.
///
/// Otherwise as ``withPool(processes:options:fileID:line:initializer:_:)-…``. See ``StatefulPool`` for `state` and `onExit`.
/// - Throws: what `body` throws; ``PoolExitFailure`` if that was nothing and an exit hook failed.
public func withPool<State, Result>(
    processes: Int? = nil,
    options: PoolOptions = PoolOptions(),
    fileID: StaticString = #fileID,
    line: UInt = #line,
    state: @escaping @Sendable () throws -> State,
    onExit: (@Sendable (inout State) throws -> Void)? = nil,
    _ body: (StatefulPool<State>) async throws -> Result
) async throws -> Result {
    let pool = try StatefulPool(
        processes: processes,
        options: options,
        fileID: fileID,
        line: line,
        state: state,
        onExit: onExit
    )
    return try await ending(pool, after: body)
}

/// Makes a pool whose workers make their state asynchronously, hands it to `body`, and ends it; otherwise as for a synchronous `state`.
public func withPool<State, Result>(
    processes: Int? = nil,
    options: PoolOptions = PoolOptions(),
    fileID: StaticString = #fileID,
    line: UInt = #line,
    state: @escaping @Sendable @concurrent () async throws -> State,
    onExit: (@Sendable @concurrent (inout State) async throws -> Void)? = nil,
    _ body: (StatefulPool<State>) async throws -> Result
) async throws -> Result {
    let pool = try StatefulPool(
        processes: processes,
        options: options,
        fileID: fileID,
        line: line,
        state: state,
        onExit: onExit
    )
    return try await ending(pool, after: body)
}
