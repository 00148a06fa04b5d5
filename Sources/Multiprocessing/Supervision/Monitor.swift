internal import MultiprocessingSystem
internal import Synchronization
internal import SystemPackage

/// The one thread that watches every child of this process.
///
/// It relays standard error, notices ends that nobody is waiting for, and resumes tasks that wait. Threads that block in
/// `join` watch for themselves meanwhile and do not depend on it. Started with the first child; it lives as long as the
/// process.
final class Monitor: Sendable {
    private struct State: ~Copyable {
        var nextToken: UInt64 = 1
        var records: [UInt64: ProcessRecord] = [:]
        /// Children without a record, to be reaped when they have ended: processes that died while they were kept ready.
        var strays: [UInt64: Stray] = [:]
        /// The ends of fork servers that were let go of, until they are silent.
        var farewells: [UInt64: Farewell] = [:]
        /// Children without a record for whose end there was no descriptor to be had: looked at every now and then.
        var unwatched: [Int32] = []
        /// Records whose relay found standard error full.
        var stalled: [UInt64: ProcessRecord] = [:]
    }

    private struct Stray {
        var pid: Int32
        var end: SharedDescriptor
    }

    private struct Farewell {
        var control: SharedDescriptor
        var known: Set<Int32>
    }

    private let state = Mutex(State())
    private let poller = Mutex<SharedPoller?>(nil)
    /// Held by the thread whenever it is not in its system call.
    private let working = Mutex(())
    private let hasBegun = Atomic(false)

    /// Watches a child until ``remove(_:)``.
    func add(_ record: ProcessRecord) throws {
        let poller = try startIfNeeded()
        let token = state.withLock { state in
            defer { state.nextToken += 1 }
            state.records[state.nextToken] = record
            return state.nextToken
        }
        do throws(Errno) {
            try record.watch(by: poller, token: token)
        } catch {
            remove(token)
            throw ProcessError(.startFailed, "The process could not be watched", errno: error)
        }
    }

    /// Forgets a child that has ended.
    func remove(_ token: UInt64) {
        state.withLock { state in
            _ = state.records.removeValue(forKey: token)
            _ = state.stalled.removeValue(forKey: token)
        }
    }

    /// The children that were started and not yet found ended, in the order of their start.
    var active: [ProcessRecord] {
        state.withLock { state in state.records.sorted { $0.key < $1.key }.map(\.value) }
    }

    /// Tries a relay again soon, after standard error was found full.
    func retryRelay(_ record: ProcessRecord, token: UInt64) {
        state.withLock { $0.stalled[token] = record }
    }

    /// Ends and reaps a child that nobody holds.
    func reapLater(_ pid: Int32) {
        guard pid > 0 else { return }
        do {
            if try ChildControl.reap(pid) != nil { return }
            // A forked copy of this process may hold our end of its channel: then it sees no end of file.
            try ChildControl.signal(pid, SignalNumber.kill)
            let poller = try startIfNeeded()
            let end = SharedDescriptor(try ChildControl.pidDescriptor(pid))
            let token = state.withLock { state in
                defer { state.nextToken += 1 }
                state.strays[state.nextToken] = Stray(pid: pid, end: end)
                return state.nextToken
            }
            try poller.poller.add(end.descriptor.number, token: token)
        } catch {
            if error as? Errno == .noChildProcess { return }
            state.withLock { $0.unwatched.append(pid) }
        }
    }

    /// Reaps the processes that a fork server announces until it is gone; nobody will use them.
    ///
    /// - Parameter known: those that have announced themselves already, and that the server may still name. They may have been
    ///   given a body by now: they are let live.
    func reapAnnounced(over control: SharedDescriptor, except known: Set<Int32>) {
        // The server leaves at the end of file, after what it was asked for.
        control.descriptor.shutDownSending()
        let farewell = Farewell(control: control, known: known)
        guard listen(to: farewell), let poller = try? startIfNeeded() else { return }
        let token = state.withLock { state in
            defer { state.nextToken += 1 }
            state.farewells[state.nextToken] = farewell
            return state.nextToken
        }
        try? poller.poller.add(control.descriptor.number, token: token)
    }

