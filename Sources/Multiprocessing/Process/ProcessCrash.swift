/// A process that died instead of returning or throwing: a trap, a signal, the kernel's out-of-memory killer.
///
/// Thrown by ``ChildProcess/run(_:body:)`` and ``ChildProcess/value``. In this library's words an *error* is thrown, a *fault*
/// is a trap, and a *crash* is a process that died of it.
public struct ProcessCrash: IndexedError, Sendable, Hashable, Codable, CustomStringConvertible {
    /// Why the process died, as far as can be told from outside.
    public struct Reason: Hashable, Sendable, Codable, CustomStringConvertible {
        private enum Kind: String, Hashable, Codable {
            case trap, segmentationFault, abort, stackOverflow, killed, outOfMemory, processorTime, signal
        }
        private let kind: Kind

        /// `fatalError`, a failed precondition, an overflow, an index out of range, a forced unwrap of nil.
        public static let trap = Reason(kind: .trap)
        /// A bad memory access.
        public static let segmentationFault = Reason(kind: .segmentationFault)
        /// `abort()`, as C libraries call it on a failed assertion.
        public static let abort = Reason(kind: .abort)
        /// Recursion without end, recognised by a fault beside the stack pointer; needs a backtrace.
        public static let stackOverflow = Reason(kind: .stackOverflow)
        /// SIGKILL or SIGTERM from somebody: an operator, a supervisor, this library's `kill`.
        public static let killed = Reason(kind: .killed)
        /// Memory ran out: the kernel killed the process, or an allocation failed at its limit.
        public static let outOfMemory = Reason(kind: .outOfMemory)
        /// The limit on processor time was reached.
        public static let processorTime = Reason(kind: .processorTime)
        /// Some other signal.
        public static let signal = Reason(kind: .signal)

        public var description: String { kind.rawValue }
    }

    /// The name of the process.
    public var processName: String
    /// Its process id, which may belong to another process by now.
    public var processIdentifier: Int32
    /// The signal that ended it.
    public var signal: Int32
    /// Why it died.
    public var reason: Reason
    /// The message of the fault ("Fatal error: Index out of range"), where the runtime printed one.
    ///
    /// Optimised code traps without a word at many of its checks; the backtrace then says where.
    public var message: String?
    /// The last lines that the process wrote to standard error, without the backtrace.
    public var standardError: [String]
    /// The frames of the thread that faulted, innermost first, where the runtime gave them.
    public var backtrace: [String]
    /// The most memory that was resident at once, in bytes.
    public var peakMemory: Int
    /// The processor time it used.
    public var cpuTime: Duration
    /// The source location of the call that started it.
    public var startedAt: String
    /// Whether a core file was written.
    public var dumpedCore: Bool
    /// What a worker of a pool was doing when it died; nil outside pools.
    public var task: String?
    /// The item of a pool's map that it was at; nil outside maps, or if that is not known.
    public var item: Int?
    /// How many workers the task, or the item, has ended by now: more than one if it was retried. Nil outside pools.
    public var attempts: Int?

    public var description: String {
        var text = "\(processName) (pid \(processIdentifier)) crashed: "
        text += message ?? "\(reason)"
        if let task { text += " in \(task)" }
        if let attempts, attempts > 1 { text += ", the last of \(attempts) workers that it ended" }
        text += " [\(signalName(signal))"
        if reason == .outOfMemory { text += ", out of memory" }
        text += ", peak memory \(peakMemory / 1024) KiB, started at \(startedAt)]"
        if let frame = backtrace.first { text += "\n  at \(frame)" }
        return text
    }
}
