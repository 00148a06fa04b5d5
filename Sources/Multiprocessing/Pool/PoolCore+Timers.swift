internal import Synchronization

// What ends tasks that take too long.

extension PoolCore {
    /// A worker that is free and yet does not begin what it was sent is stopped: the time counts from there as well.
    func watchFront(of worker: Int, _ state: inout State) {
        guard state.workers[worker]?.timer == nil, let task = state.scheduler.front(of: worker) else { return }
        startTimer(task, worker, &state)
    }

    /// What a worker would run next may be another task, whose time counts from now.
    func frontChanged(of worker: Int, _ state: inout State) {
        guard state.scheduler.task(of: worker) == nil else { return }
        state.workers[worker]?.timer?.cancel()
        state.workers[worker]?.timer = nil
        watchFront(of: worker, &state)
    }

    func startTimer(_ task: Int, _ worker: Int, _ state: inout State) {
        guard let timeout = state.work[task]?.timeout else { return }
        state.workers[worker]?.timer?.cancel()
        state.workers[worker]?.timer = Task.detached { [weak self] in
            try? await Task.sleep(for: timeout)
            guard !Task.isCancelled, let self else { return }
            // Does nothing if it has finished while this was on its way.
            self.update { state in
                let begun = self.noteBegun(by: worker, &state)
                return begun + state.scheduler.expire(task, by: worker)
            }
        }
    }

    /// Ends the worker of a task that does not end by itself within the grace.
    func insist(on task: Int, from worker: Int) {
        guard grace > .zero else {
            update { $0.scheduler.insist(on: task, from: worker) }
            return
        }
        Task.detached { [weak self, grace] in
            try? await Task.sleep(for: grace)
            self?.update { $0.scheduler.insist(on: task, from: worker) }
        }
    }
}
