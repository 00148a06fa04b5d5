internal import MultiprocessingSystem
internal import Synchronization
internal import SystemPackage

/// This process's line to the tracker: the process that removes a program's named segments when the program is gone.
///
/// A segment is reported before it gets its name. A report is a packet in a socket: once it is sent it arrives, even if this
/// process is killed in the next instruction, so no answer is waited for. Taking a report back waits for nothing at all: what the
/// socket has no room for goes along with the next report, and the end of this process says as much. The tracker is started
/// with the first report; children of this program find it by an address that they got at their start. A tracker that was
/// killed, or does not take its reports, is replaced at the next report and told everything again.
final class Tracker: Sendable {
    /// A tracker that is not one yet.
    private struct Candidate {
        var connection: SharedDescriptor
        var address: String
        /// The first process of one that was started here; nil for one that was there, whose greeting is waited for.
        var start: (pid: Int32, end: SharedDescriptor)?
        var deadline: Deadline
    }

    private struct State {
        var connection: SharedDescriptor?
        var candidate: Candidate?
        /// The tracker's process, once it has said so.
        var pid: Int32?
        /// Where the tracker listens: this process's, or that of the program that it belongs to.
        var address: String?
        var backlog = TrackerBacklog()
        /// How many wait for their report to be sent.
        var waiters = 0
        /// Since when nothing was taken: when that will have been too long.
        var stuck: Deadline?
        /// Whether the tracker at the address was lost.
        var needsOther = false
        /// How many were lost one after the other.
        var losses = 0
    }

    private let state = Mutex(State())
    /// How long a tracker may take to greet, or to take a report, before another one is started.
    private static let patience: Duration = .seconds(2)
    /// How long one may take to start.
    private static let longestStart: Duration = .seconds(10)
    private static let mostLosses = 3
    /// Between two looks of those who wait.
    private static let pause: Duration = .milliseconds(1)

    /// Where children of this process find its tracker; nil while there is none.
    var address: String? {
        state.withLock { $0.address }
    }

    /// Takes over the address of the parent's tracker.
    func inherit(_ address: String) {
        state.withLock { $0.address = address }
    }

    // MARK: Reports

    /// Has a segment removed when its program is gone. One system call; some milliseconds if a tracker has to be started. Blocks the
    /// thread for that long, or until another one has taken the place of one that does not go on.
    ///
    /// - Throws: `Errno` (`.timedOut` when the deadline passed first). Then the segment is not watched.
    func watch(_ name: SegmentName, _ identity: FileIdentity, deadline: Deadline) throws {
        begin(name, identity)
        do {
            while true {
                let isOver = deadline.hasPassed
                if try isTold() { return finish() }
                if isOver { throw Errno.timedOut }
                ThisProcess.pause(Self.pause)
            }
        } catch {
            giveUp(identity)
            throw error
        }
    }

    /// ``watch(_:_:deadline:)`` that suspends the task.
    ///
    /// - Throws: also `CancellationError`.
    func watch(_ name: SegmentName, _ identity: FileIdentity, deadline: Deadline) async throws {
        begin(name, identity)
        do {
            while true {
                let (isOver, isCancelled) = (deadline.hasPassed, Task.isCancelled)
                if try isTold() { return finish() }
                if isCancelled { throw CancellationError() }
                if isOver { throw Errno.timedOut }
                // One that a cancellation ends is followed by a last look.
                try? await Task.sleep(for: Self.pause)
            }
        } catch {
            giveUp(identity)
            throw error
        }
    }

    private func begin(_ name: SegmentName, _ identity: FileIdentity) {
        state.withLock { state in
            state.backlog.watch(name, identity)
            state.waiters += 1
        }
    }

    private func isTold() throws(Errno) -> Bool {
        try state.withLock { (state) throws(Errno) in try advance(&state) }
    }

    private func finish() {
        state.withLock { $0.waiters -= 1 }
    }

    private func giveUp(_ identity: FileIdentity) {
        forget(identity)
        state.withLock { state in
            state.waiters -= 1
            // Nobody would look after it.
            if state.waiters == 0 { dropCandidate(&state) }
        }
    }

    /// Takes a report back: the segment has no name any more. One system call; waits for nobody.
    func forget(_ identity: FileIdentity) {
        end(identity, .forgotten)
    }

    /// Leaves a segment to the tracker, because others still use it that may be killed. One system call; waits for nobody.
    func retire(_ identity: FileIdentity) {
        end(identity, .retired)
    }

    private func end(_ identity: FileIdentity, _ ending: TrackerBacklog.Ending) {
        state.withLock { state in
            // What cannot be told now goes along with the next report. Without one, a tracker that lives takes this process's
            // end for the same thing.
            if state.backlog.end(identity, ending), state.connection != nil { _ = try? flush(&state) }
        }
    }

