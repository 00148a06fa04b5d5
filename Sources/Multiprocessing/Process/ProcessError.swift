public import SystemPackage

/// What goes wrong with a process short of its body failing or crashing.
///
/// Two errors are equal when their codes are. The rest is for the reader.
public struct ProcessError: IndexedError, Hashable, Sendable, CustomStringConvertible {
    /// What kind of failure it is; more may be added.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Kind: String, Hashable {
            case startFailed, setupFailed, alreadyStarted, notStarted, stillRunning, closed, noValue, timedOut
            case cannotTravel, unsupported, invalidArgument, wrongProcess, statusLost
        }
        private let kind: Kind

        /// The operating system refused to start a process (see ``ProcessError/errno``), or it was killed before it had
        /// read what to do.
        public static let startFailed = Code(kind: .startFailed)
        /// The process started, but an option could not be honoured in it (a directory, a user, a limit…).
        public static let setupFailed = Code(kind: .setupFailed)
        /// `start` was called twice.
        public static let alreadyStarted = Code(kind: .alreadyStarted)
        /// The operation needs a process that was started.
        public static let notStarted = Code(kind: .notStarted)
        /// The operation needs a process that has ended.
        public static let stillRunning = Code(kind: .stillRunning)
        /// The handle was closed.
        public static let closed = Code(kind: .closed)
        /// The child left without a value: its body called `exit`, see ``ProcessError/exitStatus``.
        public static let noValue = Code(kind: .noValue)
        /// The time was over before the process ended.
        public static let timedOut = Code(kind: .timedOut)
        /// The body, an argument or the result cannot be sent to another process; the text says why and what helps.
        public static let cannotTravel = Code(kind: .cannotTravel)
        /// The start method or the system cannot do this.
        public static let unsupported = Code(kind: .unsupported)
        /// An option has a value that makes no sense.
        public static let invalidArgument = Code(kind: .invalidArgument)
        /// Only the process that made the handle may do this; it was inherited by `fork`.
        public static let wrongProcess = Code(kind: .wrongProcess)
        /// Somebody else collected the exit status, and no value had arrived.
        public static let statusLost = Code(kind: .statusLost)

        public var description: String { kind.rawValue }
    }

    /// The kind of failure.
    public var code: Code
    /// The system's own error, where there is one.
    public var errno: Errno?
    /// How the process ended, where that is the failure.
    public var exitStatus: ExitStatus?
    /// What happened, in words.
    public var message: String
    /// The item of a pool's map that the process was at; nil outside pools.
    public var item: Int?

    init(_ code: Code, _ message: String, errno: Errno? = nil, exitStatus: ExitStatus? = nil) {
        self.code = code
        self.message = message
        self.errno = errno
        self.exitStatus = exitStatus
    }

    public var description: String {
        "\(message)\(errno.map { ": \($0) (errno \($0.rawValue))" } ?? "") [\(code)]"
    }

    public static func == (left: ProcessError, right: ProcessError) -> Bool {
        left.code == right.code
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(code)
    }
}

/// An error that a child's body threw and whose type could not make the journey.
///
/// A thrown error that is `Codable` arrives as itself. Any other arrives as this.
public struct RemoteError: IndexedError, Hashable, Sendable, Codable, CustomStringConvertible {
    /// The name of the error's type.
    public var typeName: String
    /// The error's own description.
    public var message: String
    /// The name of the process that threw it.
    public var processName: String
    /// The process id of the process that threw it; zero if it is not known, as of a pool's worker.
    public var processIdentifier: Int32
    /// The item of a pool's map for which it was thrown; nil outside pools.
    public var item: Int?

    public var description: String {
        let pid = processIdentifier == 0 ? "" : " (pid \(processIdentifier))"
        let place = item.map { ", at item \($0)" } ?? ""
        return "\(typeName) in \(processName)\(pid)\(place): \(message)"
    }
}
