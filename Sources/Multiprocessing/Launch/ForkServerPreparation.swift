internal import MultiprocessingSystem
internal import Synchronization

/// The tasks that wait for a fork server to be started, and the thread that starts it for all of them.
final class ForkServerPreparation: Sendable {
    typealias Waiter = CheckedContinuation<Void, any Error>

    private struct State {
        var isUnderWay = false
        var waiters: [Int: Waiter] = [:]
        var nextWaiter = 0
    }

    private let state = Mutex(State())

    /// Suspends until the start is over; begins it if it is not under way.
    ///
    /// - Parameter start: calls ``end()`` and resumes those that it returns.
    /// - Throws: what the start threw; `CancellationError` as soon as the task is cancelled.
    func wait(for start: @escaping @Sendable () -> Void) async throws {
        let number = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (waiter: Waiter) in
                let isFirst = state.withLock { state in
                    defer { state.isUnderWay = true }
                    state.waiters[number] = waiter
                    return !state.isUnderWay
                }
                if isFirst { begin(start) }
                // A cancellation before this found nobody to wake.
                if Task.isCancelled { cancel(number) }
            }
        } onCancel: {
            cancel(number)
        }
    }

    /// Takes those that wait; whoever comes now begins anew.
    func end() -> [Waiter] {
        state.withLock { state in
            defer { (state.isUnderWay, state.waiters) = (false, [:]) }
            return Array(state.waiters.values)
        }
    }

    private func begin(_ start: @escaping @Sendable () -> Void) {
        do {
            try Thread.detach(named: "mp-preload", start)
        } catch {
            // Without a thread they start the server themselves, and hold theirs meanwhile.
            for waiter in end() { waiter.resume() }
        }
    }

    private func cancel(_ number: Int) {
        let waiter = state.withLock { $0.waiters.removeValue(forKey: number) }
        waiter?.resume(throwing: CancellationError())
    }
}
