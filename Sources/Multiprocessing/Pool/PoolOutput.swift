/// What becomes of what the workers of a pool write to their standard output and error.
public struct PoolOutput: Sendable {
    enum Kind: Sendable {
        case inherited, discarded, tagged
        case lines(@Sendable (PoolOutputLine) -> Void)
    }
    let kind: Kind

    /// Goes where ``PoolOptions/process`` says: by default to this process's own streams, as it comes.
    public static let inherited = PoolOutput(kind: .inherited)
    /// Goes nowhere. The reports on crashes still quote the end of standard error.
    public static let discarded = PoolOutput(kind: .discarded)
    /// Goes to this process's standard output and error, a line at a time, with the worker and the stream in front of it:
    /// `[Pool-3 stderr] …`.
    public static let tagged = PoolOutput(kind: .tagged)
    /// Goes to a closure, line by line.
    ///
    /// It is called in one thread, which it may block; the lines of a stream come in their order. Each line comes that was written
    /// before its worker ended, however that was, and all of them before the pool has ended. When it falls behind by a megabyte
    /// the workers wait at their next write.
    public static func lines(_ body: @escaping @Sendable (PoolOutputLine) -> Void) -> PoolOutput {
        PoolOutput(kind: .lines(body))
    }
}

/// A line that a worker wrote.
public struct PoolOutputLine: Hashable, Sendable, CustomStringConvertible {
    /// The streams that a process writes to; more may be added.
    public struct Stream: Hashable, Sendable, CustomStringConvertible {
        private enum Kind: String, Hashable { case stdout, stderr }
        private let kind: Kind

        /// Standard output.
        public static let standardOutput = Stream(kind: .stdout)
        /// Standard error.
        public static let standardError = Stream(kind: .stderr)

        public var description: String { kind.rawValue }
    }

    /// The worker's name.
    public var worker: String
    /// Where the worker wrote it.
    public var stream: Stream
    /// The line, without its end. What is no UTF-8 is repaired; lines of more than 16 KiB come in pieces.
    public var text: String

    public var description: String { "[\(worker) \(stream)] \(text)" }
}
