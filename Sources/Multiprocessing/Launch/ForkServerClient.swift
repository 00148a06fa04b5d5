internal import MultiprocessingSystem
internal import Synchronization
internal import SystemPackage

/// The parent's side of the fork server: starts it, keeps processes ready, starts it again when it is found dead.
final class ForkServerClient: Sendable {
    private struct State {
        var control: SharedDescriptor?
        var pid: Int32 = 0
        /// Oldest first.
        var ready: [(pid: Int32, channel: CInt)] = []
        /// Requested and not yet answered.
        var outstanding = 0
        /// Named by the server, and not yet announced by themselves.
        var unannounced: Set<Int32> = []
        /// Announced, and not yet named by the server.
        var unnamed: Set<Int32> = []
        /// The environment that its processes have.
        var fingerprint: UInt = 0
    }

    private let state = Mutex(State())
    private let preparation = ForkServerPreparation()
    /// How long a server may take to answer before another one is asked.
    private static let patience: Duration = .seconds(5)

    /// A waiting process, and whether its environment is this process's as it is now.
    ///
    /// With one ready, no system call. Without, waits for the server to fork one, some seconds at most.
    func take() throws -> (pid: Int32, channel: CInt, environmentIsCurrent: Bool) {
        try state.withLock { state in
            for _ in 0..<4 {
                if state.ready.isEmpty {
                    try ensureServer(&state)
                }
                if state.ready.isEmpty {
                    let missing = ForkServer.configuration.spares + 1 - state.outstanding
                    if missing > 0, !request(missing, &state) { continue }
                }
                while state.ready.isEmpty, state.outstanding > 0, state.control != nil {
                    try awaitReply(&state, deadline: Deadline(after: Self.patience))
                }
                guard !state.ready.isEmpty else { continue }
                let (pid, channel) = state.ready.removeFirst()
                return (pid, channel, state.fingerprint == ThisProcess.environmentFingerprint)
            }
            throw ProcessError(.startFailed, "The fork server died, or did not answer, again and again")
        }
    }

    /// Has a server started, if there is none, by a thread of the library's own: its preload hook may take its time.
    ///
    /// One thread, however many tasks wait. A cancelled task goes; the server is started all the same.
    func prepare() async throws {
        guard !isPrepared else { return }
        try await preparation.wait { [self] in
            let (result, waiters) = state.withLock { state in
                // Waiters that come after a change of the hook, which needs this lock, must not see the result of the old one.
                (Result { try ensureServer(&state) }, preparation.end())
            }
            for waiter in waiters { waiter.resume(with: result) }
        }
    }

    /// False also while somebody else deals with the server: that may be a start with its hook.
    private var isPrepared: Bool {
        state.withLockIfAvailable { state in
            if !state.ready.isEmpty { return true }
            drain(&state)
            return state.control != nil
        } ?? false
    }

    /// Has the server make good what was taken. Two system calls; none while somebody else deals with the server.
    ///
    /// When a child has ended, because a fork beside its first instructions would compete with them for the processors; at once
    /// only when the last process that was ready has gone.
    func refill(onlyIfEmpty: Bool) {
        _ = state.withLockIfAvailable { state in
            if onlyIfEmpty, !state.ready.isEmpty { return }
            drain(&state)
            noticeDeaths(&state)
            guard state.control != nil else { return }
            let missing = ForkServer.configuration.spares - state.ready.count - state.outstanding
            if missing > 0 { _ = request(missing, &state) }
        }
    }

    /// Takes in the processes that the server was asked for, with their descriptors; waits for them a second at most.
    func takeInRequested() {
        let deadline = Deadline(after: .seconds(1))
        state.withLock { state in
            drain(&state)
            while state.outstanding > 0, let control = state.control {
                guard (try? waitUntilReady(Interest(control.number), deadline: deadline)) == true else { return }
                drain(&state)
            }
        }
    }

    /// The server's process id; nil while there is none.
    var processIdentifier: Int32? {
        state.withLock { $0.control == nil ? nil : $0.pid }
    }

    /// Lets go of the server and of the processes that wait.
    func stop() {
        state.withLock { state in
            forgetServer(&state)
            for (pid, channel) in state.ready {
                _ = Descriptor(owning: channel)  // it exits on end-of-file
                Runtime.current.monitor.reapLater(pid)
            }
            state.ready = []
        }
    }

    /// Reaps a process that died while it waited.
    func discard(pid: Int32) {
        Runtime.current.monitor.reapLater(pid)
    }

    // MARK: Under the lock

    private func ensureServer(_ state: inout State) throws {
        drain(&state)
        guard state.control == nil else { return }
        let configuration = ForkServer.configuration
        do throws(Errno) {
            let lifeline = try Runtime.current.lifelineNumber()
            let ends = try Descriptor.socketPairNumbers()
            let control = SharedDescriptor(Descriptor(owning: ends.parent))
            let theirs = Descriptor(owning: ends.child)
            state.fingerprint = ThisProcess.environmentFingerprint
            state.pid = try Reexecution.spawn(
                role: .forkServer,
                executable: nil,
                channel: theirs.number,
                lifeline: lifeline,
                environment: ThisProcess.environment
            )
            state.control = control
        } catch {
            throw Reexecution.failure("The fork server could not be started", error)
        }
        guard let preload = configuration.preload else { return }
        do {
            try sendPreload(preload, &state)
        } catch {
            forgetServer(&state)
            throw error
        }
    }

