public import SystemPackage

/// What goes wrong with locks, queues, connections, shared memory: state that processes share.
///
/// Two errors are equal when their codes are. The rest is for the reader.
public struct SharedStateError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What kind of failure it is; more may be added.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Kind: String, Hashable {
            case cannotTravel, malformed, outOfResources, closed, notOwner, overReleased, wouldDeadlock, timedOut
            case invalidArgument, broken, full, empty, shutDown, tooLarge, peerGone, exists, notFound, refused
        }
        private let kind: Kind

        /// The handle or value cannot be sent this way; the text says what helps.
        public static let cannotTravel = Code(kind: .cannotTravel)
        /// What arrived or was found in shared memory is not what it should be: damaged, truncated, or of another version.
        public static let malformed = Code(kind: .malformed)
        /// The system, or a fixed table, has no room: see ``SharedStateError/errno``.
        public static let outOfResources = Code(kind: .outOfResources)
        /// The handle was closed in this process.
        public static let closed = Code(kind: .closed)
        /// Only the holder may do this.
        public static let notOwner = Code(kind: .notOwner)
        /// Released, or marked done, more often than taken.
        public static let overReleased = Code(kind: .overReleased)
        /// The caller would wait for itself.
        public static let wouldDeadlock = Code(kind: .wouldDeadlock)
        /// The time was over.
        public static let timedOut = Code(kind: .timedOut)
        /// An argument makes no sense.
        public static let invalidArgument = Code(kind: .invalidArgument)
        /// A barrier broke: somebody timed out, aborted it or died.
        public static let broken = Code(kind: .broken)
        /// The queue is full. Python: `queue.Full`.
        public static let full = Code(kind: .full)
        /// The queue is empty. Python: `queue.Empty`.
        public static let empty = Code(kind: .empty)
        /// The queue was shut down. Python: `queue.ShutDown`.
        public static let shutDown = Code(kind: .shutDown)
        /// The item or message is larger than the limit. Python: `BufferTooShort` where a buffer is too small for it.
        public static let tooLarge = Code(kind: .tooLarge)
        /// The other end of a connection is closed or its process is gone.
        public static let peerGone = Code(kind: .peerGone)
        /// The name is taken. Python: `FileExistsError`.
        public static let exists = Code(kind: .exists)
        /// Nothing has that name. Python: `FileNotFoundError`.
        public static let notFound = Code(kind: .notFound)
        /// The peer is not who it has to be.
        public static let refused = Code(kind: .refused)

        public var description: String { kind.rawValue }
    }

    /// The kind of failure.
    public var code: Code
    /// The system's own error, where there is one.
    public var errno: Errno?
    /// What happened, in words.
    public var message: String

    init(_ code: Code, _ message: String, errno: Errno? = nil) {
        self.code = code
        self.message = message
        self.errno = errno
    }

    public var description: String {
        "\(message)\(errno.map { ": \($0) (errno \($0.rawValue))" } ?? "") [\(code)]"
    }

    public static func == (left: SharedStateError, right: SharedStateError) -> Bool {
        left.code == right.code
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(code)
    }
}
