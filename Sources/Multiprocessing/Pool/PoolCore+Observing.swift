internal import Synchronization

// What observers are told. Events stand in the same line as the scheduler's actions, so they come in the order of what happened,
// one at a time and under no lock.

extension PoolCore {
    /// When an observed task was submitted, and last sent.
    struct TaskTimes {
        let submitted = ContinuousClock.now
        var sent: ContinuousClock.Instant?
    }

    /// Puts an event in line. Costs a look at an empty array where nobody observes.
    @inline(__always)
    func note(_ kind: @autoclosure () -> PoolEvent.Kind, _ state: inout State) {
        if !observers.isEmpty { state.line.append(.event(kind())) }
    }

    /// Takes note of a task that was taken on.
    @inline(__always)
    func noteSubmitted(_ task: Int, _ state: inout State) {
        guard !observers.isEmpty, let work = state.work[task] else { return }
        state.times[task] = TaskTimes()
        state.line.append(.event(.submitted(work.observed(as: task))))
    }

    /// Hands an event to the observers; to be called under no lock.
    func telling(_ kind: PoolEvent.Kind, _ state: State) -> () -> Void {
        let event = PoolEvent(
            kind: kind,
            time: .now,
            waitingTasks: state.scheduler.waitingCount,
            unresolvedTasks: state.scheduler.unresolvedCount,
            workers: state.scheduler.workerCount,
            busyWorkers: state.scheduler.busyCount
        )
        return { [observers] in for observer in observers { observer(event) } }
    }

    /// What an action means to the observers, which are told before it is carried out; nil is nothing.
    func observation(of action: PoolScheduler.Action, _ state: inout State) -> PoolEvent.Kind? {
        switch action {
        case .start(let worker, _):
            let isReplacement = state.replaceable > 0
            if isReplacement { state.replaceable -= 1 }
            return .workerStarted(observed(worker), isReplacement: isReplacement)
        case .send(let task, let worker):
            guard let work = state.work[task], state.workers[worker] != nil else { return nil }
            state.times[task]?.sent = .now
            return .sent(work.observed(as: task), to: observed(worker))
        case .resolve(let task, let resolution):
            guard let work = state.work[task] else { return nil }
            return .ended(work.observed(as: task), ending(of: task, resolution, &state))
        case .gaveUp: return .gaveUp
        case .ended: return .poolEnded
        case .recall, .stop, .kill, .interrupt: return nil
        }
    }

    /// Takes note of a worker that has ended.
    func noteEnded(_ worker: Int, _ error: (any Error)?, _ state: inout State) {
        guard !observers.isEmpty else { return }
        state.replaceable += 1
        let crash = state.scheduler.isDying(worker) ? nil : error as? ProcessCrash
        if !state.scheduler.isDying(worker), let lost = error as? WorkerLost {
            state.line.append(.event(.workerLost(observed(worker), lost)))
        }
        state.line.append(.event(.workerEnded(observed(worker), crash: crash)))
    }

    func observed(_ worker: Int) -> PoolEvent.Worker {
        PoolEvent.Worker(id: worker + 1, name: "\(name)-\(worker + 1)")
    }

    private func ending(
        of task: Int,
        _ resolution: PoolScheduler.Resolution,
        _ state: inout State
    ) -> PoolEvent.Ending {
        let now = ContinuousClock.now
        let times = state.times.removeValue(forKey: task)
        let submitted = times?.submitted ?? now
        var ending = PoolEvent.Ending(
            outcome: .error,
            total: now - submitted,
            waiting: (times?.sent ?? now) - submitted
        )
        switch resolution {
        case .finished:
            guard case .value(let content, let nanoseconds)? = state.results[task] else { break }
            ending.outcome = .value
            ending.running = .nanoseconds(nanoseconds)
            ending.resultBytes = content.count
        case .crashed: ending.outcome = .crash
        case .cancelled: ending.outcome = .cancelled
        case .expired: ending.outcome = .timedOut
        case .outgrown: ending.outcome = .memoryExceeded
        case .abandoned: ending.outcome = .abandoned
        }
        return ending
    }
}

extension PoolCore.Work {
    fileprivate func observed(as id: Int) -> PoolEvent.Task {
        PoolEvent.Task(id: id, name: name, items: items, argumentBytes: content.count)
    }
}
