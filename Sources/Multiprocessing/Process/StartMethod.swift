internal import Synchronization

/// How a child process comes to be.
///
/// Python: `multiprocessing.set_start_method`.
public struct StartMethod: Hashable, Sendable, Codable, CustomStringConvertible, CaseIterable {
    enum Kind: String, Hashable, Codable { case forkServer, spawn, fork }
    let kind: Kind

    /// Forked by a helper process that never had a second thread (the default).
    ///
    /// The helper is this program, executed once more but never reaching `main`. It keeps a few processes ready, so that a
    /// start costs a message. The body travels; it needs captures that can be encoded.
    public static let forkServer = StartMethod(kind: .forkServer)
    /// This program executed anew for each child: a few milliseconds, nothing shared, independent of any helper.
    public static let spawn = StartMethod(kind: .spawn)
    /// A copy of the calling process (fork(2)): any captures, nothing is encoded; synchronous bodies only.
    ///
    /// Only the calling thread exists in the copy. A lock that another thread held at that moment stays locked for ever,
    /// Dispatch and Swift concurrency cannot be used, and every descriptor of the program is inherited. Meant for programs
    /// with one thread. The body runs on a thread of its own, not on the copied one.
    public static let fork = StartMethod(kind: .fork)

    /// Every method that this system has, the default first.
    ///
    /// Python: `multiprocessing.get_all_start_methods`.
    public static let allCases: [StartMethod] = [.forkServer, .spawn, .fork]

    private static let chosen = Mutex(StartMethod.forkServer)

    /// The method for processes that name none. Children inherit it.
    ///
    /// Python: `multiprocessing.set_start_method(force=True)` and `get_start_method`.
    public static var `default`: StartMethod {
        get { chosen.withLock { $0 } }
        set { chosen.withLock { $0 = newValue } }
    }

    public var description: String { kind.rawValue }
}
