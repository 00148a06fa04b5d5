internal import MultiprocessingSystem
internal import SystemPackage

extension Connection {
    /// Connects to a ``Listener``. Blocks the thread while its backlog is full.
    ///
    /// Some ten system calls. Does not wait for the listener to accept: what is sent before is received then. If the listener
    /// goes without having accepted, sending and receiving throw `peerGone`.
    ///
    /// Python: `multiprocessing.connection.Client`.
    /// - Parameter timeout: how long to wait for a place in the backlog; nil for as long as it takes.
    /// - Throws: ``SharedStateError``: `notFound` if nobody listens there; `refused` if that process is of another user, or
    ///   may not be connected to; `timedOut`; `invalidArgument`; `outOfResources`.
    @available(*, noasync, message: "Use the async connect: this one blocks the thread")
    public static func connect(to address: Address, timeout: Duration? = nil) throws -> Connection {
        var attempt = Connecting(address, timeout)
        while true {
            if let connection = try attempt.connect() { return connection }
            ThisProcess.pause(attempt.pause())
        }
    }

    /// Connects to a ``Listener``. Suspends while its backlog is full.
    ///
    /// - Throws: as the blocking one, and `CancellationError`.
    public static func connect(to address: Address, timeout: Duration? = nil) async throws -> Connection {
        var attempt = Connecting(address, timeout)
        while true {
            if let connection = try attempt.connect() { return connection }
            try await Task.sleep(for: attempt.pause())
        }
    }
}

/// Attempts to connect: a listener with a full backlog gives no sign when there is room, so they are repeated.
private struct Connecting {
    private let address: Address
    private let timeout: Duration?
    private let deadline: Deadline
    private var wait: Duration = .milliseconds(1)

    init(_ address: Address, _ timeout: Duration?) {
        self.address = address
        self.timeout = timeout
        deadline = Deadline(after: timeout)
    }

    /// Nil if the backlog is full.
    func connect() throws -> Connection? {
        try address.validate()
        let socket: SharedDescriptor
        let peer: PeerCredentials
        do throws(Errno) {
            let connected = try LocalSocket.connect(address.name, isAbstract: address.isAbstract)
            peer = try PeerCredentials(of: connected)
            socket = SharedDescriptor(connected)
        } catch {
            switch error {
            case .resourceTemporarilyUnavailable:
                guard deadline.hasPassed else { return nil }
                throw SharedStateError(.timedOut, "\(address) had no room within \(timeout ?? .zero)")
            case .connectionRefused, .noSuchFileOrDirectory, .notDirectory:
                throw SharedStateError(.notFound, "Nobody listens on \(address)", errno: error)
            case .permissionDenied:
                throw SharedStateError(.refused, "\(address) may not be connected to", errno: error)
            default:
                throw SharedStateError(.outOfResources, "\(address) could not be connected to", errno: error)
            }
        }
        guard peer.isThisUser else {
            throw SharedStateError(.refused, "\(address) is listened on by another user (\(peer))")
        }
        return Connection(try Handshake.greet(socket))
    }

    mutating func pause() -> Duration {
        defer { wait = min(wait * 2, .milliseconds(50)) }
        return min(wait, deadline.remaining ?? wait)
    }
}
