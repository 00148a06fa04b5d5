internal import MultiprocessingSystem
internal import MultiprocessingWire
internal import Synchronization

/// A pool's state: the scheduler, the workers and the tasks, under one lock; and the one place where the scheduler's actions
/// are carried out.
///
/// Actions are put into a line under the lock and carried out outside it, by one thread at a time, in that order: whoever
/// finds nobody at it. So messages to a worker keep the order in which the scheduler decided, and no lock is held while
/// something is sent or a result is handed over.
final class PoolCore: Sendable {
    /// What a task needs to be sent, and who waits for it.
    struct Work: Sendable {
        /// The function's number, or zero if `content` is a function without arguments.
        var function: Int
        var content: TravellingBytes
        /// What it may take from the moment it begins.
        var timeout: Duration?
        var retries: Int
        var name: String
        var completion: @Sendable (Outcome) -> Void
    }

    enum Outcome: Sendable {
        /// The encoded result, and the nanoseconds that it took.
        case value(TravellingBytes, Int)
        /// What the task threw, encoded: the user's code that decodes it is not to run on the pool's threads.
        case thrown(TravellingBytes, worker: String)
        case failure(any Error)
    }

    /// What is to be carried out.
    private enum Step {
        case action(PoolScheduler.Action)
        /// Have the workers forget a function that no task wants any more.
        case forget(function: Int)
    }

    private struct WorkerState {
        var link: any WorkerLink
        let name: String
        let start = ContinuousClock.now
        var functions: Set<Int> = []
        var timer: Task<Void, Never>?
    }

    private struct State {
        var scheduler: PoolScheduler
        var work: [Int: Work] = [:]
        var functions: [Int: TravellingBytes] = [:]
        var workers: [Int: WorkerState] = [:]
        /// Why workers ended, and results that arrived: until the scheduler's resolution is carried out.
        var endings: [Int: any Error] = [:]
        var results: [Int: Outcome] = [:]
        /// A slice, because that gives up its first element at no cost.
        var line: ArraySlice<Step> = []
        var isCarryingOut = false
        var nextTask = 0
        var nextFunction = 1
        var lastFailure: (any Error)?
    }

    private let state: Mutex<State>
    private let transport: any WorkerTransport
    private let name: String
    /// What a task that is to end has to do so by itself.
    private let grace: Duration
    /// When workers are replaced: bytes of resident memory, and time.
    private let (memoryPerWorker, timePerWorker): (Int?, Duration?)
    /// Set when every task is resolved and every worker is gone.
    let end = OneShot<Void>()

    init(_ configuration: PoolScheduler.Configuration, transport: any WorkerTransport, options: PoolOptions) {
        grace = options.grace
        name = options.name
        (memoryPerWorker, timePerWorker) = (options.memoryPerWorker, options.timePerWorker)
        state = Mutex(State(scheduler: PoolScheduler(configuration)))
        self.transport = transport
    }

    // MARK: From the pool's users

    func begin() { update { $0.scheduler.begin() } }
    func close(cancellingWaiting: Bool) {
        update { state in
            let cancelled = cancellingWaiting ? state.scheduler.withdrawWaiting() : []
            return cancelled + state.scheduler.close()
        }
    }
    func terminate() { update { $0.scheduler.terminate() } }
    func resize(to size: Int) { update { $0.scheduler.resize(to: size) } }

    var size: Int { state.withLock { $0.scheduler.configuration.size } }
    var unresolvedCount: Int { state.withLock { $0.scheduler.unresolvedCount } }

    /// Whether a worker has begun the task.
    func hasBegun(_ task: Int) -> Bool { state.withLock { $0.scheduler.hasBegun(task) } }

    var isOpen: Bool { state.withLock { $0.scheduler.isOpen } }

    var processIdentifiers: [Int32] {
        state.withLock { $0.workers.sorted { $0.key < $1.key }.compactMap(\.value.link.processIdentifier) }
    }

