internal import MultiprocessingSystem
internal import MultiprocessingWire
public import SystemPackage

/// Makes the process that calls it a worker of a pool, wherever that is.
///
///     @main struct Program {
///         static func main() async throws {
///             if CommandLine.arguments.contains("worker"), let line = readLine(), let invitation = WorkerInvitation(line) {
///                 try await PoolWorkerProgram.serve(invitation)      // until the pool lets it go
///                 return
///             }
///             …                                                    // the program that has the pool
///         }
///     }
///
/// It has to be the same executable as the pool's, of the same build, because tasks travel as places in its code; any other is refused on
/// both sides. What the pool sends is run: the pool has to prove the secret of the invitation before anything is.
///
/// A worker that loses its pool is of no use to anybody and must not stay: its task is cancelled, and half a second later, if that
/// has not ended, **the process is ended**, with code 70 and as by `_exit`. Otherwise the call throws.
public enum PoolWorkerProgram {
    /// Serves a pool until it lets this worker go. Suspends; the socket is a thread's of its own.
    ///
    /// Cancelling the task closes the connection and throws at once; a task of the pool's that runs is cancelled.
    /// - Parameter patience: what connecting and being taken in may take.
    /// - Throws: ``StreamError``: `unreachable`; `stranger` if either side did not prove the secret; `otherExecutable`,
    ///   `otherVersion`, `noPlace`; `poolLost`; `malformed`; `outOfResources`. What the pool's initialiser threw. `CancellationError`.
    public static func serve(_ invitation: WorkerInvitation, patience: Duration = .seconds(30)) async throws {
        try await serve(try session(invitation, patience))
    }

    /// Serves a pool until it lets this worker go. Blocks the thread.
    ///
    /// - Throws: as the one that suspends.
    @available(*, noasync, message: "Use the async serve: this one blocks the thread")
    public static func serve(_ invitation: WorkerInvitation, patience: Duration = .seconds(30)) throws {
        try blocking(try session(invitation, patience))
    }

    /// Serves a pool at the other end of a connected stream socket, which ``Pool/attach(_:)`` was given. Suspends.
    ///
    /// - Parameter socket: stays the caller's to close.
    /// - Throws: as the one with an invitation; `invalidArgument` if it is no stream socket.
    public static func serve(
        over socket: FileDescriptor,
        token: WorkerToken,
        patience: Duration = .seconds(30)
    ) async throws {
        try await serve(try session(socket, token, patience))
    }

    /// Serves a pool at the other end of a connected stream socket. Blocks the thread.
    ///
    /// - Throws: as the one that suspends.
    @available(*, noasync, message: "Use the async serve: this one blocks the thread")
    public static func serve(
        over socket: FileDescriptor,
        token: WorkerToken,
        patience: Duration = .seconds(30)
    ) throws {
        try blocking(try session(socket, token, patience))
    }

    // MARK: The session

    // Made on the caller's thread, because threads inherit what is a thread's own: its network namespace, for one.
    private static func session(_ invitation: WorkerInvitation, _ patience: Duration) throws -> StreamSession {
        try StreamSession(invitation.token, place: invitation.place, patience: patience) { () throws(StreamError) in
            do throws(Errno) {
                return SharedDescriptor(try invitation.address.connect(within: patience))
            } catch {
                throw StreamError(.unreachable, "\(invitation.address) cannot be connected to", errno: error)
            }
        }
    }

    private static func session(
        _ socket: FileDescriptor,
        _ token: WorkerToken,
        _ patience: Duration
    ) throws -> StreamSession {
        let copy = try SharedDescriptor(streamSocket: socket)
        return try StreamSession(token, place: nil, patience: patience) { () throws(StreamError) in copy }
    }

    private static func blocking(_ session: StreamSession) throws {
        let result = OneShot<Result<Void, any Error>>()
        Task.detached {
            do {
                result.set(.success(try await serve(session)))
            } catch {
                result.set(.failure(error))
            }
        }
        try result.wait(timeout: nil)?.get()
    }

