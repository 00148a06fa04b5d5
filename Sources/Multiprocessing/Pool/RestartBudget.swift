/// How many workers of a pool may end with no task to blame for it before the pool gives up.
///
/// What a worker that dies while it runs a task says about the pool is nothing: the task is to blame, and fails. But workers
/// whose initialiser throws, crashes or does not return, or that die with nothing to do, would be replaced without end. They are
/// replaced ever more slowly, from at once up to half a second apart, and when the budget is used up, every task that is not
/// done, and every later call, throws ``PoolError/Code/workersFail`` with the last reason.
///
/// Python has no such limit: a failing initialiser restarts workers for ever.
public struct RestartBudget: Sendable, Hashable {
    /// How many may end one after the other, with no task finished in between; nil is eight, and two for each worker.
    ///
    /// One whose initialiser is ended by ``PoolOptions/initializerTimeout`` counts as half of them.
    public var inARow: Int?
    /// How many may end within ``period``, whatever is finished in between.
    public var count = 1000
    /// See ``count``.
    public var period: Duration = .seconds(60)

    /// The defaults.
    public init() {}
}

/// The ends that no task is to blame for, as the scheduler counts them.
struct RestartLog {
    private var inARow = 0
    /// When the latest ones were; never more than the budget has, and one.
    private var ends: ArraySlice<Duration> = []
    private(set) var isExhausted = false

    /// A worker ended at a time, counted from any fixed point; it counts as so many in a row.
    mutating func note(at time: Duration, weight: Int, _ configuration: PoolScheduler.Configuration) {
        inARow += weight
        ends.append(time)
        while let first = ends.first, time - first > configuration.period { ends.removeFirst() }
        if inARow >= configuration.patience || ends.count > configuration.mostEnds { isExhausted = true }
    }

    /// Work gets done.
    mutating func taskFinished() {
        inARow = 0
    }

    /// How long to wait before the next worker is started.
    var delay: Duration {
        inARow < 3 ? .zero : .milliseconds(min(10 << min(inARow - 3, 6), 500))
    }
}
