internal import MultiprocessingSystem
internal import MultiprocessingWire

/// Processes that wait for work: tasks go in as closures, their values come back.
///
///     try await withPool(processes: 8) { pool in
///         let cubes = try await pool.map(1...1_000_000) { $0 * $0 * $0 }
///         let page = try await pool.apply { try fetch(url) }
///     }
///
/// A worker that dies fails the task that it was running and no other: that one throws ``ProcessCrash``, the worker is
/// replaced, and what it had not begun runs elsewhere. Every task resolves, whatever happens to its worker or to the pool. Without
/// `retries` a task begins once at most in workers of this machine; so does each item of a map whose `chunkSize` is 1.
///
/// A pool that is dropped is terminated, unless it was closed: then its tasks are still done. Tasks that are lost that way are
/// counted in a line on standard error.
///
/// Python: `multiprocessing.Pool`, `concurrent.futures.ProcessPoolExecutor`.
public class Pool: @unchecked Sendable {
    // Unchecked: the one subclass, StatefulPool, is this module's own and stores nothing; what is stored here is constant.
    let core: PoolCore
    let options: PoolOptions
    private let claim: PoolBudget.Claim?

    /// Makes a pool and starts its workers; does not wait for them to come up.
    ///
    /// - Parameters:
    ///   - processes: how many workers; nil is ``availableProcessorCount``. Inside a worker of another pool, nil is this worker's
    ///     share of the processors that the workers of that one do not take, less what other pools of the worker have; at least 1.
    ///     So pools in the workers of pools do not multiply.
    ///   - initializer: runs in each worker before its first task. If it throws, crashes or does not return in one worker after the
    ///     other, the pool gives up and its tasks throw ``PoolError/Code/workersFail``: see ``RestartBudget``.
    /// - Throws: ``PoolError`` (`invalidArgument`; `cannotTravel` if the initialiser captures what cannot be sent); for workers
    ///   that come over sockets also ``StreamError`` (`invalidArgument`, `addressInUse`, `outOfResources`).
    public convenience init(
        processes: Int? = nil,
        options: PoolOptions = PoolOptions(),
        fileID: StaticString = #fileID,
        line: UInt = #line,
        initializer: @escaping @Sendable () throws -> Void = {}
    ) throws {
        try self.init(processes, options, EmptyContext.setup(initializer), fileID, line)
    }

    /// Makes a pool with an asynchronous initialiser; otherwise as with a synchronous one.
    public convenience init(
        processes: Int? = nil,
        options: PoolOptions = PoolOptions(),
        fileID: StaticString = #fileID,
        line: UInt = #line,
        initializer: @escaping @Sendable @concurrent () async throws -> Void
    ) throws {
        try self.init(processes, options, EmptyContext.setup(asynchronous: initializer), fileID, line)
    }

    /// - Parameter setup: runs in each worker before its first task.
    init(
        _ processes: Int?,
        _ options: PoolOptions,
        _ setup: @escaping WorkerSetup,
        _ fileID: StaticString,
        _ line: UInt
    ) throws {
        let count = processes ?? PoolBudget.standard
        guard count > 0 else { throw PoolError(.invalidArgument, "A pool cannot have \(count) processes") }
        if let most = options.tasksPerWorker, most < 1 {
            throw PoolError(.invalidArgument, "A worker cannot be replaced after \(most) tasks")
        }
        if options.backend != .threads, options.process.startMethod ?? .default == .fork {
            throw PoolError(
                .invalidArgument,
                "Workers cannot be copies by .fork: the pool has threads of its own, whose locks a copy would hold for ever, "
                    + "and Swift tasks do not run in one. Use .forkServer or .spawn"
            )
        }
        try travelling { () throws(ClosureError) in
            try Job.encode(setup, fileID: "\(fileID)", line: Int(line))
        }
        if let most = options.memoryPerWorker, most < 1 {
            throw PoolError(.invalidArgument, "A worker cannot do with \(most) bytes")
        }
        if let most = options.timePerWorker, most <= .zero {
            throw PoolError(.invalidArgument, "A worker cannot be replaced after \(most)")
        }
        if options.exitTimeout <= .zero {
            throw PoolError(.invalidArgument, "An exit hook cannot be done within \(options.exitTimeout)")
        }
        try Self.require(memoryLimit: options.memoryPerTask)
        if let most = options.initializerTimeout, most <= .zero {
            throw PoolError(.invalidArgument, "A worker cannot come up within \(most)")
        }
        let budget = options.restartBudget
        if (budget.inARow ?? 1) < 1 || budget.count < 1 || budget.period <= .zero {
            throw PoolError(.invalidArgument, "A pool cannot go on with \(budget)")
        }
        self.options = options
        let configuration = PoolScheduler.Configuration(
            size: count,
            tasksPerWorker: options.tasksPerWorker,
            patience: budget.inARow ?? 8 + 2 * count,
            mostEnds: budget.count,
            period: budget.period
        )
        core = PoolCore(
            configuration,
            transport: try options.transport(setup, workers: count, fileID, line),
            options: options
        )
        claim = options.backend == .processes ? PoolBudget.Claim(count) : nil
        if let drain = options.drain { try core.drain(on: drain) }
        _ = core.end.observe { [claim] _ in claim?.resize(to: 0) }
        core.begin()
    }

    deinit {
        core.liveUntilEnd()
        guard core.isOpen else { return }
        let lost = core.unresolvedCount
        core.terminate()
        guard lost > 0 else { return }
        // Whoever waits for one of them gets an error; perhaps nobody does.
        var text =
            "\(options.name) was dropped with \(lost) tasks that are not done, which are terminated: close it before, or use withPool\n"
        text.withUTF8 { StandardError.write(UnsafeRawBufferPointer($0)) }
    }

