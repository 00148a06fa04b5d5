public import CoreMetrics
public import Multiprocessing
internal import Synchronization

/// Reports a pool through swift-metrics.
///
///     let metrics = PoolMetrics(pool: "parsers")
///     options.observers.append(metrics.observe)
///
/// Every metric has the dimension `pool`, and those that are named here beside it.
///
/// | label | type | unit | dimensions |
/// | --- | --- | --- | --- |
/// | `multiprocessing.pool.tasks.submitted` | counter | tasks | |
/// | `multiprocessing.pool.tasks.ended` | counter | tasks | `outcome`: `value`, `error`, `crash`, `cancelled`, `timedOut`, `memoryExceeded`, `abandoned` |
/// | `multiprocessing.pool.tasks.waiting` | meter | tasks with no worker | |
/// | `multiprocessing.pool.tasks.unresolved` | meter | tasks | |
/// | `multiprocessing.pool.workers` | meter | workers | |
/// | `multiprocessing.pool.workers.busy` | meter | workers | |
/// | `multiprocessing.pool.workers.crashes` | counter | workers | `signal` (its number), `reason` |
/// | `multiprocessing.pool.workers.lost` | counter | workers that had come over a socket | `reason` |
/// | `multiprocessing.pool.workers.restarts` | counter | workers that replace others | |
/// | `multiprocessing.pool.task.duration` | timer | from submission to result | `outcome` |
/// | `multiprocessing.pool.task.wait` | timer | until it was sent to a worker | |
/// | `multiprocessing.pool.task.run` | timer | in the worker, with decoding and encoding; of tasks with a value | |
/// | `multiprocessing.pool.task.transfer` | timer | the rest; of tasks with a value | |
/// | `multiprocessing.pool.task.argument.size` | recorder | bytes | |
/// | `multiprocessing.pool.task.result.size` | recorder | bytes; of tasks with a value | |
///
/// A task of a map is a chunk of items. An event costs the calls of the metrics' backend, on the pool's own thread.
public final class PoolMetrics: Sendable {
    private let factory: any MetricsFactory
    private let dimensions: [(String, String)]
    private let submitted: Counter
    private let restarts: Counter
    private let waiting: Meter
    private let unresolved: Meter
    private let workers: Meter
    private let busy: Meter
    private let wait: Timer
    private let run: Timer
    private let transfer: Timer
    private let argumentSize: Recorder
    private let resultSize: Recorder

    /// What has dimensions of its own, made when it is first wanted.
    private struct Made {
        var ended: [PoolEvent.Outcome: (count: Counter, duration: Timer)] = [:]
        var crashes: [String: Counter] = [:]
        var losses: [WorkerLost.Reason: Counter] = [:]
    }

    private let made = Mutex(Made())
    private static let prefix = "multiprocessing.pool."

    /// Makes the metrics of one pool.
    ///
    /// - Parameters:
    ///   - pool: the value of the dimension `pool`: the pool's name, say.
    ///   - factory: where the metrics go; nil is what `MetricsSystem` was bootstrapped with.
    public init(pool: String, factory: (any MetricsFactory)? = nil) {
        let factory = factory ?? MetricsSystem.factory
        let dimensions = [("pool", pool)]
        let prefix = Self.prefix
        self.factory = factory
        self.dimensions = dimensions
        func counter(_ name: String) -> Counter {
            Counter(label: prefix + name, dimensions: dimensions, factory: factory)
        }
        func meter(_ name: String) -> Meter { Meter(label: prefix + name, dimensions: dimensions, factory: factory) }
        func timer(_ name: String) -> Timer { Timer(label: prefix + name, dimensions: dimensions, factory: factory) }
        func recorder(_ name: String) -> Recorder {
            Recorder(label: prefix + name, dimensions: dimensions, aggregate: true, factory: factory)
        }
        submitted = counter("tasks.submitted")
        restarts = counter("workers.restarts")
        waiting = meter("tasks.waiting")
        unresolved = meter("tasks.unresolved")
        workers = meter("workers")
        busy = meter("workers.busy")
        wait = timer("task.wait")
        run = timer("task.run")
        transfer = timer("task.transfer")
        argumentSize = recorder("task.argument.size")
        resultSize = recorder("task.result.size")
    }

    /// Takes an event in: for ``PoolOptions/observers``.
    @Sendable public func observe(_ event: PoolEvent) {
        waiting.set(event.waitingTasks)
        unresolved.set(event.unresolvedTasks)
        workers.set(event.workers)
        busy.set(event.busyWorkers)
        switch event.kind {
        case .submitted(let task):
            submitted.increment()
            argumentSize.record(task.argumentBytes)
        case .ended(_, let ending): note(ending)
        case .workerStarted(_, isReplacement: true): restarts.increment()
        case .workerLost(_, let lost): counter(of: lost.reason).increment()
        case .workerEnded(_, let crash?): counter(of: crash).increment()
        default: break
        }
    }

    private func note(_ ending: PoolEvent.Ending) {
        let (count, duration) = made.withLock { made in
            if let known = made.ended[ending.outcome] { return known }
            let all = dimensions + [("outcome", "\(ending.outcome)")]
            let new = (
                count: Counter(label: Self.prefix + "tasks.ended", dimensions: all, factory: factory),
                duration: Timer(label: Self.prefix + "task.duration", dimensions: all, factory: factory)
            )
            made.ended[ending.outcome] = new
            return new
        }
        count.increment()
        duration.record(ending.total)
        wait.record(ending.waiting)
        if let running = ending.running { run.record(running) }
        if let rest = ending.transfer { transfer.record(rest) }
        if let bytes = ending.resultBytes { resultSize.record(bytes) }
    }

    private func counter(of reason: WorkerLost.Reason) -> Counter {
        made.withLock { made in
            if let known = made.losses[reason] { return known }
            let all = dimensions + [("reason", "\(reason)")]
            let new = Counter(label: Self.prefix + "workers.lost", dimensions: all, factory: factory)
            made.losses[reason] = new
            return new
        }
    }

    private func counter(of crash: ProcessCrash) -> Counter {
        let key = "\(crash.signal) \(crash.reason)"
        return made.withLock { made in
            if let known = made.crashes[key] { return known }
            let all = dimensions + [("signal", "\(crash.signal)"), ("reason", "\(crash.reason)")]
            let new = Counter(label: Self.prefix + "workers.crashes", dimensions: all, factory: factory)
            made.crashes[key] = new
            return new
        }
    }
}

extension Timer {
    fileprivate func record(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        recordNanoseconds(seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
    }
}