    var snapshot: PoolSnapshot {
        var snapshot = state.withLock { state in
            let workers = state.workers.sorted { $0.key < $1.key }.compactMap { id, worker in
                state.scheduler.status(of: id).map { status in
                    PoolSnapshot.Worker(
                        name: worker.name,
                        processIdentifier: worker.link.processIdentifier,
                        state: status.state,
                        task: status.task.flatMap { state.work[$0]?.name },
                        finishedTasks: status.finished,
                        age: ContinuousClock.now - worker.start
                    )
                }
            }
            return PoolSnapshot(
                workers: workers,
                waitingTasks: state.scheduler.waitingCount,
                unresolvedTasks: state.scheduler.unresolvedCount
            )
        }
        for place in snapshot.workers.indices {
            let pid = snapshot.workers[place].processIdentifier
            snapshot.workers[place].residentMemory = pid.flatMap(ResidentMemory.bytes(of:))
        }
        return snapshot
    }

    /// Keeps a function for many tasks; each worker is sent it once.
    func register(_ function: EncodedPieces) -> Int {
        state.withLock { state in
            defer { state.nextFunction += 1 }
            state.functions[state.nextFunction] = TravellingBytes(function)
            return state.nextFunction
        }
    }

    func forget(function: Int) {
        state.withLock { state in
            state.functions[function] = nil
            // Behind whatever sends it.
            state.line.append(.forget(function: function))
        }
        carryOut()
    }

    /// Takes a task on; its number.
    ///
    /// - Throws: ``PoolError`` (`closed`, `workersFail`).
    func submit(_ work: Work) throws -> Int {
        let id: Int = try state.withLock { state in
            let id = state.nextTask
            var actions: [PoolScheduler.Action] = []
            guard state.scheduler.submit(id, retries: work.retries, &actions) else {
                throw state.scheduler.hasGivenUp
                    ? gaveUp(state)
                    : PoolError(.closed, "\(name) takes no more tasks: it was closed or terminated")
            }
            state.nextTask += 1
            state.work[id] = work
            state.line += actions.map(Step.action)
            return id
        }
        carryOut()
        return id
    }

    func cancel(_ task: Int) {
        update { state in
            let worker = state.scheduler.worker(of: task)
            let actions = state.scheduler.withdraw(task, as: .cancelled)
            if let worker { frontChanged(of: worker, &state) }
            return actions
        }
    }

    // MARK: From the workers

    private func handle(_ event: WorkerEvent, from worker: Int) {
        switch event {
        case .message(let message): handle(message, from: worker)
        case .ended(let error):
            update { state in
                if let error {
                    state.endings[worker] = error
                    state.lastFailure = error
                }
                state.workers.removeValue(forKey: worker)?.timer?.cancel()
                let actions = state.scheduler.workerEnded(worker)
                // Kept for the task that it died of, if there is one.
                let isBlamed = actions.contains { action in
                    if case .resolve(_, .crashed(worker)) = action { true } else { false }
                }
                if !isBlamed { state.endings[worker] = nil }
                return actions
            }
        }
    }

    private func handle(_ message: PoolMessage, from worker: Int) {
        switch message.kind {
        case .ready: update { $0.scheduler.workerReady(worker) }
        case .began:
            update { state in
                let actions = state.scheduler.taskBegan(message.task, by: worker)
                startTimer(message.task, worker, &state)
                return actions
            }
        case .recalled:
            update { state in
                let actions = state.scheduler.recalled(message.task, from: worker)
                frontChanged(of: worker, &state)
                return actions
            }
        case .value, .failure:
            let isWorn = isWorn(worker)
            update { state in
                state.workers[worker]?.timer?.cancel()
                state.workers[worker]?.timer = nil
                if state.work[message.task] != nil { state.results[message.task] = Self.outcome(message, name) }
                let actions = state.scheduler.taskFinished(message.task, by: worker)
                watchFront(of: worker, &state)
                return isWorn ? actions + state.scheduler.replace(worker, atOnce: false) : actions
            }
        case .setupFailed:
            let error = message.content.map { decodeError($0, "\(name)'s initialiser") }
            state.withLock { $0.lastFailure = error }
        case .function, .forget, .run, .recall, .cancel, .stop: break
        }
    }

