internal import MultiprocessingSystem
internal import Synchronization

/// Workers that are processes of this machine, each joined to its pool by a connection.
struct ProcessTransport: WorkerTransport {
    var options: ProcessOptions
    var initializer: @Sendable () throws -> Void
    var fileID: StaticString
    var line: UInt

    func start(_ name: String, report: @escaping @Sendable (WorkerEvent) -> Void) -> any WorkerLink {
        let link = ProcessLink()
        do {
            // A start can take milliseconds, and reading waits without end: both are the thread's.
            try Thread.detach(named: "mp-pool") { [self] in live(link, name, report) }
        } catch {
            let failure = ProcessError(.startFailed, "No thread for \(name)", errno: error)
            // Reported from elsewhere: the caller is in the middle of something.
            Task.detached { report(.ended(failure)) }
        }
        return link
    }

    /// The whole life of a worker, as its thread in the pool's process sees it.
    private func live(_ link: ProcessLink, _ name: String, _ report: @Sendable (WorkerEvent) -> Void) {
        let child: ChildProcess<Void>
        let connection: Connection
        do {
            let (ours, theirs) = try Connection.pair()
            defer { theirs.close() }
            connection = ours
            child = try ChildProcess(name: name, options: options, fileID: fileID, line: line) { [initializer] in
                try await PoolWorker.serve(theirs, initializer)
            }
            try child.start(printsErrors: false)
        } catch {
            report(.ended(error))
            return
        }
        link.join(child, connection)
        while let message = try? connection.receive(PoolMessage.self) { report(.message(message)) }
        // End of file: it is gone, or about to be. One that closed its end and goes on is of no use.
        if (try? child.join(timeout: .seconds(5))) != true {
            try? child.kill()
            _ = try? child.join(timeout: .seconds(5))
        }
        connection.close()
        report(.ended(failure(of: child)))
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

private final class ProcessLink: WorkerLink {
    private struct State {
        var child: ChildProcess<Void>?
        var connection: Connection?
        var isKilled = false
        /// What was sent before there was anything to send it over.
        var early: [PoolMessage] = []
    }

    private let state = Mutex(State())

    func join(_ child: ChildProcess<Void>, _ connection: Connection) {
        let isKilled = state.withLock { state in
            state.child = child
            return state.isKilled
        }
        if isKilled { try? child.kill() }
        while let message = nextEarly(connection) { send(message, over: connection) }
    }

    /// The connection is for everybody once nothing is left that has to go first.
    private func nextEarly(_ connection: Connection) -> PoolMessage? {
        state.withLock { state in
            guard state.early.isEmpty else { return state.early.removeFirst() }
            state.connection = connection
            return nil
        }
    }

    /// The worker's reader does nothing but read: where a message finds no room for so long, the process is stopped or sick.
    private static let patience: Duration = .seconds(10)

    func send(_ message: PoolMessage) {
        let connection = state.withLock { state in
            if state.connection == nil { state.early.append(message) }
            return state.connection
        }
        if let connection { send(message, over: connection) }
    }

    private func send(_ message: PoolMessage, over connection: Connection) {
        do {
            try connection.send(message, timeout: Self.patience)
        } catch let error as SharedStateError where error.code == .peerGone || error.code == .closed {
            // Its end is reported, and what it was sent goes elsewhere.
        } catch {
            kill()
        }
    }

    func kill() {
        let child = state.withLock { state in
            state.isKilled = true
            return state.child
        }
        try? child?.kill()
    }

    var processIdentifier: Int32? { state.withLock { $0.child?.processIdentifier } }
}

extension PoolWorker {
    /// The body of a worker process: serves its pool until that lets it go, or is gone.
    static func serve(_ connection: Connection, _ initializer: @Sendable () throws -> Void) async throws {
        do {
            try initializer()
        } catch {
            let content = TravellingBytes(ErrorCoding.encode(error))
            try await connection.send(PoolMessage(kind: .setupFailed, content: content))
            throw error
        }
        let done = OneShot<Void>()
        let worker = PoolWorker(
            send: { message in
                // Without its pool a worker has nothing to say to anybody; it is about to end.
                try? connection.send(message)
            },
            leave: { done.set(()) }
        )
        try Thread.detach(named: "mp-pool-reader") {
            while let message = try? connection.receive(PoolMessage.self) { worker.receive(message) }
            done.set(())
        }
        try await connection.send(PoolMessage(kind: .ready))
        _ = try await done.wait(timeout: nil)
    }
}
