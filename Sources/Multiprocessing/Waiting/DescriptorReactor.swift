internal import MultiprocessingSystem
internal import Synchronization
internal import SystemPackage

/// Sleeps on descriptors for tasks, which must not block their thread: one thread (epoll) for all of them.
///
/// Started with the first wait; costs nothing while nobody waits.
final class DescriptorReactor: Sendable {
    private struct Waiter {
        var numbers: [CInt]
        var deadline: Deadline
        /// Given false if the descriptors cannot be watched.
        var continuation: CheckedContinuation<Bool, Never>
    }

    private struct State {
        var nextID = 0
        var waiters: [Int: Waiter] = [:]
        /// Who waits for a descriptor. The poller has those that are in here.
        var byNumber: [CInt: [Int]] = [:]
        /// Waits that were cancelled before they began.
        var cancelled: Set<Int> = []
        /// What the thread sleeps with; nil while it works.
        var sleepsUntil: Deadline?
        var engine: Engine?
    }

    private final class Engine: Sendable {
        let poller: Poller
        /// Readable when the thread has to look at the deadlines anew.
        let bell: Descriptor

        init() throws(Errno) {
            poller = try Poller()
            bell = try Descriptor.event()
            try poller.add(bell.number, token: UInt64(bell.number))
        }
    }

    private let state = Mutex(State())

    /// Suspends until one of the descriptors is readable, at its end or broken, the deadline passes or the task is cancelled.
    ///
    /// They have to stay open until this returns. Some system calls, and a wake-up of the thread. The caller looks what it was.
    func wait(_ numbers: [CInt], deadline: Deadline) async {
        let id = state.withLock { state -> Int? in
            guard startIfNeeded(&state) else { return nil }
            state.nextID += 1
            return state.nextID
        }
        guard let id else {
            // No thread can be had. Never block this one: look again soon.
            return await Self.pause()
        }
        let wasWatched = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                add(id, Waiter(numbers: numbers, deadline: deadline, continuation: continuation))
            }
        } onCancel: {
            cancel(id)
        }
        // The handler does not run any more: what it left behind is not needed.
        state.withLock { _ = $0.cancelled.remove(id) }
        // Closed, or a file, which is always ready, or the kernel has no room to note it. The caller looks, and may come back at once.
        if !wasWatched { await Self.pause() }
    }

    /// For those who cannot be woken: a millisecond, also for a task that was cancelled, which else would look without any pause.
    static func pause() async {
        await Task.detached { try? await Task.sleep(for: .milliseconds(1)) }.value
    }

    private func startIfNeeded(_ state: inout State) -> Bool {
        if state.engine != nil { return true }
        guard let engine = try? Engine(),
            (try? Thread.detach(named: "mp-descriptors", { [self] in run(engine) })) != nil
        else { return false }
        state.engine = engine
        return true
    }

    private func add(_ id: Int, _ waiter: Waiter) {
        // Nil while it waits.
        let outcome = state.withLock { state -> Bool? in
            if state.cancelled.contains(id) { return true }
            guard let engine = state.engine else { return false }
            state.waiters[id] = waiter
            for number in waiter.numbers {
                if state.byNumber[number] == nil {
                    do throws(Errno) {
                        try engine.poller.add(number, token: UInt64(number))
                    } catch {
                        _ = remove(id, &state)
                        return false
                    }
                }
                state.byNumber[number, default: []].append(id)
            }
            if let until = state.sleepsUntil, waiter.deadline.isEarlier(than: until) { engine.bell.signalEvent() }
            return nil
        }
        if let outcome { waiter.continuation.resume(returning: outcome) }
    }

    private func cancel(_ id: Int) {
        let waiter = state.withLock { state -> Waiter? in
            if let waiter = remove(id, &state) { return waiter }
            state.cancelled.insert(id)
            return nil
        }
        waiter?.continuation.resume(returning: true)
    }

    private func remove(_ id: Int, _ state: inout State) -> Waiter? {
        guard let waiter = state.waiters.removeValue(forKey: id) else { return nil }
        for number in waiter.numbers {
            guard var waiting = state.byNumber[number], let place = waiting.firstIndex(of: id) else { continue }
            waiting.remove(at: place)
            if waiting.isEmpty {
                state.byNumber[number] = nil
                state.engine?.poller.remove(number)
            } else {
                state.byNumber[number] = waiting
            }
        }
        return waiter
    }

    private func run(_ engine: Engine) {
        while true {
            let milliseconds: CInt = state.withLock { state in
                let first = state.waiters.values.compactMap(\.deadline.remaining).min()
                state.sleepsUntil = Deadline(after: first)
                return first.map(Self.milliseconds) ?? -1
            }
            let tokens = engine.poller.wait(milliseconds: milliseconds)
            let done = state.withLock { state in
                state.sleepsUntil = nil
                var ids: Set<Int> = []
                for token in tokens {
                    let number = CInt(truncatingIfNeeded: token)
                    if number == engine.bell.number { engine.bell.clearEvent() }
                    ids.formUnion(state.byNumber[number] ?? [])
                }
                for (id, waiter) in state.waiters where waiter.deadline.hasPassed { ids.insert(id) }
                return ids.compactMap { remove($0, &state) }
            }
            for waiter in done { waiter.continuation.resume(returning: true) }
        }
    }

    /// Rounded up, so that the deadline has passed when the time is over.
    private static func milliseconds(_ duration: Duration) -> CInt {
        let (seconds, attoseconds) = duration.components
        return CInt(clamping: seconds * 1000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
    }
}