    // MARK: Looking

    /// How many workers the pool has, or is to have.
    public var processCount: Int { core.size }
    /// How many tasks are not resolved yet.
    public var unresolvedCount: Int { core.unresolvedCount }
    /// What the workers are about at this moment. Reads a small file of the system's for each.
    public var snapshot: PoolSnapshot { core.snapshot }
    /// What went wrong with exit hooks so far, the newest hundred; see ``StatefulPool``. Complete once the pool has ended.
    public var exitFailures: [PoolExitFailure] { core.exitFailures }
    /// The process ids of the workers that are up and were started on this machine.
    public var processIdentifiers: [Int32] { core.processIdentifiers }

    // MARK: Ending

    /// Takes no more tasks; those that there are will be done, and then the workers leave. Does not wait. Python: `close()`.
    ///
    /// A map submits as it goes on, so that one which is under way ends with ``PoolError/Code/closed``, unless all of it was submitted.
    ///
    /// - Parameter cancellingWaiting: whether those that no worker has begun are cancelled. Python: `shutdown(cancel_futures=)`.
    public func close(cancellingWaiting: Bool = false) { core.close(cancellingWaiting: cancellingWaiting) }

    /// Ends the workers at once, with whatever they are doing; every task that is not done resolves with
    /// ``PoolError/Code/terminated``. Does not wait. Python: `terminate()`.
    public func terminate() { core.terminate() }

    /// Changes the number of workers. Those that are too many leave when they have done what they run. Does not wait.
    ///
    /// - Throws: ``PoolError`` (`invalidArgument`).
    public func resize(to count: Int) throws {
        guard count > 0 else { throw PoolError(.invalidArgument, "A pool cannot have \(count) processes") }
        claim?.resize(to: count)
        core.resize(to: count)
    }

    /// Blocks the thread until every task is resolved and every worker is gone. Python: `join()`, which has no timeout.
    ///
    /// - Parameter timeout: how long to wait at most; nil is for as long as it takes.
    /// - Returns: whether the pool has ended. That the time is over is not an error.
    /// - Throws: ``PoolError`` (`stillOpen`) before ``close(cancellingWaiting:)`` or ``terminate()``.
    @available(*, noasync, message: "Use the async join: this one blocks the thread")
    @discardableResult
    public func join(timeout: Duration? = nil) throws -> Bool {
        guard !core.isOpen else { throw stillOpen }
        return core.end.wait(timeout: timeout) != nil
    }

    /// Suspends until every task is resolved and every worker is gone. Python: `join()`, which has no timeout.
    ///
    /// - Parameter timeout: how long to wait at most; nil is for as long as it takes.
    /// - Returns: whether the pool has ended. That the time is over is not an error.
    /// - Throws: ``PoolError`` (`stillOpen`) before ``close(cancellingWaiting:)`` or ``terminate()``; `CancellationError`.
    @discardableResult
    public func join(timeout: Duration? = nil) async throws -> Bool {
        guard !core.isOpen else { throw stillOpen }
        return try await core.end.wait(timeout: timeout) != nil
    }

    /// Closes the pool, gives its tasks so much time, and then terminates it. Suspends until it has ended.
    ///
    /// - Returns: how many tasks were not done in time.
    @discardableResult
    public func drain(within grace: Duration) async -> Int {
        close()
        if (try? await join(timeout: grace)) == true { return 0 }
        let left = unresolvedCount
        terminate()
        // Not to be cancelled: nothing may be left running.
        await Task.detached { [core] in _ = try? await core.end.wait(timeout: nil) }.value
        return left
    }

    private var stillOpen: PoolError {
        PoolError(.stillOpen, "\(options.name) has to be closed or terminated before it can be joined")
    }
}

/// Makes a pool, hands it to `body`, and ends it: nothing of it is left when this returns.
///
/// When `body` returns, tasks that it did not wait for are still done; when it throws, or its task is cancelled, they are not.
/// Python: `with Pool() as pool:`, which terminates in both cases.
public func withPool<Result>(
    processes: Int? = nil,
    options: PoolOptions = PoolOptions(),
    fileID: StaticString = #fileID,
    line: UInt = #line,
    initializer: @escaping @Sendable () throws -> Void = {},
    _ body: (Pool) async throws -> Result
) async throws -> Result {
    let pool = try Pool(processes: processes, options: options, fileID: fileID, line: line, initializer: initializer)
    return try await ending(pool, after: body)
}

/// Makes a pool with an asynchronous initialiser, hands it to `body`, and ends it; otherwise as with a synchronous one.
public func withPool<Result>(
    processes: Int? = nil,
    options: PoolOptions = PoolOptions(),
    fileID: StaticString = #fileID,
    line: UInt = #line,
    initializer: @escaping @Sendable @concurrent () async throws -> Void,
    _ body: (Pool) async throws -> Result
) async throws -> Result {
    let pool = try Pool(processes: processes, options: options, fileID: fileID, line: line, initializer: initializer)
    return try await ending(pool, after: body)
}

/// Runs `body` and ends the pool, as `withPool` promises.
func ending<SomePool: Pool, Result>(
    _ pool: SomePool,
    after body: (SomePool) async throws -> Result
) async throws -> Result {
    let result: Result
    do {
        result = try await body(pool)
        pool.close()
        _ = try await pool.join()
    } catch {
        _ = await pool.drain(within: .zero)
        throw error
    }
    // Nobody has the pool any more, to ask it.
    if let failure = pool.exitFailures.first { throw failure }
    return result
}

/// Turns the coder's refusal into the pool's error.
@discardableResult
func travelling<R>(_ body: () throws(ClosureError) -> R) throws -> R {
    do throws(ClosureError) {
        return try body()
    } catch {
        throw PoolError(.cannotTravel, "\(error)")
    }
}
