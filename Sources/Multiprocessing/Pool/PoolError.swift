/// What goes wrong with a pool short of its tasks failing.
///
/// Two errors are equal when their codes are. The rest is for the reader.
public struct PoolError: IndexedError, Hashable, Sendable, Codable, CustomStringConvertible {
    /// What kind of failure it is; more may be added.
    public struct Code: Hashable, Sendable, Codable, CustomStringConvertible {
        private enum Kind: String, Hashable, Codable {
            case closed, terminated, cancelled, timedOut, notReady, stillOpen, workersFail, cannotTravel,
                invalidArgument, memoryExceeded
        }
        private let kind: Kind

        /// The pool was closed or terminated and takes no more tasks.
        public static let closed = Code(kind: .closed)
        /// The pool was terminated before the task was done.
        public static let terminated = Code(kind: .terminated)
        /// The task was cancelled before it was done.
        public static let cancelled = Code(kind: .cancelled)
        /// The time was over: the caller's wait, or the time that the task may take.
        public static let timedOut = Code(kind: .timedOut)
        /// The task's worker came to have more memory than the task may.
        public static let memoryExceeded = Code(kind: .memoryExceeded)
        /// The result is not there yet.
        public static let notReady = Code(kind: .notReady)
        /// The pool has to be closed or terminated first.
        public static let stillOpen = Code(kind: .stillOpen)
        /// Workers end, or their initialiser fails, and no task is to blame: the pool gave up. See ``RestartBudget``.
        public static let workersFail = Code(kind: .workersFail)
        /// A task, an argument or a result cannot be sent; the text says why and what helps.
        public static let cannotTravel = Code(kind: .cannotTravel)
        /// An argument makes no sense.
        public static let invalidArgument = Code(kind: .invalidArgument)

        public var description: String { kind.rawValue }
    }

    /// The kind of failure.
    public var code: Code
    /// What happened, in words.
    public var message: String
    /// The item of a map that it is about; nil if there is none, or it is not known.
    public var item: Int?

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { "\(message) [\(code)]" }

    public static func == (left: PoolError, right: PoolError) -> Bool {
        left.code == right.code
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(code)
    }
}
