/// Decides which worker does what: a value that takes events and returns actions, and knows neither processes nor clocks.
///
/// Tasks and workers are numbers. A worker is sent a few tasks beyond the one that it runs, so that it need not wait for the
/// next; it runs them in the order in which they were sent, and says which it has begun. When it dies, the one that it had
/// begun is what it died of; the others had no part in it and go elsewhere. What is sent and not begun can be recalled, so
/// that no worker idles while another sits on work.
///
/// What holds at every moment (and is tested over all short and many long random schedules): every task that was submitted is
/// waiting, with one worker, or resolved, and it is resolved once; no worker that could take work is without it while a task
/// waits; after close, terminate or giving up, `ended` comes once, when every task is resolved and every worker is gone.
struct PoolScheduler {
    typealias TaskID = Int
    typealias WorkerID = Int

    struct Configuration {
        /// How many workers there are to be.
        var size: Int
        /// How many tasks a worker is sent beyond the one that it runs.
        var prefetch = 1
        /// After so many tasks a worker is replaced; nil is never.
        var tasksPerWorker: Int?
        /// So many workers may end in a row without a task that they had begun, and with none finished in between, before the
        /// pool gives up.
        var patience = 16
    }

    enum Action: Equatable {
        /// Start a worker under this number. ``workerReady(_:)`` or ``workerEnded(_:)`` follows.
        case start(WorkerID)
        case send(TaskID, to: WorkerID)
        /// Ask for a task back. ``recalled(_:from:)``, ``taskBegan(_:by:)`` or the worker's end follows.
        case recall(TaskID, from: WorkerID)
        /// Have a worker leave when it has done what it was sent.
        case stop(WorkerID)
        case kill(WorkerID)
        /// Ask a worker to stop with a task that it has begun and that nobody wants any more. ``insist(on:from:)`` may follow.
        case interrupt(TaskID, on: WorkerID)
        case resolve(TaskID, Resolution)
        /// Workers end one after the other without getting anything done.
        case gaveUp
        /// Closed, terminated or given up, and nothing is left.
        case ended
    }

    /// What became of a task.
    enum Resolution: Equatable {
        /// The worker reported a result, or the error of the task itself.
        case finished
        /// The worker that ran it died of it, for the last time that it may.
        case crashed(WorkerID)
        /// Whoever submitted it does not want it any more.
        case cancelled
        /// It ran for longer than it may.
        case expired
        /// The pool was terminated, or gave up, before it was done.
        case abandoned
    }

    private struct Worker {
        enum Phase { case starting, ready, stopping, dying }
        var phase = Phase.starting
        /// In the order in which they were sent.
        var tasks: [TaskID] = []
        var begun: TaskID?
        var recalled: Set<TaskID> = []
        var finished = 0
    }

    private struct Task {
        var worker: WorkerID?
        /// How often it may still be run again after a crash.
        var retries: Int
    }

    private enum Phase { case open, closed, terminated }

    private(set) var configuration: Configuration
    private var workers: [WorkerID: Worker] = [:]
    private var tasks: [TaskID: Task] = [:]
    /// First in, first out; what comes back from a worker goes in front.
    private var waiting = WaitingLine()
    private var phase = Phase.open
    private var nextWorker = 0
    private var endsInVain = 0
    private var hasEnded = false
    private(set) var hasGivenUp = false

    init(_ configuration: Configuration) {
        self.configuration = configuration
    }

    /// How many tasks are neither resolved nor with a worker.
    var waitingCount: Int { waiting.count }
    /// How many tasks are not resolved.
    var unresolvedCount: Int { tasks.count }
    /// How many workers there are, in whatever state.
    var workerCount: Int { workers.count }
    /// Whether it takes tasks.
    var isOpen: Bool { phase == .open && !hasGivenUp }
    /// The task that a worker has begun.
    func task(of worker: WorkerID) -> TaskID? { workers[worker]?.begun }
    /// The worker that has a task.
    func worker(of task: TaskID) -> WorkerID? { tasks[task]?.worker }
    /// The task that a worker runs, or runs next.
    func front(of id: WorkerID) -> TaskID? {
        workers[id].flatMap { worker in worker.begun ?? worker.tasks.first { tasks[$0]?.worker == id } }
    }
    /// What a worker is about, and how many tasks it has finished.
    func status(of id: WorkerID) -> (state: PoolSnapshot.WorkerState, task: TaskID?, finished: Int)? {
        guard let worker = workers[id] else { return nil }
        let state: PoolSnapshot.WorkerState =
            switch worker.phase {
            case .starting: .starting
            case .ready: worker.begun == nil ? .idle : .busy
            case .stopping, .dying: .leaving
            }
        return (state, worker.begun, worker.finished)
    }
    /// Whether the worker has not ended.
    func knows(_ worker: WorkerID) -> Bool { workers[worker] != nil }
    /// Whether a worker has begun the task.
    func hasBegun(_ task: TaskID) -> Bool { tasks[task]?.worker.map { workers[$0]?.begun == task } ?? false }