    /// Takes in what was announced; false when there is no more to come.
    private func listen(to farewell: Farewell) -> Bool {
        while true {
            do throws(Errno) {
                guard var packet = try farewell.control.descriptor.receive(wait: false) else { return false }
                let reply = ForkServerReply(packet)
                // A process that waits leaves when its channel is closed.
                packet.closeRest()
                switch reply {
                case .forked(let pid) where farewell.known.contains(pid): break
                case .ready(let pid, _), .lost(let pid), .forked(let pid), .unfit(let pid, _): reapLater(pid)
                default: break
                }
            } catch {
                return error == .resourceTemporarilyUnavailable
            }
        }
    }

    /// Runs `fork` while the thread is in its system call: a copy of this process made while it works would have the locks that
    /// it holds, the Swift runtime's among them, and nobody to release them. In the copy, `fork` must not return: there the
    /// lock's owner has another thread id, which shows at a release that others wait for.
    func whilePaused<R, E: Error>(_ fork: () throws(E) -> R) throws(E) -> R {
        if poller.withLock({ $0 != nil }) {
            while !hasBegun.load(ordering: .acquiring) { ThisProcess.pause(.microseconds(100)) }
        }
        return try working.withLock { _ throws(E) in try fork() }
    }

    private func startIfNeeded() throws -> SharedPoller {
        try poller.withLock { poller in
            if let poller { return poller }
            do throws(Errno) {
                let fresh = try SharedPoller()
                try Thread.detach(named: "mp-monitor") { [self] in run(fresh) }
                poller = fresh
                return fresh
            } catch {
                throw ProcessError(.startFailed, "The thread that watches processes could not be started", errno: error)
            }
        }
    }

    private func run(_ shared: SharedPoller) {
        // The first round does not wait: what the runtime sets up for the wait is set up under the lock.
        var tokens = working.withLock { _ in shared.poller.wait(milliseconds: 0) }
        while true {
            let patience: CInt = working.withLock { _ in
                hasBegun.store(true, ordering: .releasing)
                return attend(to: tokens, shared)
            }
            tokens = shared.poller.wait(milliseconds: patience)
        }
    }

    /// Reaps a child if it has ended.
    private func isRunning(_ pid: Int32) -> Bool {
        do throws(Errno) { return try ChildControl.reap(pid) == nil } catch { return false }
    }

    /// Does what there is to do; returns how long the next wait may be.
    private func attend(to tokens: [UInt64], _ shared: SharedPoller) -> CInt {
        let stalled = state.withLock { state in
            defer { state.stalled = [:] }
            return Array(state.stalled.values)
        }
        for token in tokens {
            let (record, stray, farewell) = state.withLock {
                ($0.records[token], $0.strays.removeValue(forKey: token), $0.farewells[token])
            }
            record?.service(byMonitor: true)
            if let stray {
                // A forked copy of this process may hold the open file, which the poller would report for ever.
                shared.poller.remove(stray.end.descriptor.number)
                _ = try? ChildControl.reap(stray.pid)
            }
            if let farewell, !listen(to: farewell) {
                shared.poller.remove(farewell.control.descriptor.number)
                state.withLock { _ = $0.farewells.removeValue(forKey: token) }
            }
        }
        for record in stalled { record.service(byMonitor: true) }
        let unwatched = state.withLock { state in
            defer { state.unwatched = [] }
            return state.unwatched
        }
        let remaining = unwatched.filter { isRunning($0) }
        return state.withLock { state in
            state.unwatched += remaining
            return !state.stalled.isEmpty ? 20 : !state.unwatched.isEmpty ? 500 : -1
        }
    }
}

/// The poller, shared by the thread that waits on it and those that add to it.
final class SharedPoller: Sendable {
    let poller: Poller

    init() throws(Errno) {
        poller = try Poller()
    }
}