    private static func serve(_ session: StreamSession) async throws {
        try await withTaskCancellationHandler {
            defer { session.isDone.set(()) }
            do {
                let body = try await taken(session)
                try await StreamSession.$current.withValue(session) {
                    _ = try await Job(decoding: EncodedPieces(body)).run()
                }
                try Task.checkCancellation()
            } catch {
                // Abandoned: nothing more is sent, and what is on its way ends by itself.
                try Task.checkCancellation()
                session.leave()
                _ = await Task.detached { try? await session.end.wait(timeout: .seconds(5)) }.value
                try Task.checkCancellation()
                throw error
            }
        } onCancel: {
            session.abandon()
        }
    }

    private static func taken(_ session: StreamSession) async throws -> [UInt8] {
        guard let answer = try await session.job.wait(timeout: nil) else { throw CancellationError() }
        return try answer.get()
    }

    // MARK: The worker

    /// The job that a pool gives to each of its workers.
    ///
    /// - Throws: ``PoolError`` (`cannotTravel`) if the set-up captures what cannot go over a socket.
    static func body(
        _ setup: @escaping WorkerSetup,
        _ settings: WorkerSettings,
        _ fileID: StaticString,
        _ line: UInt
    ) throws -> [UInt8] {
        let encoded = try travelling { () throws(ClosureError) in
            try Job.encode(
                { @Sendable @concurrent () async throws in try await run(setup, settings) },
                fileID: "\(fileID)",
                line: Int(line)
            )
        }
        let content = TravellingBytes(encoded)
        guard content.objects.isEmpty else {
            throw PoolError(
                .cannotTravel,
                "\(StreamMessages.names(of: content)), which the initialiser captures, cannot go over a socket"
            )
        }
        return content.withBytes { Array($0) }
    }

    /// Serves the pool of the session that this is run in.
    private static func run(_ setup: WorkerSetup, _ settings: WorkerSettings) async throws {
        guard let session = StreamSession.current else { return }
        if settings.buffersByLine { ThisProcess.bufferOutputByLine() }
        let context: any WorkerContext
        do {
            context = try await setup()
        } catch {
            let content = TravellingBytes(ErrorCoding.encode(error))
            try session.send(PoolMessage(kind: .setupFailed, content: content))
            throw error
        }
        /// True when the pool let go of the worker, false when the session has ended.
        let isLetGo = OneShot<Bool>()
        let isIdle = OneShot<Void>()
        let worker = PoolWorker(
            claim: { session.claim($0, $1) },
            send: { message in try session.send(message) },
            leave: {
                isLetGo.set(true)
                isIdle.set(())
            }
        )
        worker.setUp(context)
        try session.send(PoolMessage(kind: .ready))
        session.receive { worker.receive($0) }
        _ = session.end.observe { _ in isLetGo.set(false) }
        if await Task.detached(operation: { try? await isLetGo.wait(timeout: nil) }).value == true {
            await worker.leave(within: settings.exitTimeout)
            session.leave()
        } else {
            worker.abandon()
        }
        let end = await Task.detached { try? await session.end.wait(timeout: nil) }.value
        guard case .lost(let error) = end else { return }
        // If it takes too long, the session ends the process.
        _ = await Task.detached { try? await isIdle.wait(timeout: nil) }.value
        throw error
    }
}

extension SharedDescriptor {
    /// A descriptor of our own for a socket that somebody else owns.
    ///
    /// - Throws: ``StreamError`` (`invalidArgument`).
    convenience init(streamSocket socket: FileDescriptor) throws {
        do throws(Errno) {
            self.init(try Descriptor(duplicating: socket.rawValue))
        } catch {
            throw StreamError(.invalidArgument, "Descriptor \(socket.rawValue) is not open", errno: error)
        }
    }
}
