internal import Synchronization

// Where the actions of the scheduler are carried out.

extension PoolCore {
    func update(_ change: (inout State) -> [PoolScheduler.Action]) {
        state.withLock { state in
            let actions = change(&state)
            state.line += actions.map(Step.action)
        }
        carryOut()
    }

    /// Carries out what is in line, unless somebody is at it, who will then do this as well.
    func carryOut() {
        let isMine = state.withLock { state in
            guard !state.isCarryingOut, !state.line.isEmpty else { return false }
            state.isCarryingOut = true
            return true
        }
        guard isMine else { return }
        while let step = nextStep() { step() }
    }

    /// What the next action comes to; nil when there is none, and then the role is given up.
    func nextStep() -> (() -> Void)? {
        state.withLock { state in
            guard !state.line.isEmpty else {
                state.isCarryingOut = false
                return nil
            }
            switch state.line.removeFirst() {
            case .action(let action):
                guard !observers.isEmpty, let kind = observation(of: action, &state) else {
                    return step(action, &state)
                }
                let (tell, step) = (telling(kind, state), step(action, &state))
                return {
                    tell()
                    step()
                }
            case .event(let kind): return telling(kind, state)
            case .forget(let function): return forget(function, &state)
            }
        }
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
            return { [self] in end.set(()) }
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
            if state.scheduler.isStarting(worker) { startSetupTimer(worker, &state) }
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
        if work.function != 0, state.workers[worker]!.functions.insert(work.function).inserted,
            let function = state.functions[work.function]
        {
            messages.append(PoolMessage(kind: .function, number: work.function, content: function))
        }
        messages.append(PoolMessage(kind: .run, task: task, number: work.function, content: work.content))
        watchFront(of: worker, &state)
        return { for message in messages { link.send(message) } }
    }
}