    /// Whether a worker has grown too large or too old.
    private func isWorn(_ worker: Int) -> Bool {
        guard memoryPerWorker != nil || timePerWorker != nil else { return false }
        guard let state = state.withLock({ $0.workers[worker] }) else { return false }
        if let timePerWorker, ContinuousClock.now - state.start > timePerWorker { return true }
        guard let memoryPerWorker, let pid = state.link.processIdentifier else { return false }
        return ResidentMemory.bytes(of: pid) ?? 0 > memoryPerWorker
    }

    private static func outcome(_ message: PoolMessage, _ name: String) -> Outcome {
        let content = message.content ?? TravellingBytes([])
        guard message.kind == .failure else { return .value(content, message.number) }
        return .thrown(content, worker: "a worker of \(name)")
    }

    private func decodeError(_ content: TravellingBytes, _ who: String) -> any Error {
        content.bytes.withUnsafeBytes { ErrorCoding.decode($0, process: who, pid: 0) }
    }

    /// A worker that is free and yet does not begin what it was sent is stopped: the time counts from there as well.
    private func watchFront(of worker: Int, _ state: inout State) {
        guard state.workers[worker]?.timer == nil, let task = state.scheduler.front(of: worker) else { return }
        startTimer(task, worker, &state)
    }

    /// What a worker would run next may be another task, whose time counts from now.
    private func frontChanged(of worker: Int, _ state: inout State) {
        guard state.scheduler.task(of: worker) == nil else { return }
        state.workers[worker]?.timer?.cancel()
        state.workers[worker]?.timer = nil
        watchFront(of: worker, &state)
    }

    private func startTimer(_ task: Int, _ worker: Int, _ state: inout State) {
        guard let timeout = state.work[task]?.timeout else { return }
        state.workers[worker]?.timer?.cancel()
        state.workers[worker]?.timer = Task.detached { [weak self] in
            try? await Task.sleep(for: timeout)
            guard !Task.isCancelled, let self else { return }
            // Does nothing if it has finished while this was on its way.
            self.update { $0.scheduler.expire(task, by: worker) }
        }
    }

    // MARK: Carrying out

    private func update(_ change: (inout State) -> [PoolScheduler.Action]) {
        state.withLock { state in
            let actions = change(&state)
            state.line += actions.map(Step.action)
        }
        carryOut()
    }

    /// Carries out what is in line, unless somebody is at it, who will then do this as well.
    private func carryOut() {
        let isMine = state.withLock { state in
            guard !state.isCarryingOut, !state.line.isEmpty else { return false }
            state.isCarryingOut = true
            return true
        }
        guard isMine else { return }
        while let step = nextStep() { step() }
    }

    /// What the next action comes to; nil when there is none, and then the role is given up.
    private func nextStep() -> (() -> Void)? {
        state.withLock { state in
            guard !state.line.isEmpty else {
                state.isCarryingOut = false
                return nil
            }
            switch state.line.removeFirst() {
            case .action(let action): return step(action, &state)
            case .forget(let function): return forget(function, &state)
            }
        }
    }

    private func forget(_ function: Int, _ state: inout State) -> () -> Void {
        var links: [any WorkerLink] = []
        for worker in state.workers.keys where state.workers[worker]!.functions.remove(function) != nil {
            links.append(state.workers[worker]!.link)
        }
        return { for link in links { link.send(PoolMessage(kind: .forget, number: function)) } }
    }

