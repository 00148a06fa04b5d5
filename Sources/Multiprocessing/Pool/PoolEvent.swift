/// Something that happened in a pool, as its observers are told: see ``PoolOptions/observers``.
///
/// Every task that the pool takes is `submitted` once and `ended` once, and every worker is `workerStarted` once and
/// `workerEnded` once, whatever becomes of them; `poolEnded` is the last.
public struct PoolEvent: Sendable {
    /// What happened. More may be added: a switch over it needs a default.
    public enum Kind: Sendable {
        /// The pool has taken a task on.
        case submitted(Task)
        /// A worker is sent a task; again if it came back from another one.
        case sent(Task, to: Worker)
        /// A task is resolved. Whoever waits for it learns of it after the observers.
        case ended(Task, Ending)
        /// A worker is started, or will be after a pause; `isReplacement` says whether another one had ended before.
        case workerStarted(Worker, isReplacement: Bool)
        /// A worker is up, and its initialiser has run.
        case workerReady(Worker)
        /// A worker that came over a socket was lost; `workerEnded` follows.
        case workerLost(Worker, WorkerLost)
        /// A worker is gone: with a crash, unless it left, or the pool had ended it.
        case workerEnded(Worker, crash: ProcessCrash?)
        /// The pool takes no more tasks, because its workers end without getting anything done.
        case gaveUp
        /// Everything is resolved, and every worker is gone.
        case poolEnded
    }

    /// A task: what was submitted, or a chunk of a map.
    public struct Task: Sendable, Hashable, Identifiable {
        /// Its number in its pool.
        public var id: Int
        /// What errors call it.
        public var name: String
        /// Which items of a map it is about; nil if it is not of one.
        public var items: Range<Int>?
        /// How many bytes its arguments have in their encoded form; for a task without arguments, its closure.
        public var argumentBytes: Int
    }

    /// A worker.
    public struct Worker: Sendable, Hashable, Identifiable {
        /// Its number in its pool, from one; never that of another.
        public var id: Int
        /// The pool's name, and the number.
        public var name: String
    }

    /// How a task ended; more may be added.
    public struct Outcome: Sendable, Hashable, CustomStringConvertible {
        private enum Kind: String { case value, error, crash, cancelled, timedOut, memoryExceeded, abandoned }
        private let kind: Kind

        /// With a value; a chunk of a map also with the error of one of its items.
        public static let value = Outcome(kind: .value)
        /// It threw, or could not travel.
        public static let error = Outcome(kind: .error)
        /// Its worker died of it.
        public static let crash = Outcome(kind: .crash)
        /// Nobody wanted it any more.
        public static let cancelled = Outcome(kind: .cancelled)
        /// It took longer than it may.
        public static let timedOut = Outcome(kind: .timedOut)
        /// It used more memory than it may.
        public static let memoryExceeded = Outcome(kind: .memoryExceeded)
        /// The pool was terminated, or gave up.
        public static let abandoned = Outcome(kind: .abandoned)

        public var description: String { kind.rawValue }
    }

    /// How a task ended, and where its time went.
    public struct Ending: Sendable, Hashable {
        /// How it ended.
        public var outcome: Outcome
        /// The time since it was submitted.
        public var total: Duration
        /// Of that, until it was last sent to a worker; all of it if it never was.
        public var waiting: Duration
        /// Of that, what the worker took: decoding arguments, running, and encoding the value. Nil if there is no value.
        public var running: Duration?
        /// How many bytes the value has in its encoded form; nil if there is none.
        public var resultBytes: Int?

        /// The rest of the time: the way to the worker and back, and behind other tasks in the worker. Nil if there is no value.
        public var transfer: Duration? {
            running.map { max(.zero, total - waiting - $0) }
        }
    }

    /// What happened.
    public var kind: Kind
    /// When the observers were told.
    public var time: ContinuousClock.Instant
    /// How many tasks were with no worker at that time.
    public var waitingTasks: Int
    /// How many tasks were not resolved at that time, those that waited among them.
    public var unresolvedTasks: Int
    /// How many workers there were, in whatever state.
    public var workers: Int
    /// How many of them had something to do.
    public var busyWorkers: Int
}
