internal import MultiprocessingSystem
internal import MultiprocessingWire
internal import Synchronization

// What the users of the pool ask for.

extension PoolCore {
    func begin() { update { $0.scheduler.begin() } }
    func close(cancellingWaiting: Bool) {
        update { state in
            guard cancellingWaiting else { return state.scheduler.close() }
            let begun = state.workers.keys.sorted().flatMap { noteBegun(by: $0, &state) }
            return begun + state.scheduler.withdrawWaiting() + state.scheduler.close()
        }
    }
    func terminate() { update { $0.scheduler.terminate() } }
    /// Lives on, when nobody has the pool any more, until every task is resolved and every worker is gone.
    func liveUntilEnd() { _ = end.observe { _ in withExtendedLifetime(self) {} } }
    func resize(to size: Int) { update { $0.scheduler.resize(to: size) } }

    var size: Int { state.withLock { $0.scheduler.configuration.size } }
    /// How many tasks there should be, so that no worker ever waits for one.
    var comfortableCount: Int {
        state.withLock { $0.scheduler.configuration.size * (1 + $0.scheduler.configuration.prefetch) + 2 }
    }
    var unresolvedCount: Int { state.withLock { $0.scheduler.unresolvedCount } }

    var exitFailures: [PoolExitFailure] { state.withLock { $0.exitFailures } }

    /// Whether a worker has begun the task.
    func hasBegun(_ task: Int) -> Bool {
        state.withLock { state in
            guard let worker = state.scheduler.worker(of: task) else { return false }
            return state.scheduler.hasBegun(task) || state.workers[worker]?.link.begun == task
        }
    }

    var isOpen: Bool { state.withLock { $0.scheduler.isOpen } }

    var processIdentifiers: [Int32] {
        state.withLock { state in
            state.workers.sorted { $0.key < $1.key }.filter { !state.scheduler.isDying($0.key) }
                .compactMap(\.value.link.processIdentifier)
        }
    }

    var snapshot: PoolSnapshot {
        update { state in state.workers.keys.sorted().flatMap { noteBegun(by: $0, &state) } }
        var snapshot = state.withLock { state in
            let workers = state.workers.sorted { $0.key < $1.key }.compactMap { id, worker in
                state.scheduler.status(of: id).map { status in
                    PoolSnapshot.Worker(
                        name: worker.name,
                        processIdentifier: worker.link.processIdentifier,
                        state: status.state,
                        task: status.task.flatMap { state.work[$0]?.description() },
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
            let usage = snapshot.workers[place].processIdentifier.flatMap { ProcessUsage(of: $0) }
            snapshot.workers[place].residentMemory = usage?.residentMemory
            snapshot.workers[place].processorTime = usage?.processorTime
        }
        return snapshot
    }

    /// Keeps a function for many tasks, and their baggage; each worker is sent it once.
    func register(_ function: EncodedPieces, baggage: [UInt8]? = nil) -> Int {
        state.withLock { state in
            defer { state.nextFunction += 1 }
            state.functions[state.nextFunction] = KeptFunction(content: TravellingBytes(function), baggage: baggage)
            return state.nextFunction
        }
    }

    func forget(function: Int) {
        carryOut { state in
            state.functions[function] = nil
            // Behind whatever sends it.
            state.line.append(.forget(function: function))
        }
    }

    /// Takes a task on; its number.
    ///
    /// - Throws: ``PoolError`` (`closed`, `workersFail`).
    func submit(_ work: Work) throws -> Int {
        try carryOut { state in
            let id = state.nextTask
            var actions: [PoolScheduler.Action] = []
            guard state.scheduler.submit(id, retries: work.retries, isPart: work.isPart, &actions) else {
                throw state.scheduler.hasGivenUp
                    ? gaveUp(state)
                    : PoolError(.closed, "\(name) takes no more tasks: it was closed or terminated")
            }
            state.nextTask += 1
            state.work[id] = work
            if work.timeout != nil || work.memoryLimit != nil { state.hasLimits = true }
            noteSubmitted(id, &state)
            state.line += actions.map(Step.action)
            return id
        }
    }

    func cancel(_ task: Int) {
        update { state in
            guard let worker = state.scheduler.worker(of: task) else {
                return state.scheduler.withdraw(task, as: .cancelled)
            }
            let begun = noteBegun(by: worker, &state)
            let actions = state.scheduler.withdraw(task, as: .cancelled)
            frontChanged(of: worker, &state)
            return begun + actions
        }
    }
}
