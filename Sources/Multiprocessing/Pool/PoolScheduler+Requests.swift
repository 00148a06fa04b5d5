// What the pool, and those who use it, ask for.

extension PoolScheduler {
    /// Starts the workers; also after a change of size.
    mutating func begin() -> [Action] {
        settle()
    }

    /// Takes a task on; false if the pool takes none any more.
    ///
    /// - Parameter isPart: whether it is part of a task that was taken on before: such a one is taken on as long as the pool has not
    ///   ended.
    mutating func submit(_ task: TaskID, retries: Int = 0, isPart: Bool = false, _ actions: inout [Action]) -> Bool {
        guard isOpen || isPart && phase == .closed && !hasGivenUp && !hasEnded else { return false }
        tasks[task] = Task(retries: retries)
        waiting.append(task)
        actions += settle()
        return true
    }

    /// Nobody wants a task any more (`cancelled`), or it has run for too long (`expired`).
    ///
    /// One that has begun is interrupted; its worker takes no blame if it comes to an end by itself.
    mutating func withdraw(_ task: TaskID, as resolution: Resolution) -> [Action] {
        guard let entry = tasks[task] else { return [] }
        var actions: [Action] = []
        if let id = entry.worker, let worker = workers[id] {
            if worker.begun == task {
                interrupt(task, on: id, &actions)
            } else if !worker.recalled.contains(task) {
                // Not to get it back but to have it not run; if it has begun all the same, the worker says so, and is interrupted.
                workers[id]!.recalled.insert(task)
                actions.append(.recall(task, from: id))
            }
        } else {
            waiting.remove(task)
        }
        resolve(task, resolution, &actions)
        return actions + settle()
    }

    /// A task has taken too long, from when a worker began it or was free to begin it.
    ///
    /// One that was free and did not begin is stopped, or sick: it is ended at once.
    mutating func expire(_ task: TaskID, by id: WorkerID) -> [Action] {
        guard tasks[task]?.worker == id, let worker = workers[id] else { return [] }
        if worker.begun == task { return withdraw(task, as: .expired) }
        guard worker.begun == nil, front(of: id) == task else { return [] }
        var actions: [Action] = []
        resolve(task, .expired, &actions)
        kill(id, &actions)
        return actions + settle()
    }

    /// Cancels every task that no worker has begun.
    mutating func withdrawWaiting() -> [Action] {
        var actions: [Action] = []
        for task in tasks.keys.sorted() where !hasBegun(task) { actions += withdraw(task, as: .cancelled) }
        return actions
    }

    /// The time for a task to end by itself is over: its worker ends with it, unless it is done with it.
    mutating func insist(on task: TaskID, from id: WorkerID) -> [Action] {
        guard workers[id]?.begun == task else { return [] }
        var actions: [Action] = []
        kill(id, &actions)
        return actions + settle()
    }

    /// A task's worker has come to use more memory than the task may: both end at once.
    mutating func outgrow(_ task: TaskID, by id: WorkerID) -> [Action] {
        guard tasks[task]?.worker == id, workers[id]?.begun == task else { return [] }
        var actions: [Action] = []
        resolve(task, .outgrown, &actions)
        kill(id, &actions)
        return actions + settle()
    }

    /// Lets a worker go, for its memory or its age, when it has done what it runs.
    mutating func replace(_ id: WorkerID) -> [Action] {
        guard let worker = workers[id], worker.phase == .ready || worker.phase == .starting else { return [] }
        var actions: [Action] = []
        retire(id, &actions)
        return actions + settle()
    }

    /// Changes how many workers there are to be.
    mutating func resize(to size: Int) -> [Action] {
        configuration.size = size
        return settle()
    }

    /// Takes no more tasks, and ends when those that there are have been resolved.
    mutating func close() -> [Action] {
        if phase == .open { phase = .closed }
        return settle()
    }

    /// Resolves everything as abandoned and kills every worker.
    mutating func terminate() -> [Action] {
        guard phase != .terminated else { return [] }
        phase = .terminated
        var actions: [Action] = []
        abandonAll(&actions)
        return actions + settle()
    }
}
