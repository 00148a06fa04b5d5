internal import MultiprocessingSystem
internal import MultiprocessingWire
internal import Synchronization
internal import SystemPackage

/// Workers that are joined to their pool by a stream of bytes over a socket, wherever they are.
final class StreamTransport: WorkerTransport {
    /// What workers that come by themselves have to know.
    let invitation: WorkerInvitation
    /// The same for this machine.
    private let localInvitation: WorkerInvitation
    private let hub: StreamHub
    private let options: StreamWorkers
    /// How workers of this machine are set up.
    private let local: ProcessTransport
    /// The file that was made for a Unix socket.
    private let file: FileIdentity?

    private struct State {
        var nextNumber = 0
        /// How many of the pool's places are filled by the launcher.
        var launched = 0
    }
    private let state = Mutex(State())

    /// Begins to listen.
    ///
    /// - Throws: ``StreamError``; ``PoolError`` (`cannotTravel`).
    init(_ options: StreamWorkers, places: Int, local: ProcessTransport) throws {
        try options.validate(places: places)
        let body = try PoolWorkerProgram.body(local.setup, local.settings, local.fileID, local.line)
        guard StreamFrame(kind: .job, content: body).byteCount <= options.maximumMessage else {
            throw PoolError(
                .cannotTravel,
                "The initialiser and what it captures, \(body.count) bytes, are longer than the \(options.maximumMessage) that "
                    + "maximumMessage allows"
            )
        }
        let token = try WorkerToken.random()
        let (listener, address) = try Self.listen(options)
        self.options = options
        self.local = local
        localInvitation = WorkerInvitation(address: address, token: token)
        invitation = WorkerInvitation(address: address.with(host: options.advertisedHost), token: token)
        if case .unix(let path) = address.kind { file = FileIdentity(at: path) } else { file = nil }
        hub = try StreamHub { engine in
            StreamHubState(options, token: token, body: body, listener: listener, engine: engine)
        }
    }

    private static func listen(_ options: StreamWorkers) throws -> (SharedDescriptor, WorkerAddress) {
        do throws(Errno) {
            let socket = try options.address.listen(loopbackOnly: !options.allowsUnencryptedNetwork)
            guard options.address.host != nil else { return (SharedDescriptor(socket), options.address) }
            let port = try StreamSocket.port(of: socket.number)
            return (SharedDescriptor(socket), options.address.with(port: port))
        } catch {
            if error == .permissionDenied, !options.allowsUnencryptedNetwork, options.address.host != nil {
                throw StreamError(
                    .invalidArgument,
                    "Other machines can reach \(options.address), and nothing is encrypted: set allowsUnencryptedNetwork, if "
                        + "everybody on the network is trusted"
                )
            }
            let code: StreamError.Code =
                switch error {
                case .addressInUse: .addressInUse
                case .noRouteToHost, .addressNotAvailable, .noSuchFileOrDirectory, .fileNameTooLong: .invalidArgument
                default: .outOfResources
                }
            throw StreamError(code, "\(options.address) cannot be listened at", errno: error)
        }
    }

    deinit {
        close {}
    }

    func finish(_ done: @escaping @Sendable () -> Void) {
        close { [local] in local.finish(done) }
    }

    /// The launcher's share of the places first, then those for workers that come by themselves.
    func start(_ name: String, report: @escaping @Sendable (WorkerEvent) -> Void) -> any WorkerLink {
        let (number, isOpen) = state.withLock { state in
            defer { state.nextNumber += 1 }
            let isOpen = state.launched >= options.launchedCount
            if !isOpen { state.launched += 1 }
            return (state.nextNumber, isOpen)
        }
        let seat = StreamSeat(
            number: number,
            name: name,
            isOpen: isOpen,
            limit: options.maximumMessage,
            hub: hub,
            report: { [weak self] event in
                switch event {
                case .ended, .left:
                    // Before the pool hears of it, which then asks for another one.
                    if !isOpen { self?.state.withLock { $0.launched -= 1 } }
                case .came, .message: break
                }
                report(event)
            }
        )
        hub.give(.open(seat))
        if !isOpen { launch(seat) }
        return seat
    }

    /// Lets somebody at the other end of a socket say hello.
    func attach(_ socket: SharedDescriptor) { hub.give(.attach(socket)) }

    private func close(_ done: @escaping @Sendable () -> Void) {
        if case .unix(let path) = options.address.kind, let file { LocalSocket.removeFile(at: path, ifStill: file) }
        hub.give(.close(done))
    }

    // MARK: Starting workers

    private func launch(_ seat: StreamSeat) {
        let launcher = options.launcher.kind
        var invitation = if case .local = launcher { localInvitation } else { invitation }
        invitation.place = seat.number
        do {
            // A start can take milliseconds, or as long as the user's function does.
            try Thread.detach(named: "mp-pool-launch") { [local, hub, invitation] in
                switch launcher {
                case .none: break
                case .function(let start):
                    do { try start(invitation) } catch { hub.give(.processEnded(seat, error)) }
                case .local:
                    let processor = local.placement?.take()
                    let error = Self.live(seat, invitation, local, on: processor?.processor)
                    // Before its end is known: the worker that replaces it is to take its place.
                    processor?.giveBack()
                    hub.give(.processEnded(seat, error))
                }
            }
        } catch {
            hub.give(.processEnded(seat, ProcessError(.startFailed, "No thread for \(seat.name)", errno: error)))
        }
    }

    /// The whole life of a worker's process, as its thread in the pool's process sees it; why it ended.
    private static func live(
        _ seat: StreamSeat,
        _ invitation: WorkerInvitation,
        _ local: ProcessTransport,
        on processor: Int?
    ) -> (any Error)? {
        do {
            let child = try ChildProcess(
                name: seat.name,
                options: local.options(of: seat.name, on: processor),
                fileID: local.fileID,
                line: local.line
            ) {
                try await PoolWorkerProgram.serve(invitation)
            }
            try child.start(printsErrors: false)
            seat.join(child)
            try child.join(timeout: nil)
            try child.waitForValue(timeout: .zero)
            return nil
        } catch {
            return error
        }
    }
}
