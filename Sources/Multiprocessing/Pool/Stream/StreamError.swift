public import SystemPackage

/// What goes wrong when a worker and its pool meet over a socket.
///
/// The worker's side throws it from ``PoolWorkerProgram``, the pool's side from ``Pool``'s initialiser and to
/// ``StreamWorkers/onRefusal``. Two errors are equal when their codes are. The rest is for the reader.
public struct StreamError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What kind of failure it is; more may be added.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Kind: String, Hashable {
            case invalidArgument, outOfResources, addressInUse, unreachable, stranger, otherExecutable, otherVersion
            case noPlace, poolLost, malformed
        }
        private let kind: Kind

        /// An argument makes no sense.
        public static let invalidArgument = Code(kind: .invalidArgument)
        /// The system has no room: see ``StreamError/errno``.
        public static let outOfResources = Code(kind: .outOfResources)
        /// Somebody else listens at the pool's address, or a pool that was killed left its path.
        public static let addressInUse = Code(kind: .addressInUse)
        /// Nobody answers at the address.
        public static let unreachable = Code(kind: .unreachable)
        /// The other side did not prove to know the secret, or said nothing in time.
        public static let stranger = Code(kind: .stranger)
        /// The worker runs another executable, or another build of it: closures mean nothing there.
        public static let otherExecutable = Code(kind: .otherExecutable)
        /// The other side speaks another version of the protocol.
        public static let otherVersion = Code(kind: .otherVersion)
        /// The pool has as many workers as it wants, or has ended.
        public static let noPlace = Code(kind: .noPlace)
        /// The pool was lost: it is gone, the way to it is broken, or nothing was heard of it for too long.
        public static let poolLost = Code(kind: .poolLost)
        /// What came is not what it should be.
        public static let malformed = Code(kind: .malformed)

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

    public static func == (left: StreamError, right: StreamError) -> Bool {
        left.code == right.code
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(code)
    }
}
