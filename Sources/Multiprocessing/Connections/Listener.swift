internal import MultiprocessingSystem
internal import Synchronization
public import SystemPackage

/// Waits for other processes of this user to connect.
///
///     let listener = try Listener()
///     let child = try ChildProcess(arguments: listener.address) { address in
///         try Connection.connect(to: address).send("hello")
///     }
///     try child.start()
///     let connection = try listener.accept()
///
/// Not only children: any program of the same user that knows the address. Both sides ask the kernel who the other one is, and
/// refuse processes of other users before anything is shared with them. A connection is the same as those of
/// ``Connection/pair(duplex:)``: shared memory, which the connecting side makes.
///
/// Python: `multiprocessing.connection.Listener`, of family `AF_UNIX`.
public final class Listener: Sendable {
    /// Where it is found.
    public let address: Address

    /// Those who connected and have not greeted yet. With as many, who has been silent for longest makes room for the next.
    private static let mostPending = 64
    /// Nobody has to go sooner than that: who connects greets at once, but may be held up in between.
    private static let grace: Duration = .milliseconds(50)

    private struct Pending {
        var socket: SharedDescriptor
        var peer: PeerCredentials
        var deadline = Deadline(after: Handshake.patience)
        var grace = Deadline(after: Listener.grace)
    }

    private struct State {
        /// Nil once closed.
        var socket: SharedDescriptor?
        var pending: [Pending] = []
        var lastAccepted: PeerCredentials?
    }

    private let state: Mutex<State>
    /// The file that this listener made for its path.
    private let file: FileIdentity?
    /// Only the process that made the path removes it.
    private let maker = ProcessStamp.current

    /// Begins to listen.
    ///
    /// Three system calls; one more for a path.
    /// - Parameter address: nil for an abstract name that nobody can guess; see ``Address``.
    /// - Parameter backlog: how many may have connected without being accepted; further ones wait.
    /// - Throws: ``SharedStateError``: `exists` if the address is taken, also by a path that a killed process left; `notFound` for
    ///   a path in no directory; `invalidArgument`; `outOfResources`.
    public init(address: Address? = nil, backlog: Int = 64) throws {
        let address = try address ?? Address.random()
        try address.validate()
        guard backlog > 0 else { throw SharedStateError(.invalidArgument, "A backlog of \(backlog) lets nobody in") }
        do throws(Errno) {
            let socket = try LocalSocket.listen(
                address.name,
                isAbstract: address.isAbstract,
                backlog: CInt(clamping: backlog)
            )
            state = Mutex(State(socket: SharedDescriptor(socket)))
        } catch {
            let code: SharedStateError.Code =
                switch error {
                case .addressInUse: .exists
                case .noSuchFileOrDirectory, .notDirectory: .notFound
                default: .outOfResources
                }
            throw SharedStateError(code, "\(address) cannot be listened on", errno: error)
        }
        file = address.path.flatMap { FileIdentity(at: $0) }
        self.address = address
    }

    deinit {
        close()
    }

    /// Stops listening, and removes the path if there is one. A second close is harmless. Connections live on.
    ///
    /// Calls of other threads that wait in `accept` throw `closed` within half a second.
    public func close() {
        let wasOpen = state.withLock { state in
            defer { (state.socket, state.pending) = (nil, []) }
            return state.socket != nil
        }
        guard wasOpen, maker == .current, let path = address.path, let file else { return }
        LocalSocket.removeFile(at: path, ifStill: file)
    }

    /// Whether ``close()`` was called.
    public var isClosed: Bool { state.withLock { $0.socket == nil } }

    /// Who connected last, of those that were accepted. Python: `last_accepted`.
    public var lastAccepted: PeerCredentials? { state.withLock { $0.lastAccepted } }

    /// A descriptor that is readable when somebody connects. It is the listener's; do not accept from it.
    public var fileDescriptor: FileDescriptor {
        get throws { FileDescriptor(rawValue: try socket().descriptor.number) }
    }

    func socket() throws -> SharedDescriptor {
        guard let socket = state.withLock({ $0.socket }) else { throw Self.closedError }
        return socket
    }

    private static var closedError: SharedStateError { SharedStateError(.closed, "The listener was closed") }

    // MARK: Accepting

    /// Returns the next connection. Blocks the thread until somebody connects.
    ///
    /// Whoever connects and is of another user, says anything but what ``Connection/connect(to:timeout:)`` says, or nothing for five
    /// seconds, is let go of without an answer, and holds up nobody meanwhile. Of those who say nothing, 64 are kept; when others wait,
    /// the one that was silent for longest has to go, after 50 milliseconds at the earliest.
    /// - Parameter timeout: how long to wait; nil for as long as it takes, zero or less to look once.
    /// - Throws: ``SharedStateError``: `timedOut`, `closed`; `outOfResources` when this process can open no more.
    @available(*, noasync, message: "Use the async accept: this one blocks the thread")
    public func accept(timeout: Duration? = nil) throws -> Connection {
        let deadline = Deadline(after: timeout)
        while true {
            let (connection, wait) = try attempt()
            if let connection { return connection }
            if deadline.hasPassed { throw Self.timedOut(timeout) }
            let sockets = wait.sockets
            do throws(Errno) {
                _ = try waitUntilReady(
                    sockets.map { Interest($0.descriptor.number) },
                    deadline: deadline.earlier(wait.patience)
                )
            } catch {
                throw SharedStateError(.outOfResources, "The listener cannot be waited for", errno: error)
            }
            withExtendedLifetime(sockets) {}
        }
    }