    /// The tracker's process id; nil while this process has none. Waits for its greeting if that is still on its way.
    var processIdentifier: Int32? {
        state.withLock { state in
            if state.pid == nil, let connection = state.connection,
                (try? waitUntilReady(Interest(connection.number), deadline: Deadline(after: Self.patience))) == true
            {
                state.pid = Self.greeting(over: connection)
            }
            return state.pid
        }
    }

    // MARK: Under the lock; nothing here waits

    /// Whether a tracker has been told everything; if not, the next call may get further.
    private func advance(_ state: inout State) throws(Errno) -> Bool {
        if state.connection == nil {
            if state.candidate == nil { state.candidate = try Self.candidate(state) }
            guard try settle(&state) else { return false }
        }
        let wasTaken: Bool?
        do throws(Errno) {
            wasTaken = try flush(&state)
        } catch {
            switch error {
            case .brokenPipe, .connectionReset, .socketNotConnected: wasTaken = nil
            default: throw error
            }
        }
        if wasTaken == true {
            (state.stuck, state.losses) = (nil, 0)
            return true
        }
        if wasTaken == false {
            if state.stuck == nil { state.stuck = Deadline(after: Self.patience) }
            guard state.stuck!.hasPassed else { return false }
        }
        (state.connection, state.pid, state.stuck, state.needsOther) = (nil, nil, nil, true)
        state.losses += 1
        guard state.losses <= Self.mostLosses else {
            state.losses = 0
            throw .brokenPipe
        }
        return false
    }

    /// Whether everything is sent; false if the tracker does not take it in.
    private func flush(_ state: inout State) throws(Errno) -> Bool {
        guard let connection = state.connection else { return false }
        var takes = false
        defer { if takes { state.stuck = nil } }
        return try state.backlog.flush { (report) throws(Errno) in
            do throws(Errno) {
                try connection.descriptor.sendBytes(report.encoded(), wait: false)
            } catch .resourceTemporarilyUnavailable {
                return false
            }
            takes = true
            chaosStep("tracker.told")
            return true
        }
    }

    /// Whether the candidate has become the tracker.
    private func settle(_ state: inout State) throws(Errno) -> Bool {
        guard let candidate = state.candidate else { return false }
        let number = candidate.start?.end.number ?? candidate.connection.number
        guard try waitUntilReady(Interest(number), deadline: Deadline(after: .zero)) else {
            guard candidate.deadline.hasPassed else { return false }
            dropCandidate(&state)
            // Another one than that at the address may do; but one that does not start will not the next time either.
            guard candidate.start == nil else { throw .timedOut }
            state.needsOther = true
            return false
        }
        let pid = candidate.start == nil ? Self.greeting(over: candidate.connection) : nil
        dropCandidate(&state)
        // It may be about to leave: only its greeting shows that it has noticed.
        guard candidate.start != nil || pid != nil else {
            state.needsOther = true
            return false
        }
        (state.connection, state.address, state.pid) = (candidate.connection, candidate.address, pid)
        state.needsOther = false
        state.backlog.startOver()
        return true
    }

    private func dropCandidate(_ state: inout State) {
        if let start = state.candidate?.start { Runtime.current.monitor.reapLater(start.pid) }
        state.candidate = nil
    }

    private static func candidate(_ state: State) throws(Errno) -> Candidate {
        if !state.needsOther, let address = state.address, let connection = try? Rendezvous.connect(address) {
            return Candidate(
                connection: SharedDescriptor(connection),
                address: address,
                deadline: Deadline(after: patience)
            )
        }
        return try start()
    }

    /// The process id with which a tracker answers a connection, once; nil for one that leaves.
    private static func greeting(over connection: SharedDescriptor) -> Int32? {
        guard let packet = try? connection.descriptor.receive(wait: false) else { return nil }
        return TrackerReport.greetedProcess(packet.bytes)
    }

    /// Starts a tracker. This process listens and connects in its stead, so there is nothing to wait for but its becoming
    /// independent: it leaves this process's family in its first step, by the death of its own parent.
    private static func start() throws(Errno) -> Candidate {
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
        do throws(Errno) {
            let end = SharedDescriptor(try ChildControl.pidDescriptor(pid))
            return Candidate(
                connection: connection,
                address: address,
                start: (pid, end),
                deadline: Deadline(after: longestStart)
            )
        } catch {
            Runtime.current.monitor.reapLater(pid)
            throw error
        }
    }
}

/// Shows tests the tracker of the process that asks.
package enum TrackerProbe {
    /// Its process id; nil while there is none.
    package static var processIdentifier: Int32? { Runtime.current.tracker.processIdentifier }
}
