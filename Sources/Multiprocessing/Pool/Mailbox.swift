internal import MultiprocessingSystem
internal import Synchronization

/// Values that threads put in and one thread or task takes out, in the order in which they came.
final class Mailbox<Element: Sendable>: Sendable {
    private struct State {
        var elements: [Element] = []
        /// The task that waits without a deadline.
        var waiter: CheckedContinuation<Void, Never>?
        /// Its wait was cancelled before it had begun.
        var isCancelled = false
        /// Whether somebody sleeps on the bell, or is about to.
        var hasSleeper = false
    }

    private let state = Mutex(State())
    private let bell = FutexCell()
    /// What comes here comes from a worker, through the thread that reads what it sends: both have to run.
    private let spin = AdaptiveSpin(partners: 3)

    /// Puts a value in and wakes whoever waits for it. No system call if nobody sleeps.
    func put(_ element: Element) {
        let (waiter, hasSleeper) = state.withLock { state in
            state.elements.append(element)
            defer { (state.waiter, state.hasSleeper) = (nil, false) }
            return (state.waiter, state.hasSleeper)
        }
        if hasSleeper { bell.ring() } else { bell.change() }
        waiter?.resume()
    }

    /// Everything that is there, perhaps nothing.
    func takeAll() -> [Element] {
        state.withLock { state in
            defer { state.elements = [] }
            return state.elements
        }
    }

    private func attempt(_ progress: WaitProgress) -> Attempt<[Element]> {
        // Read before looking: what is put in afterwards changes it.
        let rung = bell.value
        let found = state.withLock { state in
            defer { state.elements = [] }
            if state.elements.isEmpty, progress.isAboutToSleep { state.hasSleeper = true }
            return state.elements
        }
        return found.isEmpty ? .wait(bell.word, while: rung) : .done(found)
    }

    /// Blocks the thread until something is there; nil when the deadline passed first.
    func wait(_ deadline: Deadline) -> [Element]? {
        (try? Wait.blocking(deadline: deadline, spin: spin, attempt)) ?? nil
    }

    /// Suspends until something is there; nil when the deadline passed first.
    ///
    /// - Throws: `CancellationError`.
    func wait(_ deadline: Deadline) async throws -> [Element]? {
        guard deadline.isNever else { return try await Wait.suspending(deadline: deadline, attempt) }
        while true {
            let found = takeAll()
            if !found.isEmpty { return found }
            try Task.checkCancellation()
            await arrival()
        }
    }

    /// Suspends until something is put in, or the task is cancelled. It may be that nothing is there then.
    private func arrival() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    defer { state.isCancelled = false }
                    if !state.elements.isEmpty || state.isCancelled { return true }
                    state.waiter = continuation
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            let waiter = state.withLock { state in
                defer { state.waiter = nil }
                state.isCancelled = state.waiter == nil
                return state.waiter
            }
            waiter?.resume()
        }
    }
}
