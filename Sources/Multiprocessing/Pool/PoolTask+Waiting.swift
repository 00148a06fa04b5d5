internal import MultiprocessingSystem
internal import Synchronization

// Waiting for several tasks. The same task given twice counts once.

extension PoolTask {
    /// When a wait for several tasks is over; more may be added.
    public struct Goal: Hashable, Sendable {
        fileprivate enum Kind { case first, firstFailure, all }
        fileprivate let kind: Kind

        /// When one is resolved. Python: `FIRST_COMPLETED`.
        public static var first: Goal { Goal(kind: .first) }
        /// When one has failed, or all are resolved; being cancelled is no failure. Python: `FIRST_EXCEPTION`.
        public static var firstFailure: Goal { Goal(kind: .firstFailure) }
        /// When all are resolved. Python: `ALL_COMPLETED`.
        public static var all: Goal { Goal(kind: .all) }

        fileprivate func isReached(_ tasks: [PoolTask]) -> Bool {
            switch kind {
            case .first: tasks.isEmpty || tasks.contains { $0.isReady }
            case .all: tasks.allSatisfy { $0.isReady }
            case .firstFailure: tasks.contains { $0.state == .failed } || tasks.allSatisfy { $0.isReady }
            }
        }
    }

    /// Suspends until enough of the tasks are resolved, or the time is over, which is not an error. Cancels no task.
    ///
    /// Python: `concurrent.futures.wait`.
    /// - Parameters:
    ///   - goal: when it is enough.
    ///   - timeout: how long to wait at most; nil is without end, zero or less is not at all.
    /// - Returns: the tasks that are resolved and those that are not, each in the order given.
    /// - Throws: `CancellationError`.
    public static func wait(
        for tasks: some Sequence<PoolTask>,
        until goal: Goal = .all,
        timeout: Duration? = nil
    ) async throws -> (done: [PoolTask], pending: [PoolTask]) {
        let watch = Watch(tasks)
        let deadline = Deadline(after: timeout)
        while !goal.isReached(watch.tasks), try await watch.arrivals.wait(deadline) != nil {}
        return watch.sorted
    }

    /// ``wait(for:until:timeout:)`` for code that may block its thread.
    @available(*, noasync, message: "Use the async wait: this one blocks the thread")
    public static func wait(
        for tasks: some Sequence<PoolTask>,
        until goal: Goal = .all,
        timeout: Duration? = nil
    ) -> (done: [PoolTask], pending: [PoolTask]) {
        let watch = Watch(tasks)
        let deadline = Deadline(after: timeout)
        while !goal.isReached(watch.tasks), watch.arrivals.wait(deadline) != nil {}
        return watch.sorted
    }

    /// The tasks as they are resolved, those first that are already; each once.
    ///
    ///     for try await task in PoolTask.asCompleted(tasks) { … }
    ///
    /// Leaving the loop cancels no task. Python: `concurrent.futures.as_completed`.
    /// - Parameter timeout: what all of it may take, from the beginning of the iteration; then it throws ``PoolError`` `timedOut`,
    ///   which says how many are left. Nil is no limit.
    public static func asCompleted(
        _ tasks: some Sequence<PoolTask>,
        timeout: Duration? = nil
    ) -> PoolCompletions<Value> {
        PoolCompletions(tasks: Array(tasks), timeout: timeout)
    }

    /// Tells of the ends of some tasks, as long as it lives.
    final class Watch: Sendable {
        let tasks: [PoolTask]
        let arrivals = Mailbox<PoolTask>()
        private let observers: [(task: PoolTask, number: Int)]

        init(_ tasks: some Sequence<PoolTask>) {
            var known: Set<ObjectIdentifier> = []
            self.tasks = tasks.filter { known.insert(ObjectIdentifier($0)).inserted }
            let arrivals = arrivals
            observers = self.tasks.compactMap { task in
                // A task that nobody has any more is nobody's; and one may be resolved while this watch ends.
                task.observe { [weak task] in if let task { arrivals.put(task) } }.map { (task, $0) }
            }
        }

        deinit {
            for (task, number) in observers { task.stopObserving(number) }
        }

        var sorted: (done: [PoolTask], pending: [PoolTask]) {
            var (done, pending): ([PoolTask], [PoolTask]) = ([], [])
            for task in tasks { if task.isReady { done.append(task) } else { pending.append(task) } }
            return (done, pending)
        }
    }
}

/// Tasks as they are resolved: what ``PoolTask/asCompleted(_:timeout:)`` gives.
public struct PoolCompletions<Value: Sendable>: AsyncSequence, Sendable {
    public typealias Element = PoolTask<Value>

    let tasks: [PoolTask<Value>]
    let timeout: Duration?

    /// Gives the tasks, one after the other.
    public struct AsyncIterator: AsyncIteratorProtocol {
        private let watch: PoolTask<Value>.Watch
        private let deadline: Deadline
        private var left: Int
        private var ready: ArraySlice<PoolTask<Value>> = []

        init(_ tasks: [PoolTask<Value>], _ timeout: Duration?) {
            watch = PoolTask.Watch(tasks)
            left = watch.tasks.count
            deadline = Deadline(after: timeout)
        }

        /// The next task that is resolved; nil after the last. Suspends until there is one.
        ///
        /// - Throws: ``PoolError`` `timedOut`; `CancellationError`.
        public mutating func next() async throws -> PoolTask<Value>? {
            guard left > 0 else { return nil }
            if ready.isEmpty {
                guard let found = try await watch.arrivals.wait(deadline) else {
                    let count = watch.tasks.count
                    throw PoolError(.timedOut, "\(left) (of \(count)) tasks were not done in time")
                }
                ready = found[...]
            }
            left -= 1
            return ready.removeFirst()
        }
    }

    public func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(tasks, timeout)
    }
}
