internal import MultiprocessingSystem
internal import MultiprocessingWire
internal import Synchronization

// What the workers report.

extension PoolCore {
    func handle(_ event: WorkerEvent, from worker: Int) {
        switch event {
        case .message(let message): handle(message, from: worker)
        case .came:
            state.withLock { state in
                if state.scheduler.isStarting(worker), state.workers[worker] != nil { startSetupTimer(worker, &state) }
            }
        case .ended(let error): workerEnded(worker, error, isFailure: true)
        case .left(let error): workerEnded(worker, error, isFailure: false)
        }
    }

    private func workerEnded(_ worker: Int, _ error: (any Error)?, isFailure: Bool) {
        update { state in
            if let error {
                state.endings[worker] = error
                // One that was killed says nothing about why those fail that were not.
                if !state.scheduler.isDying(worker) { state.lastFailure = error }
            }
            noteEnded(worker, error, &state)
            // Before anything else: what it had begun is what it died of.
            let begun = noteBegun(by: worker, &state)
            state.workers[worker]?.cancelTimers()
            let gone = state.workers.removeValue(forKey: worker)
            if let gone, gone.isLeaving, let error { noteExit(of: gone, error, &state) }
            let time = ContinuousClock.now - start
            let actions = begun + state.scheduler.workerEnded(worker, at: time, isFailure: isFailure)
            // Kept for the task that it died of, if there is one.
            let isBlamed = actions.contains { action in
                if case .resolve(_, .crashed(worker, _)) = action { true } else { false }
            }
            if !isBlamed { state.endings[worker] = nil }
            return actions
        }
    }

    func handle(_ message: PoolMessage, from worker: Int) {
        switch message.kind {
        case .ready:
            update { state in
                state.workers[worker]?.cancelTimers()
                note(.workerReady(observed(worker)), &state)
                return state.scheduler.workerReady(worker)
            }
        case .began:
            update { state in
                let actions = state.scheduler.taskBegan(message.task, by: worker)
                // Where the pool can look, the time runs since the worker was free to begin it.
                if state.workers[worker]?.link.begun == nil { startTimer(message.task, worker, &state) }
                return actions
            }
        case .recalled:
            update { state in
                let actions = state.scheduler.recalled(message.task, from: worker)
                frontChanged(of: worker, &state)
                return actions
            }
        case .partialResult: part(.values(message.content ?? TravellingBytes([])), of: message.task)
        case .singlyValues: part(.singly(message.number, message.content ?? TravellingBytes([])), of: message.task)
        case .returned: part(.returned(message.number), of: message.task)
        case .value, .failure:
            let isWorn = isWorn(worker)
            update { state in
                state.workers[worker]?.cancelTimers()
                if state.work.index(forKey: message.task) != nil {
                    state.results[message.task] = Self.outcome(message, name)
                }
                if message.kind == .value {
                    state.pace.note(nanoseconds: message.number)
                    state.scheduler.configuration.prefetch = state.pace.depth
                }
                let actions = state.scheduler.taskFinished(message.task, by: worker)
                watchFront(of: worker, &state)
                return isWorn ? actions + state.scheduler.replace(worker) : actions
            }
        case .setupFailed:
            let error = message.content.map { decodeError($0, "\(name)'s initialiser") }
            state.withLock { $0.lastFailure = error }
        case .leaving:
            state.withLock { state in
                state.workers[worker]?.isLeaving = true
                watchExit(of: worker, &state)
            }
        case .exitFailed:
            let error = message.content.map { decodeError($0, "an exit hook of \(name)") }
            state.withLock { state in
                guard let error, let gone = state.workers[worker] else { return }
                noteExit(of: gone, error, &state)
            }
        case .function, .forget, .run, .recall, .cancel, .stop: break
        }
    }

    private func part(_ part: Part, of task: Int) {
        let take = state.withLock { $0.work[task]?.part }
        take?(part)
    }

    func noteExit(of worker: WorkerState, _ error: any Error, _ state: inout State) {
        if state.exitFailures.count == 100 { state.exitFailures.removeFirst() }
        state.exitFailures.append(PoolExitFailure(worker: worker.name, error: error))
    }

    /// Takes note of the task that a worker has begun, and of how far it is with its items, where it tells by other means than messages.
    func noteBegun(by worker: Int, _ state: inout State) -> [PoolScheduler.Action] {
        guard let link = state.workers[worker]?.link else { return [] }
        var actions: [PoolScheduler.Action] = []
        if let task = link.begun { actions = state.scheduler.taskBegan(task, by: worker) }
        if let task = state.scheduler.task(of: worker), state.work[task]?.items != nil {
            state.positions[task] = link.position(in: task)
        }
        return actions
    }

    /// Whether a worker has grown too large or too old.
    func isWorn(_ worker: Int) -> Bool {
        guard memoryPerWorker != nil || timePerWorker != nil else { return false }
        guard let state = state.withLock({ $0.workers[worker] }) else { return false }
        if let timePerWorker, ContinuousClock.now - state.start > timePerWorker { return true }
        guard let memoryPerWorker, let pid = state.link.processIdentifier else { return false }
        return ProcessUsage(of: pid)?.residentMemory ?? 0 > memoryPerWorker
    }

    static func outcome(_ message: PoolMessage, _ name: String) -> Outcome {
        let content = message.content ?? TravellingBytes([])
        guard message.kind == .failure else { return .value(content, message.number) }
        return .thrown(content, worker: "a worker of \(name)")
    }

    func decodeError(_ content: TravellingBytes, _ who: String) -> any Error {
        content.withBytes { ErrorCoding.decode($0, process: who, pid: 0) }
    }
}