    // MARK: Events

    /// Starts the workers; also after a change of size.
    mutating func begin() -> [Action] {
        settle()
    }

    /// Takes a task on; false if the pool takes none any more.
    mutating func submit(_ task: TaskID, retries: Int = 0, _ actions: inout [Action]) -> Bool {
        guard isOpen else { return false }
        tasks[task] = Task(retries: retries)
        waiting.append(task)
        actions += settle()
        return true
    }

    /// A worker has come up and takes tasks.
    mutating func workerReady(_ id: WorkerID) -> [Action] {
        guard workers[id]?.phase == .starting else { return [] }
        workers[id]!.phase = .ready
        return settle()
    }

    /// A worker has begun a task; it cannot be recalled any more.
    mutating func taskBegan(_ task: TaskID, by id: WorkerID) -> [Action] {
        guard workers[id]?.tasks.contains(task) == true else { return [] }
        workers[id]!.begun = task
        workers[id]!.recalled.remove(task)
        return settle()
    }

    /// A worker has reported a result.
    mutating func taskFinished(_ task: TaskID, by id: WorkerID) -> [Action] {
        guard let place = workers[id]?.tasks.firstIndex(of: task) else { return [] }
        workers[id]!.tasks.remove(at: place)
        workers[id]!.recalled.remove(task)
        if workers[id]!.begun == task { workers[id]!.begun = nil }
        workers[id]!.finished += 1
        endsInVain = 0
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

    /// A worker is gone, whatever the reason.
    mutating func workerEnded(_ id: WorkerID) -> [Action] {
        guard let worker = workers.removeValue(forKey: id) else { return [] }
        var actions: [Action] = []
        // The last one first, so that they are in front in the order in which they were sent.
        for task in worker.tasks.reversed() where tasks[task]?.worker == id {
            guard task == worker.begun else {
                putBack(task)
                continue
            }
            if tasks[task]!.retries > 0 {
                tasks[task]!.retries -= 1
                putBack(task)
            } else {
                resolve(task, .crashed(id), &actions)
            }
        }
        let wasWanted = worker.phase == .stopping || worker.phase == .dying
        // One that dies of its task says nothing about the pool: there may be many such tasks.
        if !wasWanted, worker.begun == nil { endsInVain += 1 }
        if endsInVain >= configuration.patience, phase != .terminated, !hasGivenUp {
            hasGivenUp = true
            actions.append(.gaveUp)
            abandonAll(&actions)
        }
        return actions + settle()
    }

    /// Nobody wants a task any more (`cancelled`), or it has run for too long (`expired`).
    ///
    /// One that has begun is interrupted; its worker takes no blame if it comes to an end by itself.
    mutating func withdraw(_ task: TaskID, as resolution: Resolution) -> [Action] {
        guard let entry = tasks[task] else { return [] }
        var actions: [Action] = []
        if let id = entry.worker, let worker = workers[id] {
            if worker.begun == task {
                actions.append(.interrupt(task, on: id))
            } else if !worker.recalled.contains(task) {
                // Not to get it back but to have it not run; if it begins all the same, its result is nobody's.
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

    /// Ends a worker that has to go, for its memory or its age; with what it runs, or after that.
    mutating func replace(_ id: WorkerID, atOnce: Bool) -> [Action] {
        guard let worker = workers[id], worker.phase == .ready || worker.phase == .starting else { return [] }
        var actions: [Action] = []
        if atOnce { kill(id, &actions) } else { retire(id, worker, &actions) }
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

    // MARK: The rules

    private mutating func resolve(_ task: TaskID, _ resolution: Resolution, _ actions: inout [Action]) {
        tasks[task] = nil
        actions.append(.resolve(task, resolution))
    }

    private mutating func putBack(_ task: TaskID) {
        tasks[task]!.worker = nil
        waiting.prepend(task)
    }

    private mutating func abandonAll(_ actions: inout [Action]) {
        for task in tasks.keys.sorted() { resolve(task, .abandoned, &actions) }
        waiting.removeAll()
        for id in workers.keys.sorted() { kill(id, &actions) }
    }

    private mutating func kill(_ id: WorkerID, _ actions: inout [Action]) {
        guard workers[id]!.phase != .dying else { return }
        workers[id]!.phase = .dying
        actions.append(.kill(id))
    }

    /// No more tasks for it; what it has not begun is asked back.
    private mutating func retire(_ id: WorkerID, _ worker: Worker, _ actions: inout [Action]) {
        workers[id]!.phase = .stopping
        for task in worker.tasks where task != worker.begun && !worker.recalled.contains(task) {
            workers[id]!.recalled.insert(task)
            actions.append(.recall(task, from: id))
        }
        actions.append(.stop(id))
    }

    /// Brings everything to where it belongs after any event.
    private mutating func settle() -> [Action] {
        var actions: [Action] = []
        guard !hasEnded else { return actions }
        let isDone = phase == .terminated || hasGivenUp || (phase == .closed && tasks.isEmpty)
        let live = workers.filter { $0.value.phase == .starting || $0.value.phase == .ready }
        if isDone {
            for (id, worker) in live.sorted(by: { $0.key < $1.key }) { retire(id, worker, &actions) }
            if workers.isEmpty {
                hasEnded = true
                actions.append(.ended)
            }
            return actions
        }
        adjustCount(live, &actions)
        assign(&actions)
        steal(&actions)
        return actions
    }

    private mutating func adjustCount(_ live: [WorkerID: Worker], _ actions: inout [Action]) {
        // After close, no more workers than there is work for.
        let wanted = phase == .open ? configuration.size : min(configuration.size, tasks.count)
        for _ in live.count..<max(live.count, wanted) {
            workers[nextWorker] = Worker()
            actions.append(.start(nextWorker))
            nextWorker += 1
        }
        // Those with the least to do go first.
        let surplus = live.sorted { ($0.value.tasks.count, -$0.key) < ($1.value.tasks.count, -$1.key) }
        for (id, worker) in surplus.prefix(max(0, live.count - configuration.size)) { retire(id, worker, &actions) }
        guard let most = configuration.tasksPerWorker else { return }
        for (id, worker) in live.sorted(by: { $0.key < $1.key })
        where workers[id]?.phase == .ready && worker.finished >= most && worker.tasks.isEmpty {
            retire(id, worker, &actions)
            workers[nextWorker] = Worker()
            actions.append(.start(nextWorker))
            nextWorker += 1
        }
    }

    /// How many more tasks a worker may be sent.
    private func room(_ worker: Worker) -> Int {
        guard worker.phase == .ready else { return 0 }
        let most = configuration.tasksPerWorker.map { $0 - worker.finished - worker.tasks.count } ?? .max
        return max(0, min(1 + configuration.prefetch - worker.tasks.count, most))
    }

    private mutating func assign(_ actions: inout [Action]) {
        while !waiting.isEmpty {
            // The one with the least to do; among those the one that was started first, for warm caches.
            let free = workers.filter { room($0.value) > 0 }
            guard let id = free.min(by: { ($0.value.tasks.count, $0.key) < ($1.value.tasks.count, $1.key) })?.key else {
                return
            }
            let task = waiting.removeFirst()!
            tasks[task]!.worker = id
            workers[id]!.tasks.append(task)
            actions.append(.send(task, to: id))
        }
    }

    /// Nothing waits: whoever has nothing to do gets what another was sent and has not begun.
    private mutating func steal(_ actions: inout [Action]) {
        guard waiting.isEmpty else { return }
        var idle = workers.values.reduce(0) { $0 + ($1.tasks.isEmpty && room($1) > 0 ? 1 : 0) }
        // What is on its way back already counts.
        idle -= workers.values.reduce(0) { $0 + $1.recalled.filter { tasks[$0] != nil }.count }
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

/// The tasks that wait: a queue at whose front tasks are put back, and from which any can be taken out.
private struct WaitingLine {
    private var entries: [Int: Int] = [:]
    private var places: [Int: Int] = [:]
    private var first = 0
    private var last = 0

    var count: Int { entries.count }
    var isEmpty: Bool { entries.isEmpty }

    mutating func append(_ task: Int) {
        entries[last] = task
        places[task] = last
        last += 1
    }

    mutating func prepend(_ task: Int) {
        first -= 1
        entries[first] = task
        places[task] = first
    }

    mutating func removeFirst() -> Int? {
        while first < last {
            defer { first += 1 }
            if let task = entries.removeValue(forKey: first) {
                places[task] = nil
                return task
            }
        }
        return nil
    }

    mutating func remove(_ task: Int) {
        if let place = places.removeValue(forKey: task) { entries[place] = nil }
    }

    mutating func removeAll() {
        self = WaitingLine()
    }
}
