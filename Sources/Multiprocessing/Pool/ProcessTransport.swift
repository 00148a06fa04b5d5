internal import MultiprocessingSystem
internal import Synchronization

/// Workers that are processes of this machine, each joined to its pool by a connection.
struct ProcessTransport: WorkerTransport {
    var options: ProcessOptions
    var setup: WorkerSetup
    var exitTimeout: Duration
    /// Where the workers' lines go; nil if their streams are as the options say.
    var output: OutputDelivery?
    var placement: WorkerPlacement?
    var fileID: StaticString
    var line: UInt

    func start(_ name: String, report: @escaping @Sendable (WorkerEvent) -> Void) -> any WorkerLink {
        let seat = placement?.take()
        let link = ProcessLink(report, seat)
        do {
            // A start can take milliseconds, and reading waits without end: both are the thread's.
            try Thread.detach(named: "mp-pool") { [self] in live(link, seat, name, report) }
        } catch {
            let failure = ProcessError(.startFailed, "No thread for \(name)", errno: error)
            // Reported from elsewhere: the caller is in the middle of something.
            Task.detached { report(.ended(failure)) }
        }
        return link
    }

    /// The whole life of a worker, as its thread in the pool's process sees it.
    private func live(
        _ link: ProcessLink,
        _ seat: WorkerPlacement.Seat?,
        _ name: String,
        _ report: @Sendable (WorkerEvent) -> Void
    ) {
        let error = serve(link, options(of: name, on: seat?.processor), name, report)
        // Before its end is known: the worker that replaces it is to take its place.
        seat?.giveBack()
        report(.ended(error))
    }

    /// Starts a worker and reports what it says until it has ended; why it ended, if not by itself.
    private func serve(
        _ link: ProcessLink,
        _ options: ProcessOptions,
        _ name: String,
        _ report: @Sendable (WorkerEvent) -> Void
    ) -> (any Error)? {
        let child: ChildProcess<Void>
        let connection: Connection
        do {
            let (ours, theirs) = try Connection.pair()
            defer { theirs.close() }
            connection = ours
            let settings = settings
            child = try ChildProcess(name: name, options: options, fileID: fileID, line: line) { [setup] in
                try await PoolWorker.serve(theirs, setup, settings)
            }
            try child.start(printsErrors: false)
        } catch {
            return error
        }
        link.join(child, connection)
        var defect: (any Error)?
        do {
            while let message = try Self.next(from: connection, child) { report(.message(message)) }
        } catch {
            // A result is lost, and nobody can say whose: the worker ends with what it runs.
            defect = ProcessError(.cannotTravel, "What \(name) sent cannot be received: \(error)")
            try? child.kill()
        }
        // End of file: it is gone, or about to be. One that closed its end and goes on is of no use.
        if (try? child.join(timeout: .seconds(5))) != true {
            try? child.kill()
            _ = try? child.join(timeout: .seconds(5))
        }
        connection.close()
        return defect ?? failure(of: child)
    }

    var settings: WorkerSettings {
        WorkerSettings(exitTimeout: exitTimeout, buffersByLine: output != nil, niceness: options.niceness)
    }

    /// How the process of a worker is set up.
    func options(of name: String, on processor: Int?) -> ProcessOptions {
        var options = options
        if let output {
            options.standardOutput = .lines(WorkerStream(output, name, .standardOutput))
            options.standardError = .lines(WorkerStream(output, name, .standardError))
        }
        if let processor { options.processorAffinity = [processor] }
        return options
    }

    var takesLooseChunks: Bool { true }

    func finish(_ done: @escaping @Sendable () -> Void) {
        if let output { output.whenDelivered(done) } else { done() }
    }

    /// The next message; nil when there will be none.
    ///
    /// A process that is gone may leave its end of the connection open in another: in one that it forked, or that was forked
    /// beside it. So from time to time the process itself is looked at.
    private static func next(from connection: Connection, _ child: ChildProcess<Void>) throws -> PoolMessage? {
        var limit: Duration = .seconds(1)
        while true {
            do {
                return try PoolMessage.received(from: connection, timeout: limit)
            } catch let error as SharedStateError where error.code == .timedOut && limit > .zero {
                // What it sent before it ended is still there.
                if !child.isAlive { limit = .zero }
            } catch let error as SharedStateError where error.code != .outOfResources {
                return nil
            }
        }
    }

    private func failure(of child: ChildProcess<Void>) -> (any Error)? {
        do {
            try child.waitForValue(timeout: .zero)
            return nil
        } catch {
            return error
        }
    }
}

/// Sends what fits at once; what does not is sent by a thread of its own, so that a worker that is stopped, or busy sending
/// itself, holds up nobody.
private final class ProcessLink: WorkerLink {
    private struct State {
        var child: ChildProcess<Void>?
        var connection: Connection?
        var isKilled = false
        /// What was not sent yet, in order.
        var outbox: ArraySlice<PoolMessage> = []
        /// Whether somebody is at it.
        var isSending = false
    }

    private let state = Mutex(State())
    private let report: @Sendable (WorkerEvent) -> Void
    private let seat: WorkerPlacement.Seat?

    init(_ report: @escaping @Sendable (WorkerEvent) -> Void, _ seat: WorkerPlacement.Seat?) {
        self.report = report
        self.seat = seat
    }

    func join(_ child: ChildProcess<Void>, _ connection: Connection) {
        let isKilled = state.withLock { state in
            state.child = child
            state.connection = connection
            return state.isKilled
        }
        if isKilled { try? child.kill() }
        sendWaiting()
    }

