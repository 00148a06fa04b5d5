/// What a worker has besides its tasks, from before the first one until it leaves.
protocol WorkerContext: AnyObject, Sendable {
    /// Whether there is something to do when the worker leaves.
    var hasExitHook: Bool { get }
    /// Does it. Called once, when no task runs or will run any more.
    @concurrent func leave() async throws
}

/// What a worker does before its first task. A single function, because that is what travels.
typealias WorkerSetup = @Sendable @concurrent () async throws -> any WorkerContext

/// Where the function of a task finds its worker.
enum CurrentWorker {
    /// The context of the worker whose task this is; nil elsewhere, and in pools whose workers have no state.
    @TaskLocal static var context: (any WorkerContext)?
    /// The worker, for tasks that use a value which it keeps.
    @TaskLocal static var worker: PoolWorker?
}

extension WorkerContext {
    /// Leaves, and gives up on it after a while; what went wrong, if something did.
    ///
    /// A hook that does not end when its task is cancelled goes on for as long as the process does.
    func leave(within limit: Duration, on executor: (any TaskExecutor)? = nil) async -> (any Error)? {
        let end = OneShot<Result<Void, any Error>>()
        let task = Task.detached(executorPreference: executor) {
            do {
                try await self.leave()
                end.set(.success(()))
            } catch {
                end.set(.failure(error))
            }
        }
        switch (try? await end.wait(timeout: limit)) ?? nil {
        case .success?: return nil
        case .failure(let error)?: return error
        case nil:
            task.cancel()
            return PoolError(.timedOut, "onExit was not done within \(limit)")
        }
    }
}

/// The context of workers that have an initialiser and nothing else.
final class EmptyContext: WorkerContext {
    let hasExitHook = false
    @concurrent func leave() async throws {}

    static func setup(_ initializer: @escaping @Sendable () throws -> Void) -> WorkerSetup {
        {
            try initializer()
            return EmptyContext()
        }
    }

    static func setup(asynchronous initializer: @escaping @Sendable @concurrent () async throws -> Void) -> WorkerSetup
    {
        {
            try await initializer()
            return EmptyContext()
        }
    }
}
