internal import MultiprocessingSystem
internal import MultiprocessingWire
internal import Synchronization

/// Settings of the helper process behind ``StartMethod/forkServer``.
///
/// There is one server for each program, started with the first process that needs it.
public enum ForkServer {
    struct Configuration: Sendable {
        var spares = 2
        var preload: [UInt8]?
        var preloadTimeout: Duration = .seconds(60)
    }

    static let maximumSpares = 64

    private static let stored = Mutex(Configuration())

    static var configuration: Configuration {
        stored.withLock { $0 }
    }

    /// How many processes are kept ready for the next starts; 0 forks each when it is needed.
    ///
    /// A waiting process costs little private memory (its pages are the server's until it writes to them) and one descriptor
    /// here. They are refilled when a child ends, and at once when the last one has been taken. Values are kept between 0 and 64.
    public static var spares: Int {
        get { stored.withLock { $0.spares } }
        set { stored.withLock { $0.spares = min(max(newValue, 0), maximumSpares) } }
    }

    /// Runs `body` in the server before it forks anybody: load a model, warm a cache; children share it copy-on-write.
    ///
    /// What `body` leaves in global variables is there in every later child. It must be synchronous and must not start
    /// threads (no Dispatch, no tasks): a process with threads cannot be forked, and the next start fails saying so.
    /// Takes effect with the next start; a running server is replaced. Does not wait for the hook, but for a start that is under way in
    /// another thread, which may be running an earlier hook.
    ///
    /// `ChildProcess.run` waits for the hook without a thread; `start()` blocks its own meanwhile.
    ///
    /// Python: `multiprocessing.set_forkserver_preload`.
    /// - Parameters:
    ///   - timeout: how long the hook may take; the start that waits for it fails after that.
    /// - Throws: ``ProcessError`` (`cannotTravel`) if the closure captures what cannot be sent.
    public static func preload(
        timeout: Duration = .seconds(60),
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: @escaping @Sendable () throws -> Void
    ) throws {
        let job = try JobBytes.preload(body, fileID: fileID, line: line)
        stored.withLock {
            $0.preload = job
            $0.preloadTimeout = timeout
        }
        Runtime.current.forkServer.stop()
    }

    /// Forgets the preload hook. Takes effect with the next start; a running server is replaced.
    public static func removePreload() {
        stored.withLock { $0.preload = nil }
        Runtime.current.forkServer.stop()
    }

    /// Ends the server and the processes that it keeps ready; running children are not touched. The next start begins anew.
    public static func stop() {
        Runtime.current.forkServer.stop()
    }

    /// For the test kit, which counts processes that are kept ready and their descriptors: these come later than those.
    package static func takeInRequested() {
        Runtime.current.forkServer.takeInRequested()
    }

    /// The server's process id; nil while there is none.
    public static var processIdentifier: Int32? {
        Runtime.current.forkServer.processIdentifier
    }
}
