internal import MultiprocessingSystem
internal import Synchronization

/// Runs a Swift task on the thread that waits for it: nobody has to be woken for it, as long as it does not suspend.
final class ThisThreadExecutor: TaskExecutor {
    private struct State {
        /// One at most, because a task has one.
        var job: UnownedJob?
        var isFinished = false
        var isWaiting = false
    }

    private let state = Mutex(State())
    private let bell = FutexCell()
    private let spin = AdaptiveSpin()

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        change { $0.job = job }
    }

    /// To be called at the end of the task.
    func finish() {
        change { $0.isFinished = true }
    }

    private func change(_ body: (inout sending State) -> Void) {
        let isWaiting = state.withLock { state in
            body(&state)
            return state.isWaiting
        }
        if isWaiting { bell.ring() }
    }

    /// Has `begin` begin a task with this executor, and runs it here until it is finished. One at a time.
    func runTask(_ begin: () -> Void) {
        state.withLock { $0.isFinished = false }
        begin()
        while let job = next() { job.runSynchronously(on: asUnownedTaskExecutor()) }
    }

    /// The task's next job; nil when it is finished.
    private func next() -> UnownedJob? {
        if let found = look(isWaiting: false) { return found.job }
        let found = try? Wait.blocking(deadline: .never, spin: spin) { _ -> Attempt<Found> in
            // Read before looking: what comes afterwards changes it.
            let rung = bell.value
            return look(isWaiting: true).map(Attempt.done) ?? .wait(bell.word, while: rung)
        }
        return found?.job
    }

    private struct Found {
        var job: UnownedJob?
    }

    private func look(isWaiting: Bool) -> Found? {
        state.withLock { state in
            let found = state.job.map { Found(job: $0) } ?? (state.isFinished ? Found(job: nil) : nil)
            state.job = nil
            state.isWaiting = isWaiting && found == nil
            return found
        }
    }
}
