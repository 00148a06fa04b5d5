/// How a pool and its workers are to be set up.
public struct PoolOptions: Sendable {
    /// The name in reports and logs; workers are numbered after it.
    public var name = "Pool"
    /// How each worker is set up: start method, environment, limits, affinity, niceness… Workers are daemons unless it says otherwise.
    ///
    /// ``StartMethod/fork`` is refused. A pool starts workers for as long as it lives, while its own and the program's threads run:
    /// a copy made then holds whatever locks they had, for ever, and a worker runs Swift tasks, for which it lacks the threads.
    public var process = ProcessOptions()
    /// A worker is replaced after so many tasks; nil is never. Python: `maxtasksperchild`.
    public var tasksPerWorker: Int?

    /// A worker is replaced when it is found to have more resident memory than so many bytes; nil is never.
    ///
    /// Looked at after each task, which costs some tens of microseconds; what a task takes meanwhile is not limited by it.
    public var memoryPerWorker: Int?
    /// A worker is replaced when it is found, after a task, to have been there for longer; nil is never.
    public var timePerWorker: Duration?

    /// A task, or an item of a map, whose worker is found to have more resident memory than so many bytes fails with
    /// ``PoolError/Code/memoryExceeded``, and the worker is ended; nil is no limit. Each call can set its own (`memoryLimit`).
    ///
    /// Looked at every 20 milliseconds while a task runs, so a task may have more for a moment; `process.limits` has limits that
    /// the kernel enforces, of address space. Counts what the worker had before the task as well.
    public var memoryPerTask: Int?

    /// What a worker may take to come up, its initialiser included; then it is ended, and counts against ``restartBudget``. Nil is
    /// no limit: then a task may wait without end for a worker that never comes.
    public var initializerTimeout: Duration? = .seconds(300)
    /// How many workers may end with no task to blame before the pool gives up.
    public var restartBudget = RestartBudget()

    /// What a task that is cancelled, or has taken too long, has to end by itself before its worker is ended.
    ///
    /// Its Swift task is cancelled in the worker at once, so `timeout` and this together are a soft and a hard limit. Zero, the
    /// default, waits for nothing.
    public var grace: Duration = .zero
    /// Who is told what happens in the pool: each is called with every event, in the order of what happened.
    ///
    /// They are called one after the other on the threads of the pool, and of those who submit, cancel or close, under no lock: they may
    /// ask the pool for something, but the pool does nothing as long as one has not returned, so one that waits for the
    /// pool waits without end. One that traps ends the program. Where there are none the price is a look at an empty array.
    public var observers: [@Sendable (PoolEvent) -> Void] = []
    /// The signals that drain the pool; nil is none.
    public var drain: SignalDrain?
    /// What an exit hook has to end, when a worker leaves; the worker is then ended without it. See ``StatefulPool``.
    public var exitTimeout: Duration = .seconds(10)
    /// What becomes of what workers write. Threads write to this process's own streams, whatever this says.
    public var output = PoolOutput.inherited
    /// Which processors workers run on. Means nothing for threads.
    public var affinity = PoolAffinity.inherited
    /// What the workers are.
    public var backend = Backend.processes

    /// What the workers of a pool are; more may be added.
    ///
    /// Two are equal when they are of one kind, whatever they are told.
    public struct Backend: Hashable, Sendable {
        enum Kind: Sendable {
            case processes, threads
            case stream(StreamWorkers)
        }
        let kind: Kind

        /// Processes of this machine.
        public static let processes = Backend(kind: .processes)
        /// Tasks of this process: no protection, no way to end one that runs; for comparison and for tests. Values and closures
        /// are copied as for processes. Python: `multiprocessing.pool.ThreadPool`.
        public static let threads = Backend(kind: .threads)
        /// Processes, of this machine or others, that are joined to the pool by sockets.
        public static func stream(_ workers: StreamWorkers = StreamWorkers()) -> Backend {
            Backend(kind: .stream(workers))
        }

        private var name: String {
            switch kind {
            case .processes: "processes"
            case .threads: "threads"
            case .stream: "stream"
            }
        }

        public static func == (left: Backend, right: Backend) -> Bool { left.name == right.name }
        public func hash(into hasher: inout Hasher) { hasher.combine(name) }
    }

    /// Options with every default.
    public init() {}
}
