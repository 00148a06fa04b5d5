internal import Synchronization

// Where the actions of the scheduler are carried out.

extension PoolCore {
    func update(_ change: (inout State) -> [PoolScheduler.Action]) {
        carryOut { state in state.line += change(&state).map(Step.action) }
    }

    /// Carries out what is in line after a change, unless somebody is at it, who will then do this as well.
    ///
    /// The lock is taken twice for all of it, because threads that come for it at once cost each other more than what is done under it.
    func carryOut<R: Sendable>(after change: (inout State) throws -> R) rethrows -> R {
        var (result, steps) = try state.withLock { state in
            let result = try change(&state)
            guard !state.isCarryingOut, !state.line.isEmpty else { return (result, [() -> Void]()) }
            state.isCarryingOut = true
            return (result, nextSteps(&state))
        }
        while !steps.isEmpty {
            for step in steps { step() }
            steps = state.withLock { nextSteps(&$0) }
        }
        return result
    }

    /// What the next actions come to; none when there are none, and then the role is given up.
    ///
    /// A start ends them: what comes behind it may be about the worker that it makes known.
    private func nextSteps(_ state: inout State) -> [() -> Void] {
        var steps: [() -> Void] = []
        while let next = state.line.popFirst() {
            switch next {
            case .action(let action):
                if !observers.isEmpty, let kind = observation(of: action, &state) {
                    steps.append(telling(kind, state))
                }
                steps.append(step(action, &state))
                if case .start = action { return steps }
            case .forget(let function): steps.append(forget(function, &state))
            case .event(let kind): steps.append(telling(kind, state))
            }
        }
        if steps.isEmpty { state.isCarryingOut = false }
        return steps
    }

    func forget(_ function: Int, _ state: inout State) -> () -> Void {
        var links: [any WorkerLink] = []
        for worker in state.workers.keys where state.workers[worker]!.functions.remove(function) != nil {
            links.append(state.workers[worker]!.link)
        }
        return { for link in links { link.send(PoolMessage(kind: .forget, number: function)) } }
    }

    /// Looks up under the lock what an action needs; what is returned runs outside it.
    func step(_ action: PoolScheduler.Action, _ state: inout State) -> () -> Void {
        switch action {
        case .start(let worker, .zero):
            return { [self] in start(worker) }
        case .start(let worker, let delay):
            state.delayed.insert(worker)
            return { [self] in start(worker, after: delay) }
        case .send(let task, let worker):
            return send(task, to: worker, &state)
        case .recall(let task, let worker):
            let link = state.workers[worker]?.link
            return { link?.send(PoolMessage(kind: .recall, task: task)) }
        case .stop(let worker):
            if state.delayed.remove(worker) != nil { return { [self] in handle(.ended(nil), from: worker) } }
            let link = state.workers[worker]?.link
            return { link?.send(PoolMessage(kind: .stop)) }
        case .kill(let worker):
            if state.delayed.remove(worker) != nil { return { [self] in handle(.ended(nil), from: worker) } }
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
            let drain = state.drain
            return { [self] in
                transport.finish { [end] in
                    end.set(())
                    // Signals are the program's own again. One that drains the pool sees that it has ended before it sees this.
                    drain?.cancel()
                }
            }
        }
    }

    private func start(_ worker: Int) {
        // Its first message may come before the link is kept; what that leads to waits in line behind this.
        let name = "\(name)-\(worker + 1)"
        let link = transport.start(name) { [weak self] event in self?.handle(event, from: worker) }
        state.withLock { state in
            // It may have ended by now.
            guard state.scheduler.knows(worker) else { return }
            state.workers[worker] = WorkerState(link: link, name: name)
            if state.scheduler.isStarting(worker), !link.isAwaited { startSetupTimer(worker, &state) }
        }
    }

    private func start(_ worker: Int, after delay: Duration) {
        Task.detached { [weak self] in
            try? await Task.sleep(for: delay)
            guard let self else { return }
            // It may have been stopped before it was started.
            let isWanted = self.state.withLock { $0.delayed.remove(worker) != nil }
            if isWanted { self.start(worker) }
        }
    }

    func send(_ task: Int, to worker: Int, _ state: inout State) -> () -> Void {
        guard let work = state.work[task], let link = state.workers[worker]?.link else { return {} }
        var messages: [PoolMessage] = []
        let kept = abs(work.function)
        if kept != 0, state.workers[worker]!.functions.insert(kept).inserted, let function = state.functions[kept] {
            let (content, baggage) = (function.content, function.baggage)
            messages.append(PoolMessage(kind: .function, number: kept, content: content, baggage: baggage))
        }
        messages.append(
            PoolMessage(
                kind: .run,
                task: task,
                number: work.function,
                isLoose: work.isLoose,
                content: work.content,
                baggage: work.baggage
            )
        )
        watchFront(of: worker, &state)
        return { for message in messages { link.send(message) } }
    }
}
