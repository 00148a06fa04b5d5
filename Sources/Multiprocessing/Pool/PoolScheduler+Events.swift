// What the workers report.

extension PoolScheduler {
    /// A worker has come up and takes tasks.
    mutating func workerReady(_ id: WorkerID) -> [Action] {
        guard workers[id]?.phase == .starting else { return [] }
        workers[id]!.phase = .ready
        return settle()
    }

    /// A worker has begun a task; it cannot be recalled any more.
    ///
    /// One that was withdrawn before it was known to have begun is interrupted now: it is nobody's, and nobody else would end it.
    mutating func taskBegan(_ task: TaskID, by id: WorkerID) -> [Action] {
        guard workers[id]?.tasks.contains(task) == true else { return [] }
        workers[id]!.begun = task
        workers[id]!.recalled.remove(task)
        var actions: [Action] = []
        if tasks[task] == nil { interrupt(task, on: id, &actions) }
        return actions + settle()
    }

    /// A worker has reported a result.
    mutating func taskFinished(_ task: TaskID, by id: WorkerID) -> [Action] {
        guard let place = workers[id]?.tasks.firstIndex(of: task) else { return [] }
        workers[id]!.tasks.remove(at: place)
        workers[id]!.recalled.remove(task)
        if workers[id]!.begun == task { workers[id]!.begun = nil }
        if workers[id]!.interrupted == task { workers[id]!.interrupted = nil }
        workers[id]!.finished += 1
        restarts.taskFinished()
        finishedCount += 1
        workers[id]!.lastSeen = finishedCount
        var actions: [Action] = []
        // One that was cancelled meanwhile has been resolved.
        if tasks[task]?.worker == id { resolve(task, .finished, &actions) }
        return actions + settle()
    }

    /// A worker has given a task back.
    mutating func recalled(_ task: TaskID, from id: WorkerID) -> [Action] {
        guard let place = workers[id]?.tasks.firstIndex(of: task), workers[id]!.begun != task else { return [] }
        workers[id]!.tasks.remove(at: place)
        workers[id]!.recalled.remove(task)
        if tasks[task]?.worker == id { putBack(task) }
        return settle()
    }

    /// A worker has not come up in the time that it has for it.
    mutating func startExpired(_ id: WorkerID) -> [Action] {
        guard workers[id]?.phase == .starting else { return [] }
        workers[id]!.neverCameUp = true
        var actions: [Action] = []
        kill(id, &actions)
        return actions + settle()
    }

    /// A worker is gone, whatever the reason. The time is counted from any fixed point.
    ///
    /// - Parameter isFailure: whether that says something about the pool, if it happens again and again.
    mutating func workerEnded(_ id: WorkerID, at time: Duration, isFailure: Bool = true) -> [Action] {
        guard let worker = workers.removeValue(forKey: id) else { return [] }
        var actions: [Action] = []
        // The last one first, so that they are in front in the order in which they were sent.
        for task in worker.tasks.reversed() where tasks[task]?.worker == id {
            guard task == worker.begun, worker.phase != .dying else {
                putBack(task)
                continue
            }
            tasks[task]!.deaths += 1
            if tasks[task]!.deaths <= tasks[task]!.retries {
                putBack(task)
            } else {
                resolve(task, .crashed(id, deaths: tasks[task]!.deaths), &actions)
            }
        }
        let wasWanted = worker.phase == .stopping || worker.phase == .dying
        // One that dies of its task says nothing about the pool: there may be many such tasks.
        if worker.neverCameUp {
            restarts.note(at: time, weight: (configuration.patience + 1) / 2, configuration)
        } else if isFailure, !wasWanted, worker.begun == nil {
            restarts.note(at: time, weight: 1, configuration)
        }
        if restarts.isExhausted, phase != .terminated, !hasGivenUp {
            hasGivenUp = true
            actions.append(.gaveUp)
            abandonAll(&actions)
        }
        return actions + settle()
    }
}
