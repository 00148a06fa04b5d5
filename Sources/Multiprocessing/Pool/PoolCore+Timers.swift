internal import MultiprocessingSystem
internal import Synchronization

// What ends tasks and workers that take too long, or too much.

extension PoolCore {
    /// Watches over what a worker runs, or runs next: one that is free and yet does not begin what it was sent is stopped, so
    /// that the time counts from there as well.
    func watchFront(of worker: Int, _ state: inout State) {
        // As a rule nothing has a limit, and this is called for each task and each result.
        guard state.hasLimits || memoryPerTask != nil, let task = state.scheduler.front(of: worker) else { return }
        if state.workers[worker]?.timer == nil { startTimer(task, worker, &state) }
        if state.workers[worker]?.memoryWatch == nil { watchMemory(task, worker, &state) }
    }

    /// What a worker would run next may be another task, whose time counts from now.
    func frontChanged(of worker: Int, _ state: inout State) {
        guard state.scheduler.task(of: worker) == nil else { return }
        state.workers[worker]?.cancelTimers()
        watchFront(of: worker, &state)
    }

    /// Sleeps for a time, or until the Swift task is cancelled.
    ///
    /// In short sleeps: one that is cancelled is kept by the runtime until its time has come, and there may be one for each task of
    /// an hour's limit; and one beyond what its clock can count ends the program.
    static func sleep(for time: Duration) async {
        let deadline = Deadline(after: time)
        while !Task.isCancelled, !deadline.hasPassed {
            try? await Task.sleep(for: min(deadline.remaining ?? .seconds(1), .milliseconds(200)))
        }
    }

    func startTimer(_ task: Int, _ worker: Int, _ state: inout State) {
        guard let timeout = state.work[task]?.timeout else { return }
        state.workers[worker]?.timer?.cancel()
        state.workers[worker]?.timer = Task.detached { [weak self] in
            await Self.sleep(for: timeout)
            guard !Task.isCancelled, let self else { return }
            // Does nothing if it has finished while this was on its way.
            self.update { state in
                let begun = self.noteBegun(by: worker, &state)
                return begun + state.scheduler.expire(task, by: worker)
            }
        }
    }

    /// A worker ends its exit hook by itself, unless it is stopped or sick.
    func watchExit(of worker: Int, _ state: inout State) {
        guard let link = state.workers[worker]?.link else { return }
        state.workers[worker]?.timer?.cancel()
        state.workers[worker]?.timer = Task.detached { [exitTimeout] in
            await Self.sleep(for: min(exitTimeout, Deadline.longest) + .seconds(2))
            if !Task.isCancelled { link.kill() }
        }
    }

    /// Ends a worker whose initialiser does not return.
    func startSetupTimer(_ worker: Int, _ state: inout State) {
        guard let limit = initializerTimeout else { return }
        state.workers[worker]?.timer = Task.detached { [weak self] in
            await Self.sleep(for: limit)
            guard !Task.isCancelled, let self else { return }
            self.update { state in
                guard state.scheduler.isStarting(worker) else { return [] }
                state.lastFailure = PoolError(.timedOut, "\(self.name)'s initialiser did not return within \(limit)")
                return state.scheduler.startExpired(worker)
            }
        }
    }

    /// How often the memory of a worker is looked at whose task has a limit.
    private static let memoryInterval: Duration = .milliseconds(20)

    /// Ends a task whose worker comes to use more memory than the task may, and the worker.
    func watchMemory(_ task: Int, _ worker: Int, _ state: inout State) {
        // What is not a process of this machine's cannot be looked at.
        guard let limit = state.work[task]?.memoryLimit ?? memoryPerTask,
            let pid = state.workers[worker]?.link.processIdentifier
        else { return }
        state.workers[worker]?.memoryWatch = Task.detached { [weak self] in
            while true {
                try? await Task.sleep(for: Self.memoryInterval)
                guard !Task.isCancelled, let self, let usage = ProcessUsage(of: pid) else { return }
                guard usage.residentMemory > limit else { continue }
                self.update { state in
                    let begun = self.noteBegun(by: worker, &state)
                    // Perhaps it has not begun; or the worker is being ended for it.
                    guard state.scheduler.task(of: worker) == task, state.work[task] != nil,
                        state.workers[worker]?.link.condemn(for: task) == true
                    else { return begun }
                    state.excesses[task] = usage.residentMemory
                    return begun + state.scheduler.outgrow(task, by: worker)
                }
            }
        }
    }

    /// Ends the worker of a task that does not end by itself within the grace.
    func insist(on task: Int, from worker: Int) {
        let insist: @Sendable (inout State) -> [PoolScheduler.Action] = { state in
            guard state.scheduler.task(of: worker) == task, state.workers[worker]?.link.condemn(for: task) == true
            else {
                return []
            }
            return state.scheduler.insist(on: task, from: worker)
        }
        guard grace > .zero else { return update(insist) }
        Task.detached { [weak self, grace] in
            try? await Task.sleep(for: min(grace, Deadline.longest))
            self?.update(insist)
        }
    }
}