    private func sendPreload(_ job: [UInt8], _ state: inout State) throws {
        let timeout = ForkServer.configuration.preloadTimeout
        let reply: ForkServerReply?
        do {
            try ForkServerRequest.preload(job).send(over: state.control!.descriptor)
            let interest = Interest(state.control!.descriptor.number)
            guard try waitUntilReady(interest, deadline: Deadline(after: timeout)) else {
                throw ProcessError(.timedOut, "The preload hook took longer than \(timeout)")
            }
            guard let packet = try state.control!.descriptor.receive(wait: false) else {
                throw ProcessError(.startFailed, "The preload hook ended the fork server")
            }
            reply = ForkServerReply(packet)
        } catch let error as Errno {
            throw ProcessError(.startFailed, "The fork server could not be given its preload hook", errno: error)
        }
        switch reply {
        case .preloaded: return
        case .preloadFailed(let message): throw ProcessError(.startFailed, message)
        default: throw ProcessError(.startFailed, "The fork server answered out of turn")
        }
    }

    /// Asks for processes; false when the server is gone.
    private func request(_ count: Int, _ state: inout State) -> Bool {
        let count = min(count, 200)
        do throws(Errno) {
            try ForkServerRequest.fork(UInt8(count)).send(over: state.control!.descriptor)
            state.outstanding += count
            return true
        } catch {
            forgetServer(&state)
            return false
        }
    }

    /// Takes in what the server has answered so far.
    private func drain(_ state: inout State) {
        while state.control != nil {
            do throws(Errno) {
                guard let packet = try state.control!.descriptor.receive(wait: false) else {
                    forgetServer(&state)
                    return
                }
                note(ForkServerReply(packet), &state)
            } catch {
                if error != .resourceTemporarilyUnavailable { forgetServer(&state) }
                return
            }
        }
    }

    private func awaitReply(_ state: inout State, deadline: Deadline) throws {
        do throws(Errno) {
            let interest = Interest(state.control!.descriptor.number)
            while try !waitUntilReady(interest, deadline: deadline.earlier(.milliseconds(20))) {
                noticeDeaths(&state)
                if state.outstanding == 0 || !state.ready.isEmpty || state.control == nil { return }
                guard deadline.hasPassed else { continue }
                // A server that is stopped or stuck is of no use to anybody; the next one may be.
                forgetServer(&state)
                return
            }
            guard let packet = try state.control!.descriptor.receive(wait: false) else {
                forgetServer(&state)
                return
            }
            let reply = note(ForkServerReply(packet), &state)
            // An earlier request's fork may have failed, and this one's succeed: the last answer decides.
            guard state.outstanding == 0, state.ready.isEmpty else { return }
            switch reply {
            case .failed(let code), .unfit(_, let code): throw Errno(rawValue: code)
            case .lost: throw .tooManyOpenFiles
            default: return
            }
        } catch {
            throw ProcessError(.startFailed, "No process could be forked", errno: error)
        }
    }

    @discardableResult
    private func note(_ reply: ForkServerReply?, _ state: inout State) -> ForkServerReply? {
        switch reply {
        case .forked(let pid):
            if state.unnamed.remove(pid) == nil { state.unannounced.insert(pid) }
        case .ready(let pid, let channel):
            noteAnswer(from: pid, &state)
            state.ready.append((pid, channel))
        case .lost(let pid), .unfit(let pid, _):
            noteAnswer(from: pid, &state)
            Runtime.current.monitor.reapLater(pid)
        case .failed:
            state.outstanding = max(0, state.outstanding - 1)
        default:
            break
        }
        return reply
    }

    private func noteAnswer(from pid: Int32, _ state: inout State) {
        state.outstanding = max(0, state.outstanding - 1)
        if state.unannounced.remove(pid) == nil { state.unnamed.insert(pid) }
    }

    /// Gives up processes that died before they had announced themselves, and reaps them.
    private func noticeDeaths(_ state: inout State) {
        let ended = state.unannounced.filter(hasEnded)
        guard !ended.isEmpty else { return }
        // What they said before they died.
        drain(&state)
        for pid in ended where state.unannounced.remove(pid) != nil {
            state.outstanding = max(0, state.outstanding - 1)
            Runtime.current.monitor.reapLater(pid)
        }
    }

    private func hasEnded(_ pid: Int32) -> Bool {
        // The program may have reaped it by a wait for any child.
        do throws(Errno) { return try ChildControl.peek(pid) != nil } catch { return error == .noChildProcess }
    }

    /// Lets go of the server, and ends it: one that is stopped, or busy in a hook, would not see its channel close. What it has forked meanwhile is still announced on its way out, and has to be reaped here: the
    /// monitor listens to the end.
    private func forgetServer(_ state: inout State) {
        guard let control = state.control else { return }
        state.control = nil
        state.outstanding = 0
        let known = state.unnamed
        state.unnamed = []
        // Those that live announce themselves, those that died cannot any more.
        for pid in state.unannounced { Runtime.current.monitor.reapLater(pid) }
        state.unannounced = []
        if let isRunning = try? ChildControl.peek(state.pid) == nil, isRunning {
            try? ChildControl.signal(state.pid, SignalNumber.kill)
        }
        Runtime.current.monitor.reapAnnounced(over: control, except: known)
        Runtime.current.monitor.reapLater(state.pid)
    }
}
