public import SystemPackage

/// How a process is started. All of it has defaults; set what matters.
///
///     var options = ProcessOptions()
///     options.environment = ["LANG": "C"]
///     options.limits = [.memory(512 << 20)]
public struct ProcessOptions: Sendable {
    /// Where a standard stream of the child goes to or comes from.
    public struct Stream: Sendable {
        enum Kind: Sendable {
            case inherit, null, capture, descriptor(Int32)
            /// Output and error only: line by line to a receiver; nil keeps the end of it for crash reports and no more.
            case lines((any LineReceiver)?)
        }
        let kind: Kind

        /// The parent's own, as it is at the start.
        public static let inherit = Stream(kind: .inherit)
        /// `/dev/null`.
        public static let null = Stream(kind: .null)
        /// An open file of the parent's. It stays the parent's to close.
        public static func descriptor(_ file: FileDescriptor) -> Stream {
            Stream(kind: .descriptor(file.rawValue))
        }
        static func lines(_ receiver: (any LineReceiver)?) -> Stream { Stream(kind: .lines(receiver)) }
        /// Standard error only: passed on to the parent's standard error as it comes, and its end kept for crash reports.
        public static let relay = Stream(kind: .capture)
    }

    /// A limit on what the process may use (setrlimit).
    public struct Limit: Sendable, Hashable, Codable {
        let resource: Int32
        let amount: UInt64

        /// Bytes of address space (RLIMIT_AS). An allocation beyond it fails, which in Swift is a fault.
        public static func memory(_ bytes: Int) -> Limit { Limit(resource: 9, amount: UInt64(clamping: bytes)) }
        /// Seconds of processor time (RLIMIT_CPU). Reaching it is SIGXCPU, one second later SIGKILL.
        public static func processorTime(seconds: Int) -> Limit {
            Limit(resource: 0, amount: UInt64(clamping: seconds))
        }
        /// The highest number of open descriptors (RLIMIT_NOFILE).
        public static func openFiles(_ count: Int) -> Limit { Limit(resource: 7, amount: UInt64(clamping: count)) }
        /// Bytes of a core file (RLIMIT_CORE).
        public static func coreSize(_ bytes: Int) -> Limit { Limit(resource: 4, amount: UInt64(clamping: bytes)) }
        /// Bytes of any file written (RLIMIT_FSIZE).
        public static func fileSize(_ bytes: Int) -> Limit { Limit(resource: 1, amount: UInt64(clamping: bytes)) }
        /// Bytes of stack of the main thread (RLIMIT_STACK).
        public static func stackSize(_ bytes: Int) -> Limit { Limit(resource: 3, amount: UInt64(clamping: bytes)) }
        /// Processes and threads of the user (RLIMIT_NPROC).
        public static func processes(_ count: Int) -> Limit { Limit(resource: 6, amount: UInt64(clamping: count)) }
    }

    /// The name in reports and logs. Nil gives "Process-N", with N counted along the line of parents as "Process-2:1".
    public var name: String?
    /// How the process comes to be; nil is ``StartMethod/default``.
    public var startMethod: StartMethod?
    /// Whether the process is killed outright, without a chance to end by itself, when its parent leaves normally.
    ///
    /// Nil inherits the parent's own. No process outlives its parent either way; see the article on differences to Python.
    public var isDaemon: Bool?
    /// Variables to set, or with nil to remove, on top of the parent's environment as it is at the start.
    public var environment: [String: String?] = [:]
    /// Whether the child starts from an empty environment instead of the parent's.
    public var clearsEnvironment = false
    /// The working directory; nil is the parent's, as it is at the start.
    public var workingDirectory: FilePath?
    /// Standard input, by default nothing.
    public var standardInput: Stream = .null
    /// Standard output, by default the parent's.
    public var standardOutput: Stream = .inherit
    /// Standard error, by default relayed to the parent's, so that a crash report can quote it.
    public var standardError: Stream = .relay
    /// Further open files that the child gets, under the numbers they have here. At most 240.
    public var descriptors: [FileDescriptor] = []
    /// The processors that it may run on; nil is the parent's.
    public var processorAffinity: Set<Int>?
    /// How nice it is to others: -20 (first) to 19 (last); nil is the parent's.
    ///
    /// Where the process has the right to (CAP_SYS_NICE), Dispatch gives the threads of asynchronous bodies a niceness after their
    /// quality of service instead.
    public var niceness: Int?
    /// Limits on what it may use.
    public var limits: [Limit] = []
    /// The group id it runs as.
    public var group: UInt32?
    /// The user id it runs as.
    public var user: UInt32?
    /// Signals that it ignores. All others have their default action.
    public var ignoredSignals: Set<Int32> = []
    /// Signals that are blocked when its body begins.
    public var blockedSignals: Set<Int32> = []
    /// How long a child that was asked to end (SIGTERM) has before it is killed, when its awaiting task is cancelled.
    public var terminationGrace: Duration = .seconds(2)
    /// The program to execute with ``StartMethod/spawn``: this program's own executable or a copy of the same build.
    ///
    /// Python: `multiprocessing.set_executable`.
    public var executable: FilePath?

    /// The defaults.
    public init() {}
}
