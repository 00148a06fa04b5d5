internal import MultiprocessingSystem
internal import Synchronization

/// Has a pool drained when its program is asked to end: ``PoolOptions/drain``.
///
///     options.drain = SignalDrain(on: [SIGTERM, SIGINT], within: .seconds(20)) { report in
///         for task in report.unfinishedTasks { log("not done: \(task)") }
///     }
///
/// When one of the signals comes, the pool takes no more tasks (``PoolError/Code/closed``) and has so much time for those that
/// it has; then, or at a second signal, it is terminated (``PoolError/Code/terminated``). The program goes on: whoever waits for
/// results gets them, or those errors, and `withPool` returns or throws. From then on the signals do again what they did before.
///
/// Without it the signals do what they always do; a program that dies of them leaves no worker behind.
public struct SignalDrain: Sendable {
    /// The signals' numbers.
    public var signals: Set<Int32>
    /// What tasks have to be done in.
    public var grace: Duration
    /// Called once, in a Swift task of its own, when the pool has ended because of a signal.
    public var report: (@Sendable (DrainReport) -> Void)?

    /// SIGTERM and SIGINT.
    public static var askingToEnd: Set<Int32> { [SignalNumber.terminate, SignalNumber.interrupt] }

    /// Describes when to drain, and how long.
    ///
    /// - Parameters:
    ///   - signals: by default SIGTERM and SIGINT, Ctrl-C.
    ///   - grace: what tasks have to be done in; a second signal ends it.
    ///   - report: called when the pool has ended because of a signal.
    public init(
        on signals: Set<Int32> = SignalDrain.askingToEnd,
        within grace: Duration = .seconds(10),
        report: (@Sendable (DrainReport) -> Void)? = nil
    ) {
        self.signals = signals
        self.grace = grace
        self.report = report
    }
}

/// What a drain came to.
public struct DrainReport: Sendable, Hashable {
    /// The signal that it was for.
    public var signal: Int32
    /// The tasks that were not done in time, as errors name them, in the order in which they were submitted.
    public var unfinishedTasks: [String]
}

extension PoolCore {
    /// Drains the pool when a signal comes; nothing of it is left when the pool has ended.
    func drain(on plan: SignalDrain) throws {
        let watch: SignalWatch
        do {
            watch = try SignalWatch(plan.signals)
        } catch {
            throw PoolError(.invalidArgument, "A pool cannot be drained on \(plan.signals.sorted()): \(error)")
        }
        let task = Task.detached { [weak self] in
            guard let signal = try? await Self.next(of: watch, beyond: 0), let self else { return }
            close(cancellingWaiting: false)
            let second = Task.detached { [weak self] in
                guard (try? await Self.next(of: watch, beyond: 1)) != nil else { return }
                self?.giveUpDraining()
            }
            if (try? await end.wait(timeout: plan.grace)) == nil { giveUpDraining() }
            // Tasks resolve at once; workers that are killed take a moment.
            await Task.detached { [end] in _ = try? await end.wait(timeout: nil) }.value
            second.cancel()
            plan.report?(DrainReport(signal: signal, unfinishedTasks: state.withLock { $0.undrained }))
        }
        state.withLock { $0.drain = task }
    }

    /// The second time, because a second signal came when the time was over, the tasks are resolved already.
    func giveUpDraining() {
        state.withLock { state in
            guard state.undrained.isEmpty else { return }
            state.undrained = state.work.sorted { $0.key < $1.key }.map { $0.value.description() }
        }
        terminate()
    }

    private static func next(of watch: SignalWatch, beyond count: Int) async throws -> Int32? {
        try await Wait.suspending(deadline: .never) { _ -> Attempt<Int32> in
            // Read before looking: a signal that comes afterwards changes it.
            let rung = SignalWatch.bell.atomic.pointee.load(ordering: .acquiring)
            if let arrived = watch.arrived, arrived.count > count { return .done(arrived.signal) }
            return .wait(SignalWatch.bell, while: rung)
        }
    }
}