    /// Returns the next connection. Suspends until somebody connects.
    ///
    /// - Throws: as the blocking one, and `CancellationError`.
    public func accept(timeout: Duration? = nil) async throws -> Connection {
        let deadline = Deadline(after: timeout)
        while true {
            let isCancelled = Task.isCancelled
            let (connection, wait) = try attempt()
            if let connection { return connection }
            if isCancelled { throw CancellationError() }
            if deadline.hasPassed { throw Self.timedOut(timeout) }
            let sockets = wait.sockets
            await Runtime.current.descriptorReactor.wait(
                sockets.map(\.number),
                deadline: deadline.earlier(wait.patience)
            )
            withExtendedLifetime(sockets) {}
        }
    }

    private static func timedOut(_ timeout: Duration?) -> SharedStateError {
        SharedStateError(.timedOut, "Nobody connected within \(timeout ?? .zero)")
    }

    /// What to sleep on after an attempt in vain, and for how long at most.
    private struct Wait {
        var sockets: [SharedDescriptor]
        var patience: Duration
    }

    /// Takes in whoever has connected, and returns the first connection that is complete. Does not wait.
    private func attempt() throws -> (Connection?, Wait) {
        try state.withLock { state in
            guard let socket = state.socket else { throw Self.closedError }
            // Who has greeted is let in before anybody is sent away.
            if let connection = complete(&state) { return (connection, Wait(sockets: [], patience: .zero)) }
            let mayMoreCome = try welcome(&state, socket)
            if let connection = complete(&state) { return (connection, Wait(sockets: [], patience: .zero)) }
            let first = state.pending.first
            var patience = first?.deadline.remaining ?? ConnectionEnd.longestSleep
            if !mayMoreCome {
                // The others stay in the backlog until the first of these may be sent away.
                patience = max(first?.grace.remaining ?? .zero, .milliseconds(5))
            }
            return (
                nil,
                Wait(
                    sockets: (mayMoreCome ? [socket] : []) + state.pending.map(\.socket),
                    patience: min(patience, ConnectionEnd.longestSleep)
                )
            )
        }
    }

    /// The first of those who are here that has greeted; lets go of those that are not worth waiting for.
    private func complete(_ state: inout State) -> Connection? {
        var index = 0
        while index < state.pending.count {
            let pending = state.pending[index]
            switch Handshake.receive(pending.socket) {
            case .accepted(let end):
                state.pending.remove(at: index)
                state.lastAccepted = pending.peer
                return Connection(end)
            case .nothingYet where !pending.deadline.hasPassed:
                index += 1
            case .nothingYet, .failed:
                state.pending.remove(at: index)
            }
        }
        return nil
    }

    /// Takes those in who are in the backlog; not more than may be here at once, so that this ends.
    ///
    /// - Returns: whether more could be taken in, if they came.
    private func welcome(_ state: inout State, _ socket: SharedDescriptor) throws -> Bool {
        for _ in 0..<Self.mostPending {
            if state.pending.count >= Self.mostPending {
                guard let first = state.pending.first, first.grace.hasPassed else { return false }
                // Nobody goes for nobody.
                guard Self.isReadable(socket) else { return true }
                // Perhaps it has greeted just now.
                if Self.isReadable(first.socket) { return true }
                state.pending.removeFirst()
            }
            do throws(Errno) {
                let accepted = try LocalSocket.accept(socket.descriptor.number)
                let peer = try PeerCredentials(of: accepted)
                guard peer.isThisUser else { continue }
                state.pending.append(Pending(socket: SharedDescriptor(accepted), peer: peer))
            } catch {
                if error == .resourceTemporarilyUnavailable { return true }
                // Those who are here already may still be let in, or make room by their going.
                if !state.pending.isEmpty { return false }
                throw SharedStateError(.outOfResources, "Nobody more can be let in", errno: error)
            }
        }
        return true
    }

    private static func isReadable(_ socket: SharedDescriptor) -> Bool {
        (try? waitUntilReady(Interest(socket.descriptor.number), deadline: Deadline(after: .zero))) == true
    }
}

extension Listener: Waitable {
    /// Its own socket, and those of whom a greeting is to come.
    private func sockets() throws -> [SharedDescriptor] {
        let (socket, pending) = state.withLock { ($0.socket, $0.pending.map(\.socket)) }
        guard let socket else { throw Self.closedError }
        return [socket] + pending
    }

    public func waitSource() throws -> WaitSource {
        let sockets = Sockets(try sockets())
        return WaitSource(.descriptors(sockets.all.map(\.number)), keeping: sockets)
    }

    /// Whether somebody has connected, or one who had is not silent any more: there is something to do for an accept.
    public var isReady: Bool {
        get throws {
            let sockets = try sockets()
            defer { withExtendedLifetime(sockets) {} }
            return try sockets.contains { try FileDescriptor(rawValue: $0.number).isReady }
        }
    }
}

/// Keeps them open.
private final class Sockets: Sendable {
    let all: [SharedDescriptor]
    init(_ all: [SharedDescriptor]) { self.all = all }
}