    /// The worker's reader does nothing but read: where a message finds no room for so long, the process is stopped or sick.
    private static let patience: Duration = .seconds(10)

    func send(_ message: PoolMessage) {
        // What replaces a worker that is to leave may come up before it is gone.
        if message.kind == .stop { seat?.giveBack() }
        sendWaiting(after: message)
    }

    /// Sends what is in the outbox, unless somebody is at it, who will then do this as well.
    private func sendWaiting(after message: PoolMessage? = nil) {
        let first = state.withLock { state -> (PoolMessage, Connection)? in
            if let message { state.outbox.append(message) }
            guard !state.isSending, state.connection != nil else { return nil }
            state.isSending = true
            return Self.nextToSend(&state)
        }
        guard let first, !sendAll(from: first, patience: .zero) else { return }
        do {
            try Thread.detach(named: "mp-pool-sender") { [self] in
                guard let first = state.withLock({ Self.nextToSend(&$0) }) else { return }
                if !sendAll(from: first, patience: Self.patience) { kill() }
            }
        } catch {
            kill()
        }
    }

    /// Sends until the outbox is empty; false if there was no room for a message, which stays, and so does the role.
    private func sendAll(from first: (PoolMessage, Connection), patience: Duration) -> Bool {
        var next: (message: PoolMessage, connection: Connection)? = first
        while let (message, connection) = next {
            do {
                try message.send(over: connection, timeout: patience)
            } catch let error as SharedStateError where error.code == .timedOut {
                state.withLock { $0.outbox.insert(message, at: $0.outbox.startIndex) }
                return false
            } catch let error as SharedStateError where error.code == .peerGone || error.code == .closed {
                // Its end is reported, and what it was sent goes elsewhere.
            } catch {
                refuse(message, error)
            }
            next = state.withLock { Self.nextToSend(&$0) }
        }
        return true
    }

    /// The next message; nil when there is none, and then the role is given up.
    private static func nextToSend(_ state: inout State) -> (PoolMessage, Connection)? {
        guard !state.isKilled, !state.outbox.isEmpty, let connection = state.connection else {
            // Nobody sends to the dead.
            state.outbox = []
            state.isSending = false
            return nil
        }
        return (state.outbox.removeFirst(), connection)
    }

    /// A task that cannot be sent would not get to any other worker either.
    private func refuse(_ message: PoolMessage, _ error: any Error) {
        guard message.kind == .run else { return }
        let refused = PoolError(.cannotTravel, "The task cannot be sent: \(error)")
        let content = TravellingBytes(ErrorCoding.encode(refused))
        report(.message(PoolMessage(kind: .failure, task: message.task, content: content)))
    }

    func kill() {
        seat?.giveBack()
        let child = state.withLock { state in
            state.isKilled = true
            return state.child
        }
        try? child?.kill()
    }

    var processIdentifier: Int32? { state.withLock { $0.child?.processIdentifier } }

    // The connection keeps its memory also when it is closed.

    var begun: Int? { withPlace(\.task) }

    func position(in task: Int) -> ChunkPosition? { withPlace { $0.position(in: task) } }

    func condemn(for task: Int) -> Bool { withPlace { $0.condemn(for: task) } ?? true }

    private func withPlace<R>(_ body: (WorkerPlace) -> R?) -> R? {
        guard let end = state.withLock({ $0.connection })?.end, let ring = end.incoming, let orders = end.outgoing
        else {
            return nil
        }
        defer { withExtendedLifetime(end) {} }
        return body(WorkerPlace(beside: ring, orders))
    }
}

/// What a worker process is told besides its set-up.
struct WorkerSettings: Codable, Sendable {
    var exitTimeout: Duration
    /// Whether what is printed is to be written at the end of each line.
    var buffersByLine: Bool
    /// The niceness of the thread that runs synchronous tasks.
    var niceness: Int?
}

extension PoolWorker {
    /// The body of a worker process: serves its pool until that lets it go, or is gone.
    static func serve(
        _ connection: Connection,
        _ setup: WorkerSetup,
        _ settings: WorkerSettings
    ) async throws {
        if settings.buffersByLine { ThisProcess.bufferOutputByLine() }
        let context: any WorkerContext
        do {
            context = try await setup()
        } catch {
            let content = TravellingBytes(ErrorCoding.encode(error))
            try PoolMessage(kind: .setupFailed, content: content).send(over: connection)
            throw error
        }
        /// True when the pool let go of the worker, false when the pool is gone.
        let done = OneShot<Bool>()
        // The connection, which has their memory, lives as long as the process.
        let place = WorkerPlace(beside: try connection.end.requireOutgoing(), try connection.end.requireIncoming())
        let worker = PoolWorker(
            isDriven: true,
            place: place,
            send: { message in
                do {
                    try message.send(over: connection)
                } catch let error as SharedStateError where error.code == .peerGone || error.code == .closed {
                    // Without its pool a worker has nothing to say to anybody; it is about to end.
                }
            },
            sendSingly: { task, place, value in
                do {
                    return try PoolMessage.sendSingly(value, task: task, place: place, over: connection)
                } catch let error as SharedStateError where error.code == .peerGone || error.code == .closed {
                    return true
                }
            },
            leave: { done.set(true) }
        )
        worker.setUp(context)
        try WorkerDriver(connection, worker) { done.set(false) }.start(niceness: settings.niceness)
        try PoolMessage(kind: .ready).send(over: connection)
        if try await done.wait(timeout: nil) == true { await worker.leave(within: settings.exitTimeout) }
    }
}
