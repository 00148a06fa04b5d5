public import SystemPackage

extension Pool {
    private var stream: StreamTransport? { core.transport as? StreamTransport }

    /// What a program has to know to become a worker of this pool; nil if its workers do not come over sockets.
    ///
    /// It holds the pool's secret: see ``WorkerToken``.
    public var invitation: WorkerInvitation? { stream?.invitation }

    /// Takes a connected stream socket, at whose other end ``PoolWorkerProgram/serve(over:token:patience:)`` is called: for connections
    /// that were made in a way of your own, through a tunnel for example.
    ///
    /// The worker has to prove the secret, as those that connect by themselves. Does not wait for it. One system call.
    /// - Parameter socket: stays the caller's to close, which does not end the connection. It does not wait any more (O_NONBLOCK).
    /// - Throws: ``StreamError`` (`invalidArgument`) for what is not open, or if the pool's workers do not come over sockets.
    public func attach(_ socket: FileDescriptor) throws {
        guard let stream else {
            throw StreamError(.invalidArgument, "The workers of this pool do not come over sockets")
        }
        stream.attach(try SharedDescriptor(streamSocket: socket))
    }
}
