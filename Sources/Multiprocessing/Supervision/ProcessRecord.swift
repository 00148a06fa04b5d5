internal import MultiprocessingSystem
internal import Synchronization
internal import SystemPackage

/// A child of this process, from its start to its end: the only one who signals and reaps it.
///
/// Whoever notices the end first, the monitor or a thread in `join`, settles it, under the lock.
final class ProcessRecord: Sendable {
    let name: String
    let pid: Int32
    let isDaemon: Bool
    let startMethod: StartMethod
    let terminationGrace: Duration
    /// Where in the user's program the process was made.
    let startedAt: String

    /// What is known once the process has ended.
    struct End: Sendable {
        var status: ExitStatus
        var raw: RawExit?
        var outcome: Outcome?
        var tail: [UInt8]
        var memoryRanOut: Bool
    }

    enum WaitResult { case ended, timedOut, cancelled }

    private struct State {
        var channel: SharedDescriptor?
        var errors: ErrorRelay
        /// Readable when the process has ended. Its channel alone would not tell: a process that the body left behind may hold it.
        var pidDescriptor: SharedDescriptor?
        /// The user was given its number as the sentinel: it stays open as long as this record lives.
        var sentinelIsOut = false
        var watchesErrors = false
        var outcome: Outcome?
        var end: End?
        var poller: SharedPoller?
        var token: UInt64 = 0
        /// Threads that are in a system call on one of the descriptors: none is closed while there are any.
        var blocked = 0
        var waiters: [Int: CheckedContinuation<WaitResult, Never>] = [:]
        var cancelled: Set<Int> = []
        var nextWaiter = 0
    }

    private let state: Mutex<State>

    init(
        name: String,
        pid: Int32,
        isDaemon: Bool,
        startMethod: StartMethod,
        terminationGrace: Duration,
        startedAt: String,
        channel: SharedDescriptor,
        errors: ErrorRelay
    ) {
        self.name = name
        self.pid = pid
        self.isDaemon = isDaemon
        self.startMethod = startMethod
        self.terminationGrace = terminationGrace
        self.startedAt = startedAt
        state = Mutex(State(channel: channel, errors: errors))
    }

    /// How it ended; nil while it runs.
    var end: End? {
        state.withLock { $0.end }
    }

    // MARK: Noticing

    func watch(by poller: SharedPoller, token: UInt64) throws(Errno) {
        try state.withLock { (state) throws(Errno) in
            state.poller = poller
            state.token = token
            try makePidDescriptor(&state)
            if let number = state.channel?.descriptor.number { try poller.poller.add(number, token: token) }
            if let number = state.errors.number {
                try poller.poller.add(number, token: token)
                state.watchesErrors = true
            }
        }
    }

    /// Takes in whatever has happened. Does not wait.
    func service() {
        let resumed = state.withLock { state -> [CheckedContinuation<WaitResult, Never>] in
            guard state.end == nil else { return [] }
            relayErrors(&state)
            readChannel(&state)
            return settleIfEnded(&state)
        }
        for waiter in resumed { waiter.resume(returning: .ended) }
    }

    private func relayErrors(_ state: inout State) {
        let number = state.errors.number
        let progress = state.errors.pump()
        if progress == .empty, !state.watchesErrors, let number {
            state.watchesErrors = (try? state.poller?.poller.add(number, token: state.token)) != nil
        } else if progress != .empty, state.watchesErrors, let number {
            state.poller?.poller.remove(number)
            state.watchesErrors = false
        }
        if progress == .ended { state.errors.close() }
        if progress == .stalled { Runtime.current.monitor.retryRelay(self, token: state.token) }
    }

    /// Reads what the child has reported.
    private func readChannel(_ state: inout State) {
        while state.channel != nil {
            do throws(Errno) {
                guard let packet = try state.channel!.descriptor.receive(wait: false) else {
                    closeChannel(&state)
                    break
                }
                if let outcome = Outcome(packet) { state.outcome = outcome }
            } catch {
                if error == .resourceTemporarilyUnavailable { return }
                closeChannel(&state)
            }
        }
    }

    /// Closing alone would leave the poller with an open file that a forked copy of this process still holds.
    private func closeChannel(_ state: inout State) {
        if let number = state.channel?.descriptor.number { state.poller?.poller.remove(number) }
        state.channel = nil
    }

