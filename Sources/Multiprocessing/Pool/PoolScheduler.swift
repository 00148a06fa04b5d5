/// Decides which worker does what: a value that takes events and returns actions, and knows neither processes nor clocks.
///
/// Tasks and workers are numbers. A worker is sent a few tasks beyond the one that it runs, so that it need not wait for the
/// next; it runs them in the order in which they were sent, and says which it has begun. When it dies, the one that it had
/// begun is what it died of; the others had no part in it and go elsewhere. What is sent and not begun can be recalled, so
/// that no worker idles while another sits on work.
///
/// A worker that is killed for a task may have finished that one meanwhile and begun the next. So of a worker that was killed by
/// its pool no task dies: what it had begun goes elsewhere as well. (Where pool and worker share memory it has not begun anything:
/// see ``WorkerPlace/condemn(for:)``.)
///
/// Only the files of this type write its state; the rest of the pool calls it and reads.
///
/// What holds at every moment (and is tested over all short and many long random schedules): every task that was submitted is
/// waiting, with one worker, or resolved, and it is resolved once; no worker that could take work is without it while a task
/// waits; after close, terminate or giving up, `ended` comes once, when every task is resolved and every worker is gone.
struct PoolScheduler {
    typealias TaskID = Int
    typealias WorkerID = Int

    struct Configuration {
        /// How many workers there are to be.
        var size: Int
        /// How many tasks a worker is sent beyond the one that it runs. May change at any time.
        var prefetch = 1
        /// After so many tasks a worker is replaced; nil is never.
        var tasksPerWorker: Int?
        /// So many workers may end in a row without a task that they had begun, and with none finished in between, before the
        /// pool gives up.
        var patience = 16
        /// Nor may more than so many end within the period.
        var mostEnds = 1000
        var period: Duration = .seconds(60)
    }

    enum Action: Equatable {
        /// Start a worker under this number, after a while. ``workerReady(_:)``, ``startExpired(_:)`` or ``workerEnded(_:at:)`` follows.
        case start(WorkerID, after: Duration)
        case send(TaskID, to: WorkerID)
        /// Ask for a task back. ``recalled(_:from:)``, ``taskBegan(_:by:)`` or the worker's end follows.
        case recall(TaskID, from: WorkerID)
        /// Have a worker leave when it has done what it was sent.
        case stop(WorkerID)
        case kill(WorkerID)
        /// Ask a worker to stop with a task that it has begun and that nobody wants any more. ``insist(on:from:)`` may follow.
        case interrupt(TaskID, on: WorkerID)
        case resolve(TaskID, Resolution)
        /// Workers end one after the other without getting anything done.
        case gaveUp
        /// Closed, terminated or given up, and nothing is left.
        case ended
    }

    /// What became of a task.
    enum Resolution: Equatable {
        /// The worker reported a result, or the error of the task itself.
        case finished
        /// The worker that ran it died of it, for the last time that it may; so many did.
        case crashed(WorkerID, deaths: Int)
        /// Whoever submitted it does not want it any more.
        case cancelled
        /// It ran for longer than it may.
        case expired
        /// Its worker used more memory than it may.
        case outgrown
        /// The pool was terminated, or gave up, before it was done.
        case abandoned
    }

    struct Worker {
        enum Phase { case starting, ready, stopping, dying }
        var phase = Phase.starting
        /// In the order in which they were sent.
        var tasks: [TaskID] = []
        var begun: TaskID?
        var recalled: Set<TaskID> = []
        /// The task that it was asked to stop with. It gets no other one until it has: it may be ended for it.
        var interrupted: TaskID?
        var finished = 0
        /// It was given up before it was up.
        var neverCameUp = false
        /// How many tasks had been finished in all when it last finished one, or was sent one while it had none.
        var lastSeen = 0

        /// Whether it counts as one of those that the pool is to have.
        var isLive: Bool { phase == .starting || phase == .ready }
    }

    struct Task {
        var worker: WorkerID?
        /// How often it may still be run again after a crash.
        let retries: Int
        /// How many workers died of it.
        var deaths = 0
    }

    enum Phase { case open, closed, terminated }

    var configuration: Configuration
    var workers: [WorkerID: Worker] = [:]
    var tasks: [TaskID: Task] = [:]
    /// First in, first out; what comes back from a worker goes in front.
    var waiting = WaitingLine()
    var phase = Phase.open
    var nextWorker = 0
    var restarts = RestartLog()
    var finishedCount = 0
    var hasEnded = false
    var hasGivenUp = false

    init(_ configuration: Configuration) {
        self.configuration = configuration
    }

    /// How many tasks are neither resolved nor with a worker.
    var waitingCount: Int { waiting.count }
    /// How many tasks are not resolved.
    var unresolvedCount: Int { tasks.count }
    /// How many workers there are, in whatever state.
    var workerCount: Int { workers.count }
    /// How many workers have something to do.
    var busyCount: Int { workers.values.count { !$0.tasks.isEmpty } }
    /// Whether it takes tasks.
    var isOpen: Bool { phase == .open && !hasGivenUp }
    /// The task that a worker has begun.
    func task(of worker: WorkerID) -> TaskID? { workers[worker]?.begun }
    /// The worker that has a task.
    func worker(of task: TaskID) -> WorkerID? { tasks[task]?.worker }
    /// The task that a worker runs, or runs next.
    func front(of id: WorkerID) -> TaskID? {
        workers[id].flatMap { worker in worker.begun ?? worker.tasks.first { tasks[$0]?.worker == id } }
    }
    /// What a worker is about, and how many tasks it has finished.
    func status(of id: WorkerID) -> (state: PoolSnapshot.WorkerState, task: TaskID?, finished: Int)? {
        guard let worker = workers[id] else { return nil }
        let state: PoolSnapshot.WorkerState =
            switch worker.phase {
            case .starting: .starting
            case .ready: worker.begun == nil ? .idle : .busy
            case .stopping, .dying: .leaving
            }
        return (state, worker.begun, worker.finished)
    }
    /// Whether the worker is not up yet.
    func isStarting(_ worker: WorkerID) -> Bool { workers[worker]?.phase == .starting }
    /// Whether the worker is being ended, and nothing that it does any more is its own doing.
    func isDying(_ worker: WorkerID) -> Bool { workers[worker]?.phase == .dying }
    /// Whether the worker has not ended.
    func knows(_ worker: WorkerID) -> Bool { workers[worker] != nil }
    /// Whether a worker has begun the task.
    func hasBegun(_ task: TaskID) -> Bool { tasks[task]?.worker.map { workers[$0]?.begun == task } ?? false }
}
