/// What a pool was about at a moment; for those who watch it.
public struct PoolSnapshot: Sendable, Hashable {
    /// What a worker was about; more may be added.
    public struct WorkerState: Sendable, Hashable, CustomStringConvertible {
        private enum Kind: String { case starting, idle, busy, leaving }
        private let kind: Kind

        /// It comes up: its initialiser has not returned.
        public static let starting = WorkerState(kind: .starting)
        /// It has nothing to do, or has not begun it.
        public static let idle = WorkerState(kind: .idle)
        /// It runs a task.
        public static let busy = WorkerState(kind: .busy)
        /// It gets no more tasks.
        public static let leaving = WorkerState(kind: .leaving)

        public var description: String { kind.rawValue }
    }

    /// A worker.
    public struct Worker: Sendable, Hashable {
        /// The pool's name, and a number.
        public var name: String
        /// Nil for threads, for a process that is not there yet, and for one that was not started on this machine.
        public var processIdentifier: Int32?
        /// What it was about.
        public var state: WorkerState
        /// The task that it was running, as errors name it.
        public var task: String?
        /// How many tasks it has finished.
        public var finishedTasks: Int
        /// The time since it was started.
        public var age: Duration
        /// In bytes; nil if there is no such process on this machine.
        public var residentMemory: Int?
        /// What it has used of processors, for itself and for the kernel's work on its behalf, since it was started; in steps of
        /// ten milliseconds. Nil if there is no such process on this machine.
        public var processorTime: Duration?
    }

    /// Those that are there, in the order in which they were started.
    public var workers: [Worker]
    /// How many tasks were with no worker.
    public var waitingTasks: Int
    /// How many tasks were not resolved, those that waited among them.
    public var unresolvedTasks: Int
}