    /// Settles the end, if it is one: a body may close all descriptors and run on.
    private func settleIfEnded(_ state: inout State) -> [CheckedContinuation<WaitResult, Never>] {
        var raw: RawExit?
        do throws(Errno) {
            guard try ChildControl.peek(pid) != nil else {
                return []
            }
            // What it left behind in its group goes before it is reaped: until then the group's number cannot be another's.
            try? ChildControl.signal(-pid, 9)
            raw = try ChildControl.reap(pid)
        } catch {
            // Reaped by somebody else.
            raw = nil
        }
        readChannel(&state)
        closeChannel(&state)
        if state.watchesErrors, let number = state.errors.number { state.poller?.poller.remove(number) }
        if let number = state.pidDescriptor?.descriptor.number { state.poller?.poller.remove(number) }
        state.errors.finish()
        let status: ExitStatus =
            switch raw {
            case .some(let raw): raw.wasSignalled ? .signalled(raw.status) : .exited(raw.status)
            case .none: .unknown
            }
        state.end = End(
            status: status,
            raw: raw,
            outcome: state.outcome,
            tail: state.errors.tail,
            memoryRanOut: raw?.wasSignalled == true && raw?.status == 9 && MemoryEvents.shared.killsIncreased()
        )
        state.outcome = nil
        Runtime.current.monitor.remove(state.token)
        closeIfUnused(&state)
        let waiters = Array(state.waiters.values)
        state.waiters = [:]
        return waiters
    }

    private func makePidDescriptor(_ state: inout State) throws(Errno) {
        let end = SharedDescriptor(try ChildControl.pidDescriptor(pid))
        try state.poller?.poller.add(end.descriptor.number, token: state.token)
        state.pidDescriptor = end
    }

    private func closeIfUnused(_ state: inout State) {
        guard state.end != nil, state.blocked == 0 else { return }
        state.poller = nil
        if !state.sentinelIsOut { state.pidDescriptor = nil }
    }

    // MARK: Waiting

    /// Blocks the thread until the process has ended; false when the deadline passed first.
    func waitBlocking(deadline: Deadline) throws(Errno) -> Bool {
        while true {
            let number: CInt? = try state.withLock { (state) throws(Errno) in
                if state.end != nil { return nil }
                if state.pidDescriptor == nil { try makePidDescriptor(&state) }
                state.blocked += 1
                return state.pidDescriptor!.descriptor.number
            }
            guard let number else { return true }
            defer {
                state.withLock { state in
                    state.blocked -= 1
                    closeIfUnused(&state)
                }
            }
            guard try waitUntilReady(Interest(number), deadline: deadline) else { return false }
            endNow()
        }
    }

    /// The process is known to have ended: settle it, even if others hold its channel.
    private func endNow() {
        let resumed = state.withLock { state -> [CheckedContinuation<WaitResult, Never>] in
            guard state.end == nil else { return [] }
            readChannel(&state)
            return settleIfEnded(&state)
        }
        for waiter in resumed { waiter.resume(returning: .ended) }
    }

    /// Suspends until the process has ended, the timeout passes or the task is cancelled.
    func wait(timeout: Duration?) async -> WaitResult {
        let id: Int? = state.withLock { state in
            if state.end != nil { return nil }
            state.nextWaiter += 1
            return state.nextWaiter
        }
        guard let id else { return .ended }
        let timer = timeout.map { timeout in
            Task.detached { [self] in
                try? await Task.sleep(for: timeout)
                if !Task.isCancelled { resume(id, .timedOut) }
            }
        }
        defer { timer?.cancel() }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let early: WaitResult? = state.withLock { state in
                    if state.end != nil { return .ended }
                    if state.cancelled.remove(id) != nil { return .cancelled }
                    state.waiters[id] = continuation
                    return nil
                }
                if let early { continuation.resume(returning: early) }
            }
        } onCancel: {
            resume(id, .cancelled)
        }
    }

    private func resume(_ id: Int, _ result: WaitResult) {
        let continuation = state.withLock { state in
            if let waiter = state.waiters.removeValue(forKey: id) {
                return waiter as CheckedContinuation<WaitResult, Never>?
            }
            // Cancelled before it began to wait.
            if state.end == nil { state.cancelled.insert(id) }
            return nil
        }
        continuation?.resume(returning: result)
    }

    // MARK: Acting

    /// Sends a signal; does nothing to a process that has ended.
    func signal(_ number: Int32) throws(Errno) {
        try state.withLock { (state) throws(Errno) in
            guard state.end == nil else { return }
            do throws(Errno) {
                // Asked first: the id of a child that somebody else reaped may be another process's by now.
                guard try ChildControl.peek(pid) == nil else { return }
                try ChildControl.signal(pid, number)
            } catch {
                if error != .noChildProcess && error != .noSuchProcess { throw error }
            }
        }
    }

    /// The number of a descriptor that becomes readable when the process has ended, open as long as this record lives.
    func sentinel() throws(Errno) -> CInt {
        try state.withLock { (state) throws(Errno) in
            if state.pidDescriptor == nil {
                if state.end == nil {
                    try makePidDescriptor(&state)
                } else {
                    // There is no process any more to make one for; the read end of a pipe without writer is as ready.
                    let ends = try Descriptor.pipeNumbers()
                    _ = Descriptor(owning: ends.write)
                    state.pidDescriptor = SharedDescriptor(Descriptor(owning: ends.read))
                }
            }
            state.sentinelIsOut = true
            return state.pidDescriptor!.descriptor.number
        }
    }

    /// Closes what the sentinel held.
    func closeSentinel() {
        state.withLock { state in
            state.sentinelIsOut = false
            closeIfUnused(&state)
        }
    }
}