    /// Looks up under the lock what an action needs; what is returned runs outside it.
    private func step(_ action: PoolScheduler.Action, _ state: inout State) -> () -> Void {
        switch action {
        case .start(let worker):
            return { [self] in start(worker) }
        case .send(let task, let worker):
            return send(task, to: worker, &state)
        case .recall(let task, let worker):
            let link = state.workers[worker]?.link
            return { link?.send(PoolMessage(kind: .recall, task: task)) }
        case .stop(let worker):
            let link = state.workers[worker]?.link
            return { link?.send(PoolMessage(kind: .stop)) }
        case .kill(let worker):
            let link = state.workers[worker]?.link
            return { link?.kill() }
        case .interrupt(let task, let worker):
            let link = state.workers[worker]?.link
            return { [self] in
                link?.send(PoolMessage(kind: .cancel, task: task))
                insist(on: task, from: worker)
            }
        case .resolve(let task, let resolution):
            guard let work = state.work.removeValue(forKey: task) else { return {} }
            let outcome = outcome(of: task, work, resolution, &state)
            return { work.completion(outcome) }
        case .gaveUp:
            return {}
        case .ended:
            return { [self] in end.set(()) }
        }
    }

    private func start(_ worker: Int) {
        // Its first message may come before the link is kept; what that leads to waits in line behind this.
        let name = "\(name)-\(worker + 1)"
        let link = transport.start(name) { [weak self] event in self?.handle(event, from: worker) }
        state.withLock { state in
            // It may have ended by now.
            if state.scheduler.knows(worker) { state.workers[worker] = WorkerState(link: link, name: name) }
        }
    }

    private func send(_ task: Int, to worker: Int, _ state: inout State) -> () -> Void {
        guard let work = state.work[task], let link = state.workers[worker]?.link else { return {} }
        var messages: [PoolMessage] = []
        if work.function != 0, state.workers[worker]!.functions.insert(work.function).inserted,
            let function = state.functions[work.function]
        {
            messages.append(PoolMessage(kind: .function, number: work.function, content: function))
        }
        messages.append(PoolMessage(kind: .run, task: task, number: work.function, content: work.content))
        watchFront(of: worker, &state)
        return { for message in messages { link.send(message) } }
    }

    /// A crash says what the worker was doing.
    private static func naming(_ task: String, _ error: (any Error)?) -> (any Error)? {
        if var crash = error as? ProcessCrash {
            crash.task = task
            return crash
        }
        if var left = error as? ProcessError {
            left.message = "In \(task): \(left.message)"
            return left
        }
        return error
    }

    /// Ends the worker of a task that does not end by itself within the grace.
    private func insist(on task: Int, from worker: Int) {
        guard grace > .zero else {
            update { $0.scheduler.insist(on: task, from: worker) }
            return
        }
        Task.detached { [weak self, grace] in
            try? await Task.sleep(for: grace)
            self?.update { $0.scheduler.insist(on: task, from: worker) }
        }
    }

    private func outcome(
        of task: Int,
        _ work: Work,
        _ resolution: PoolScheduler.Resolution,
        _ state: inout State
    ) -> Outcome {
        let result = state.results.removeValue(forKey: task)
        switch resolution {
        case .finished:
            return result ?? .failure(PoolError(.terminated, "\(work.name) left no result"))
        case .crashed(let worker):
            return .failure(
                Self.naming(work.name, state.endings.removeValue(forKey: worker))
                    ?? PoolError(.workersFail, "The worker that ran \(work.name) left without a result")
            )
        case .cancelled:
            return .failure(PoolError(.cancelled, "\(work.name) was cancelled"))
        case .expired:
            return .failure(
                PoolError(.timedOut, "\(work.name) took longer than \(work.timeout ?? .zero); its worker was ended")
            )
        case .abandoned where state.scheduler.hasGivenUp:
            return .failure(gaveUp(state))
        case .abandoned:
            return .failure(PoolError(.terminated, "\(name) was terminated before \(work.name) was done"))
        }
    }

    private func gaveUp(_ state: State) -> PoolError {
        let reason = state.lastFailure.map { ": \($0)" } ?? ""
        return PoolError(.workersFail, "\(name) gave up, because its workers fail one after the other\(reason)")
    }
}
