internal import MultiprocessingSystem
internal import Synchronization
internal import SystemPackage

/// This process's line to the tracker: the process that removes a program's named segments when the program is gone.
///
/// A segment is reported before it gets its name. A report is a packet in a socket: once it is sent it arrives, even if this
/// process is killed in the next instruction, so nothing is waited for. The tracker is started with the first report; children
/// of this program find it by an address that they got at their start. A tracker that was killed, or does not take its
/// reports, is replaced at the next report and told everything again.
final class Tracker: Sendable {
    private struct State {
        var connection: SharedDescriptor?
        /// The tracker's process, once it has said so.
        var pid: Int32?
        /// Where the tracker listens: this process's, or that of the program that it belongs to.
        var address: String?
        /// What this process has reported and not taken back.
        var watched: [FileIdentity: SegmentName] = [:]
    }

    private let state = Mutex(State())
    /// How long a tracker may take to start, to greet, or to take a report.
    private static let patience: Duration = .seconds(10)

    /// Where children of this process find its tracker; nil while there is none.
    var address: String? {
        state.withLock { $0.address }
    }

    /// Takes over the address of the parent's tracker.
    func inherit(_ address: String) {
        state.withLock { $0.address = address }
    }

    /// Has a segment removed when its program is gone. One system call; some milliseconds if a tracker has to be started.
    func watch(_ name: SegmentName, _ identity: FileIdentity) throws(Errno) {
        try state.withLock { (state) throws(Errno) in
            state.watched[identity] = name
            do throws(Errno) {
                if try report(.watch(name.text, identity), state) { return }
                try connect(&state)
                for (identity, name) in state.watched {
                    guard try report(.watch(name.text, identity), state) else { throw .brokenPipe }
                }
            } catch {
                state.watched[identity] = nil
                (state.connection, state.pid) = (nil, nil)
                throw error
            }
        }
    }

    /// Takes a report back: the segment has no name any more. One system call.
    func forget(_ identity: FileIdentity) {
        state.withLock { state in
            guard state.watched.removeValue(forKey: identity) != nil else { return }
            _ = try? report(.forget(identity), state)
        }
    }

    /// Leaves a segment to the tracker, because others still use it that may be killed. One system call.
    func retire(_ identity: FileIdentity) {
        state.withLock { state in
            guard state.watched.removeValue(forKey: identity) != nil else { return }
            _ = try? report(.retire(identity), state)
        }
    }

    /// The tracker's process id; nil while this process has none. Waits for its greeting if that is still on its way.
    var processIdentifier: Int32? {
        state.withLock { state in
            if state.pid == nil, let connection = state.connection { state.pid = Self.greeting(over: connection) }
            return state.pid
        }
    }

    // MARK: Under the lock

    /// False if there is no tracker, or it is gone or stuck.
    private func report(_ report: TrackerReport, _ state: State) throws(Errno) -> Bool {
        guard let connection = state.connection else { return false }
        do throws(Errno) {
            let bytes = report.encoded()
            do throws(Errno) {
                try connection.descriptor.sendBytes(bytes, wait: false)
            } catch .resourceTemporarilyUnavailable {
                let interest = Interest(connection.number, forWriting: true)
                guard try waitUntilReady(interest, deadline: Deadline(after: Self.patience)) else { return false }
                try connection.descriptor.sendBytes(bytes, wait: false)
            }
            chaosStep("tracker.told")
            return true
        } catch {
            switch error {
            case .brokenPipe, .connectionReset, .socketNotConnected, .resourceTemporarilyUnavailable: return false
            default: throw error
            }
        }
    }

    private func connect(_ state: inout State) throws(Errno) {
        let isReplacement = state.connection != nil
        (state.connection, state.pid) = (nil, nil)
        if !isReplacement, let address = state.address, let connection = try? Rendezvous.connect(address) {
            // It may be about to leave: only its greeting shows that it has noticed.
            let shared = SharedDescriptor(connection)
            state.pid = Self.greeting(over: shared)
            if state.pid != nil {
                state.connection = shared
                return
            }
        }
        (state.connection, state.address) = try Self.start()
    }

    /// The process id with which a tracker answers a connection, once.
    private static func greeting(over connection: SharedDescriptor) -> Int32? {
        guard (try? waitUntilReady(Interest(connection.number), deadline: Deadline(after: patience))) == true,
            let packet = try? connection.descriptor.receive(wait: false)
        else { return nil }
        return TrackerReport.greetedProcess(packet.bytes)
    }

    /// Starts a tracker. This process listens and connects in its stead, so there is nothing to wait for but its becoming
    /// independent: it leaves this process's family in its first step, by the death of its own parent.
    private static func start() throws(Errno) -> (SharedDescriptor, String) {
        let random = try ThisProcess.randomBytes(16)
        let address = "multiprocessing-tracker-" + random.map { String($0, radix: 16) }.joined(separator: ".")
        let listener = try Rendezvous.listen(address)
        let connection = SharedDescriptor(try Rendezvous.connect(address))
        let pid = try Reexecution.spawn(
            role: .tracker,
            executable: nil,
            channel: listener.number,
            lifeline: nil,
            environment: ThisProcess.environment
        )
        chaosStep("tracker.started")
        defer { Runtime.current.monitor.reapLater(pid) }
        let end = try ChildControl.pidDescriptor(pid)
        guard try waitUntilReady(Interest(end.number), deadline: Deadline(after: patience)) else {
            throw .timedOut
        }
        return (connection, address)
    }
}

/// Shows tests the tracker of the process that asks.
package enum TrackerProbe {
    /// Its process id; nil while there is none.
    package static var processIdentifier: Int32? { Runtime.current.tracker.processIdentifier }
}
