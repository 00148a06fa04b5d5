// What the events have in common, and the rules by which work finds its worker.

extension PoolScheduler {
    mutating func resolve(_ task: TaskID, _ resolution: Resolution, _ actions: inout [Action]) {
        tasks[task] = nil
        actions.append(.resolve(task, resolution))
    }

    mutating func putBack(_ task: TaskID) {
        tasks[task]!.worker = nil
        waiting.prepend(task)
    }

    mutating func abandonAll(_ actions: inout [Action]) {
        for task in tasks.keys.sorted() { resolve(task, .abandoned, &actions) }
        waiting.removeAll()
        for id in workers.keys.sorted() { kill(id, &actions) }
    }

    mutating func kill(_ id: WorkerID, _ actions: inout [Action]) {
        guard workers[id]!.phase != .dying else { return }
        workers[id]!.phase = .dying
        actions.append(.kill(id))
    }

    /// Has a worker stop with a task that it has begun and that nobody wants any more; once.
    mutating func interrupt(_ task: TaskID, on id: WorkerID, _ actions: inout [Action]) {
        guard workers[id]!.phase != .dying, workers[id]!.interrupted != task else { return }
        // Before it may come to be killed, so that nothing else begins in it.
        recallRest(of: id, &actions)
        workers[id]!.interrupted = task
        actions.append(.interrupt(task, on: id))
    }

    /// No more tasks for it; what it has not begun is asked back.
    mutating func retire(_ id: WorkerID, _ actions: inout [Action]) {
        workers[id]!.phase = .stopping
        recallRest(of: id, &actions)
        actions.append(.stop(id))
    }

    /// Asks a worker for everything that it has not begun.
    ///
    /// - Parameter keepingFirst: not for its first task, which is as good as begun.
    mutating func recallRest(of id: WorkerID, _ actions: inout [Action], keepingFirst: Bool = false) {
        let worker = workers[id]!
        for task in worker.tasks.dropFirst(keepingFirst ? 1 : 0)
        where task != worker.begun && !worker.recalled.contains(task) {
            workers[id]!.recalled.insert(task)
            actions.append(.recall(task, from: id))
        }
    }

    /// Brings everything to where it belongs after any event.
    mutating func settle() -> [Action] {
        var actions: [Action] = []
        guard !hasEnded else { return actions }
        let isDone = phase == .terminated || hasGivenUp || (phase == .closed && tasks.isEmpty)
        if isDone {
            for id in liveWorkers.keys.sorted() { retire(id, &actions) }
            if workers.isEmpty {
                hasEnded = true
                actions.append(.ended)
            }
            return actions
        }
        // Of the many events, few change how many workers there are: looked at without making anything.
        if !hasWantedWorkers { adjustCount(liveWorkers, &actions) }
        assign(&actions)
        release(&actions)
        steal(&actions)
        return actions
    }

    private var liveWorkers: [WorkerID: Worker] { workers.filter { $0.value.isLive } }

    private var hasWantedWorkers: Bool {
        phase == .open && configuration.tasksPerWorker == nil
            && workers.values.reduce(0) { $0 + ($1.isLive ? 1 : 0) } == configuration.size
    }

    mutating func adjustCount(_ live: [WorkerID: Worker], _ actions: inout [Action]) {
        // After close, no more workers than there is work for.
        let wanted = phase == .open ? configuration.size : min(configuration.size, tasks.count)
        for _ in live.count..<max(live.count, wanted) {
            start(after: restarts.delay, &actions)
        }
        // Those with the least to do go first.
        let surplus = live.sorted { ($0.value.tasks.count, -$0.key) < ($1.value.tasks.count, -$1.key) }
        for (id, _) in surplus.prefix(max(0, live.count - configuration.size)) { retire(id, &actions) }
        guard let most = configuration.tasksPerWorker else { return }
        for (id, worker) in live.sorted(by: { $0.key < $1.key })
        where workers[id]?.phase == .ready && worker.finished >= most && worker.tasks.isEmpty {
            retire(id, &actions)
            start(after: .zero, &actions)
        }
    }

    private mutating func start(after delay: Duration, _ actions: inout [Action]) {
        workers[nextWorker] = Worker()
        actions.append(.start(nextWorker, after: delay))
        nextWorker += 1
    }

    /// How many more tasks a worker may be sent.
    func room(_ worker: Worker) -> Int {
        guard worker.phase == .ready, worker.interrupted == nil else { return 0 }
        let most = configuration.tasksPerWorker.map { $0 - worker.finished - worker.tasks.count } ?? .max
        let advance = isBehind(worker) ? 0 : configuration.prefetch
        return max(0, min(1 + advance - worker.tasks.count, most))
    }

    /// Whether a worker is at a task that takes far longer than the others do: nothing should wait behind it.
    func isBehind(_ worker: Worker) -> Bool {
        !worker.tasks.isEmpty && finishedCount - worker.lastSeen > 8 * configuration.size * (1 + configuration.prefetch)
    }

    /// Asks back what waits behind a task that takes far longer than others, while others have work enough and would not ask for it.
    mutating func release(_ actions: inout [Action]) {
        for (id, worker) in workers where worker.phase == .ready && worker.tasks.count > 1 && isBehind(worker) {
            recallRest(of: id, &actions, keepingFirst: true)
        }
    }

    mutating func assign(_ actions: inout [Action]) {
        while !waiting.isEmpty {
            // The one with the least to do; among those the one that was started first, for warm caches.
            var best: (count: Int, id: WorkerID)?
            for (id, worker) in workers where room(worker) > 0 {
                if best == nil || (worker.tasks.count, id) < best! { best = (worker.tasks.count, id) }
            }
            guard let id = best?.id else { return }
            let task = waiting.removeFirst()!
            tasks[task]!.worker = id
            if workers[id]!.tasks.isEmpty { workers[id]!.lastSeen = finishedCount }
            workers[id]!.tasks.append(task)
            actions.append(.send(task, to: id))
        }
    }

    /// Nothing waits: whoever has nothing to do gets what another was sent and has not begun.
    mutating func steal(_ actions: inout [Action]) {
        guard waiting.isEmpty else { return }
        var idle = workers.values.reduce(0) { $0 + ($1.tasks.isEmpty && room($1) > 0 ? 1 : 0) }
        if idle == 0 { return }
        // What is on its way back already counts.
        idle -= workers.values.reduce(0) { $0 + $1.recalled.count { tasks[$0] != nil } }
        while idle > 0 {
            let candidates = workers.compactMap { id, worker -> (id: WorkerID, count: Int, task: TaskID)? in
                let rest = worker.tasks.filter {
                    $0 != worker.begun && !worker.recalled.contains($0) && tasks[$0] != nil
                }
                // Its first task is as good as begun.
                guard worker.tasks.count > 1, let last = rest.last, last != worker.tasks.first else { return nil }
                return (id, worker.tasks.count, last)
            }
            guard let best = candidates.max(by: { ($0.count, $0.id) < ($1.count, $1.id) }) else { return }
            workers[best.id]!.recalled.insert(best.task)
            actions.append(.recall(best.task, from: best.id))
            idle -= 1
        }
    }
}
