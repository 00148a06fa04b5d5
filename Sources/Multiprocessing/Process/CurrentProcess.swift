internal import MultiprocessingSystem
internal import Synchronization

/// The process that asks: ``ChildProcess/current``.
///
/// Python: `multiprocessing.current_process()`.
public struct CurrentProcess: Sendable {
    /// "MainProcess" in a program that was not started by this library.
    public let name: String
    /// The process id.
    public let processIdentifier: Int32
    /// Whether it is killed outright when its parent leaves.
    public let isDaemon: Bool
    /// How it came to be; nil in a program that was not started by this library.
    public let startMethod: StartMethod?
    /// The secret that this program and all its children share: 32 random bytes, made in the first process.
    ///
    /// Python: `Process.authkey`. It never travels but to a child at its start.
    public let authenticationKey: [UInt8]
    /// Who started it; nil in a program that was not started by this library.
    public let parent: ParentProcess?

    let path: [Int]

    // Set once, before the body of a child runs, while the process has one thread; guarded all the same.
    private static let stored = Mutex<CurrentProcess?>(nil)

    /// Takes the identity that a parent gave this process.
    static func become(_ plan: LaunchPlan) {
        let value = CurrentProcess(
            name: plan.identity.name,
            processIdentifier: ThisProcess.identifier,
            isDaemon: plan.identity.isDaemon,
            startMethod: plan.identity.startMethod,
            authenticationKey: plan.identity.authenticationKey,
            parent: ParentProcess(name: plan.parent.name, processIdentifier: plan.parent.processIdentifier),
            path: plan.identity.path
        )
        stored.withLock { $0 = value }
    }

    static var value: CurrentProcess {
        stored.withLock { stored in
            if let stored { return stored }
            let first = CurrentProcess(
                name: "MainProcess",
                processIdentifier: ThisProcess.identifier,
                isDaemon: false,
                startMethod: nil,
                // Without entropy there is no secret to keep; that a kernel has none is not a state to go on in.
                authenticationKey: try! ThisProcess.randomBytes(32),
                parent: nil,
                path: []
            )
            stored = first
            return first
        }
    }
}

/// The process that started the one that asks.
///
/// Python: `multiprocessing.parent_process()`.
public struct ParentProcess: Sendable, Hashable {
    /// The parent's name.
    public let name: String
    /// The parent's process id.
    public let processIdentifier: Int32

    /// Whether it is still there. A child sees no other answer than true for long: it ends when its parent does.
    public var isAlive: Bool {
        ThisProcess.parentIdentifier == processIdentifier
    }
}
