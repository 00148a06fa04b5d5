internal import MultiprocessingSystem
internal import Synchronization

/// Runs Swift tasks on a thread of its own, which may be blocked: the concurrency runtime's few threads may not.
///
/// The thread is started by the first job. After ``close()`` it ends when there is nothing to do; a job that comes later, from a
/// task that goes on where nobody waits for it, has a thread started anew.
final class ThreadExecutor: TaskExecutor {
    private struct State {
        var jobs: ArraySlice<UnownedJob> = []
        var hasThread = false
        var isClosed = false
    }

    private let state = Mutex(State())
    private let bell = FutexCell()
    private let spin = AdaptiveSpin()
    private let name: String

    init(name: String) {
        self.name = name
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let needsThread = state.withLock { state in
            state.jobs.append(job)
            defer { state.hasThread = true }
            return !state.hasThread
        }
        guard needsThread else { return bell.ring() }
        do {
            try Thread.detach(named: name) { self.run() }
        } catch {
            // Without threads to be had, one of the runtime's has to do.
            Task.detached { self.run() }
        }
    }

    /// No more is to come; does not wait.
    func close() {
        state.withLock { $0.isClosed = true }
        bell.ring()
    }

    private enum Next {
        case job(UnownedJob)
        case end
    }

    private func run() {
        while case .job(let job)? = next() { job.runSynchronously(on: asUnownedTaskExecutor()) }
    }

    private func next() -> Next? {
        try? Wait.blocking(deadline: .never, spin: spin) { _ -> Attempt<Next> in
            // Read before looking: what comes afterwards changes it.
            let rung = bell.value
            let found: Next? = state.withLock { state in
                if let job = state.jobs.popFirst() { return .job(job) }
                guard state.isClosed else { return nil }
                state.hasThread = false
                return .end
            }
            return found.map(Attempt.done) ?? .wait(bell.word, while: rung)
        }
    }
}
