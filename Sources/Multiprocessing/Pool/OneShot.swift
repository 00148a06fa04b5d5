internal import MultiprocessingSystem
internal import Synchronization

/// A value that is set once, and that threads and tasks of this process wait for.
final class OneShot<Value: Sendable>: Sendable {
    private struct State {
        var value: Value?
        var waiters: [Int: CheckedContinuation<Value?, Never>] = [:]
        /// Waits that were cancelled before they had begun.
        var cancelled: Set<Int> = []
        var observers: [Int: @Sendable (Value) -> Void] = [:]
        var nextWaiter = 0
        /// Whether somebody sleeps on the bell, or is about to.
        var hasSleeper = false
    }

    private let state = Mutex(State())
    /// Rung once there is a value.
    private let bell = FutexCell()
    /// What comes here comes from a worker, through the thread that reads what it sends: both have to run.
    private let spin = AdaptiveSpin(partners: 3)

    /// The value, if it is there.
    var value: Value? { state.withLock { $0.value } }

    /// Sets the value and wakes whoever waits; does nothing the second time.
    func set(_ value: Value) {
        typealias Waiting = (
            waiters: [CheckedContinuation<Value?, Never>], observers: [@Sendable (Value) -> Void], hasSleeper: Bool
        )
        let waiting: Waiting? = state.withLock { state in
            guard state.value == nil else { return nil }
            state.value = value
            defer { (state.waiters, state.observers) = ([:], [:]) }
            let inOrder = state.observers.sorted { $0.key < $1.key }.map(\.value)
            return (Array(state.waiters.values), inOrder, state.hasSleeper)
        }
        guard let waiting else { return }
        if waiting.hasSleeper { bell.ring() } else { bell.change() }
        for waiter in waiting.waiters { waiter.resume(returning: value) }
        for observer in waiting.observers { observer(value) }
    }

    /// Has `body` called when there is a value, by whoever sets it; now if there is one. The number is for ``stopObserving(_:)``.
    func observe(_ body: @escaping @Sendable (Value) -> Void) -> Int? {
        let (value, number) = state.withLock { state -> (Value?, Int?) in
            if let value = state.value { return (value, nil) }
            state.nextWaiter += 1
            state.observers[state.nextWaiter] = body
            return (nil, state.nextWaiter)
        }
        if let value { body(value) }
        return number
    }

    func stopObserving(_ number: Int) {
        state.withLock { $0.observers[number] = nil }
    }

    private func attempt(_ progress: WaitProgress) -> Attempt<Value> {
        let value = state.withLock { state in
            if state.value == nil, progress.isAboutToSleep { state.hasSleeper = true }
            return state.value
        }
        return value.map(Attempt.done) ?? .wait(bell.word, while: 0)
    }

    /// Blocks the thread until there is a value; nil when the time is over first.
    func wait(timeout: Duration?) -> Value? {
        (try? Wait.blocking(deadline: Deadline(after: timeout), spin: spin, attempt)) ?? nil
    }

    /// Suspends until there is a value; nil when the time is over first.
    ///
    /// - Throws: `CancellationError` if the task was cancelled first.
    func wait(timeout: Duration?) async throws -> Value? {
        if let value { return value }
        guard timeout == nil else {
            return try await Wait.suspending(deadline: Deadline(after: timeout), attempt)
        }
        let id = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        let found = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let early: Value?? = state.withLock { state in
                    if let value = state.value { return .some(value) }
                    if state.cancelled.remove(id) != nil { return .some(nil) }
                    state.waiters[id] = continuation
                    return nil
                }
                if let early { continuation.resume(returning: early) }
            }
        } onCancel: {
            let waiter = state.withLock { state in
                if let waiter = state.waiters.removeValue(forKey: id) {
                    return waiter as CheckedContinuation<Value?, Never>?
                }
                if state.value == nil { state.cancelled.insert(id) }
                return nil
            }
            waiter?.resume(returning: nil)
        }
        guard let found else { throw CancellationError() }
        return found
    }
}
