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
        /// Somebody else ended the process before it had read its launch: nothing of its body ran.
        var neverBegan: Bool
    }

    enum WaitResult { case ended, timedOut, cancelled }

    private struct State {
        var channel: SharedDescriptor?
        /// Those of standard error and of standard output.
        var relays: [StreamRelay]
        /// Made when somebody waits for it: readable when the process has ended.
        var pidDescriptor: SharedDescriptor?
        /// The user was given its number as the sentinel: it stays open as long as this record lives.
        var sentinelIsOut = false
        /// The numbers that the poller has.
        var watched: [CInt] = []
        var outcome: Outcome?
        /// The launch was still unread when the process ended.
        var launchIsUnread = false
        /// A signal was sent through this record.
        var wasSignalled = false
        var end: End?
        var poller: SharedPoller?
        var token: UInt64 = 0
        /// Threads that are in a system call on one of the descriptors: none is closed while there are any.
        var blocked = 0
        /// Descriptors to be closed when those threads have left.
        var retired: [SharedDescriptor] = []
        var waiters: [Int: CheckedContinuation<WaitResult, Never>] = [:]
        /// What waits were told before they had begun to wait.
        var early: [Int: WaitResult] = [:]
        var nextWaiter = 0
    }

    private let owner = ThisProcess.identifier
    private let state: Mutex<State>

    init(
        name: String,
        pid: Int32,
        isDaemon: Bool,
        startMethod: StartMethod,
        terminationGrace: Duration,
        startedAt: String,
        channel: SharedDescriptor,
        errors: StreamRelay,
        output: StreamRelay
    ) {
        self.name = name
        self.pid = pid
        self.isDaemon = isDaemon
        self.startMethod = startMethod
        self.terminationGrace = terminationGrace
        self.startedAt = startedAt
        state = Mutex(State(channel: channel, relays: [errors, output]))
    }

    /// Whether it is a child of the process that asks: a forked copy of its parent is no parent of it.
    var isOwn: Bool {
        ThisProcess.identifier == owner
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
            // The channel does not tell of the end: a body may close it, or leave a process behind that holds it.
            do throws(Errno) {
                try makePidDescriptor(&state)
            } catch {
                // Ended already, and reaped by the kernel, because this program ignores SIGCHLD: whoever asks will find out.
                if error != .noSuchProcess { throw error }
            }
            try setWatched(true, &state)
        }
    }

    /// Puts the descriptors under the monitor's eye, or takes them away from it.
    ///
    /// They are taken away before they are closed (a forked copy of this process may hold the open file, and the poller would
    /// report it for ever), and while a thread in `join` watches them itself (two threads would wake up for one event).
    ///
    /// A stalled stream is not to be watched as long as it is tried again every now and then.
    private func setWatched(_ watched: Bool, withStalled: Bool = true, _ state: inout State) throws(Errno) {
        guard let shared = state.poller else { return }
        // The channel has nothing to add to the end: it is read then. Where there is no descriptor of the end, it has to do.
        let end = state.pidDescriptor ?? state.channel
        let streams = state.relays.map { withStalled || !$0.isStalled ? $0.number : nil }
        let wanted = watched ? [end?.descriptor.number] + streams : []
        for number in state.watched where !wanted.contains(number) { shared.poller.remove(number) }
        state.watched.removeAll { !wanted.contains($0) }
        for case let number? in wanted where !state.watched.contains(number) {
            try shared.poller.add(number, token: state.token)
            state.watched.append(number)
        }
    }

    /// Takes in whatever has happened. Does not wait.
    func service(byMonitor: Bool = false) {
        guard isOwn else { return }
        let resumed = state.withLock { state -> [CheckedContinuation<WaitResult, Never>]? in
            guard state.end == nil else { return nil }
            // Only the monitor takes up retries without being woken; others leave the stream under its eye.
            if relay(&state, mayUnwatch: byMonitor), byMonitor {
                Runtime.current.monitor.retryRelay(self, token: state.token)
            }
            readChannel(&state)
            return settleIfEnded(&state)
        }
        wake(resumed)
    }

    /// Relays what has come; returns whether there is no room for some of it.
    private func relay(_ state: inout State, mayUnwatch: Bool) -> Bool {
        var isStalled = false
        for place in state.relays.indices where relay(place, &state, mayUnwatch) == .stalled { isStalled = true }
        return isStalled
    }

    private func relay(_ index: Int, _ state: inout State, _ mayUnwatch: Bool) -> StreamRelay.Progress {
        let number = state.relays[index].number
        let progress = state.relays[index].pump()
        if progress == .stalled, mayUnwatch, let number, let place = state.watched.firstIndex(of: number) {
            // The poller would report the same bytes again and again.
            state.poller?.poller.remove(number)
            state.watched.remove(at: place)
        } else if progress == .ended, number != nil {
            close(state.relays[index].takePipe(), &state)
        } else if progress != .stalled, state.blocked == 0 {
            try? setWatched(true, withStalled: false, &state)
        }
        return progress
    }

    /// Closes a descriptor: now, or when no thread is in a system call on its number any more.
    private func close(_ descriptor: SharedDescriptor?, _ state: inout State) {
        guard let descriptor else { return }
        if let place = state.watched.firstIndex(of: descriptor.descriptor.number) {
            state.poller?.poller.remove(descriptor.descriptor.number)
            state.watched.remove(at: place)
        }
        if state.blocked > 0 { state.retired.append(descriptor) }
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
                // How a socket says that its other end went with packets unread. There was one, the launch.
                if error == .connectionReset { state.launchIsUnread = true }
                closeChannel(&state)
            }
        }
    }

    private func closeChannel(_ state: inout State) {
        let channel = state.channel
        state.channel = nil
        close(channel, &state)
    }

    /// Settles the end, if it has come.
    private func settleIfEnded(_ state: inout State) -> [CheckedContinuation<WaitResult, Never>]? {
        // An error says that somebody else reaped it.
        let lives: Bool
        do throws(Errno) { lives = try ChildControl.peek(pid) == nil } catch { lives = false }
        return lives ? nil : settle(&state)
    }

    /// The process has ended: collects everything, and wakes whoever waits.
    private func settle(_ state: inout State) -> [CheckedContinuation<WaitResult, Never>] {
        var raw: RawExit?
        if (try? ChildControl.peek(pid)) != nil {
            // What it left behind in its group goes before it is reaped: until then the group's number cannot be another's.
            try? ChildControl.signal(-pid, SignalNumber.kill)
            raw = (try? ChildControl.reap(pid)) ?? nil
        }
        readChannel(&state)
        try? setWatched(false, &state)
        closeChannel(&state)
        for index in state.relays.indices {
            state.relays[index].finish()
            close(state.relays[index].takePipe(), &state)
        }
        let status: ExitStatus =
            switch raw {
            case .some(let raw): raw.wasSignalled ? .signalled(raw.status) : .exited(raw.status)
            case .none: .unknown
            }
        state.end = End(
            status: status,
            raw: raw,
            outcome: state.outcome,
            tail: state.relays[0].tail,
            memoryRanOut: raw?.wasSignalled == true && raw?.status == 9 && MemoryEvents.shared.killsIncreased(),
            neverBegan: state.launchIsUnread && !state.wasSignalled && startMethod == .forkServer
        )
        state.outcome = nil
        Runtime.current.monitor.remove(state.token)
        closeIfUnused(&state)
        let waiters = Array(state.waiters.values)
        state.waiters = [:]
        return waiters
    }

    private func makePidDescriptor(_ state: inout State) throws(Errno) {
        guard state.pidDescriptor == nil else { return }
        state.pidDescriptor = SharedDescriptor(try ChildControl.pidDescriptor(pid))
    }

    private func closeIfUnused(_ state: inout State) {
        guard state.blocked == 0 else { return }
        state.retired = []
        guard state.end != nil else { return }
        state.poller = nil
        if !state.sentinelIsOut { state.pidDescriptor = nil }
    }

    // MARK: Waiting

    /// Blocks the thread until the process has ended; false when the deadline passed first.
    ///
    /// The thread watches the process itself, so that its end costs one wake-up and not two.
    func waitBlocking(deadline: Deadline) throws(Errno) -> Bool {
        let waits = state.withLock { state in
            if state.end != nil { return false }
            if state.blocked == 0 { try? setWatched(false, &state) }
            state.blocked += 1
            return true
        }
        guard waits else { return true }
        defer {
            state.withLock { state in
                state.blocked -= 1
                closeIfUnused(&state)
                if state.end == nil, state.blocked == 0 { try? setWatched(true, &state) }
            }
        }
        while true {
            var tellsEnd = false
            var stalled = false
            let interests: [Interest]? = state.withLock { state in
                guard state.end == nil else { return nil }
                // Without a descriptor to spare the channel will do, which tells the same a moment earlier.
                try? makePidDescriptor(&state)
                tellsEnd = state.pidDescriptor != nil
                stalled = state.relays.contains { $0.isStalled }
                let end = state.pidDescriptor?.descriptor.number ?? state.channel?.descriptor.number
                let streams = state.relays.map { $0.isStalled ? nil : $0.number }
                return ([end] + streams).compactMap { $0.map { Interest($0) } }
            }
            guard let interests else { return true }
            let slice = stalled || !tellsEnd ? deadline.earlier(.milliseconds(20)) : deadline
            let ready = try waitUntilReady(interests, deadline: slice)
            if tellsEnd, ready.contains(0) {
                endNow()
                return true
            }
            service()
            if ready.isEmpty, deadline.hasPassed { return state.withLock { $0.end != nil } }
        }
    }

    /// The process is known to have ended: settle it, even if others hold its channel.
    private func endNow() {
        let resumed = state.withLock { $0.end == nil ? settle(&$0) : nil }
        wake(resumed)
    }

    /// Outside the lock: resumes who waited, and has the place of a process that was ready taken by another. Nil: no end yet.
    private func wake(_ waiters: [CheckedContinuation<WaitResult, Never>]?) {
        guard let waiters else { return }
        for waiter in waiters { waiter.resume(returning: .ended) }
        if startMethod == .forkServer { Runtime.current.forkServer.refill(onlyIfEmpty: false) }
    }

    /// Suspends until the process has ended, the timeout passes or the task is cancelled.
    func wait(timeout: Duration?) async -> WaitResult {
        let id: Int? = state.withLock { state in
            if state.end != nil { return nil }
            state.nextWaiter += 1
            return state.nextWaiter
        }
        guard let id else { return .ended }
        // Task.sleep traps where the sum with the present overflows.
        let timer = timeout.flatMap { timeout in
            timeout > Deadline.longest
                ? nil
                : Task.detached { [self] in
                    try? await Task.sleep(for: timeout)
                    if !Task.isCancelled { resume(id, .timedOut) }
                }
        }
        defer {
            timer?.cancel()
            state.withLock { _ = $0.early.removeValue(forKey: id) }
        }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let early: WaitResult? = state.withLock { state in
                    if state.end != nil { return .ended }
                    if let early = state.early[id] { return early }
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
            // Before it began to wait. The first word counts: a time that is over is no cancellation.
            if state.end == nil, state.early[id] == nil { state.early[id] = result }
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
                state.wasSignalled = true
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
