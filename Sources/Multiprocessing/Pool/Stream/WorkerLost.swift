/// A worker that was joined to its pool by a socket, and was lost.
///
/// For the task that it was running: what ``ProcessCrash`` is for a worker whose process the pool can see. A pool cannot know whether
/// the worker died, its machine did, or the way between them broke; the task may have run to its end, or still run for a moment.
public struct WorkerLost: IndexedError, Sendable, Hashable, Codable, CustomStringConvertible {
    /// How it was noticed; more may be added.
    public struct Reason: Hashable, Sendable, Codable, CustomStringConvertible {
        private enum Kind: String, Hashable, Codable {
            case connectionLost, silent, stalled, malformed, neverCame
        }
        private let kind: Kind

        /// The connection ended.
        public static let connectionLost = Reason(kind: .connectionLost)
        /// Nothing was heard of it for ``StreamWorkers/silenceLimit``.
        public static let silent = Reason(kind: .silent)
        /// It took in nothing of what it was sent for ``StreamWorkers/silenceLimit``.
        public static let stalled = Reason(kind: .stalled)
        /// It sent what is no message, one that is too long, or one that it cannot have to send.
        public static let malformed = Reason(kind: .malformed)
        /// It was started, and did not come.
        public static let neverCame = Reason(kind: .neverCame)

        public var description: String {
            switch kind {
            case .connectionLost: "connection lost"
            case .silent: "nothing heard of it"
            case .stalled: "it took in nothing"
            case .malformed: "malformed message"
            case .neverCame: "it never came"
            }
        }
    }

    /// The name of the worker in its pool.
    public var workerName: String
    /// How it was noticed.
    public var reason: Reason
    /// The name of its machine, as it said; nil if it never came.
    public var host: String?
    /// Its process id on its machine, as it said; nil if it never came.
    public var processIdentifier: Int32?
    /// The other end of the connection, in numbers; nil if it never came.
    public var peer: String?
    /// What else is known.
    public var detail: String?
    /// What it was doing; nil if it ran no task.
    public var task: String?
    /// The index of the item of a map that it was at, counted from zero over the whole input; nil where that is not one alone.
    public var item: Int?
    /// How many workers were lost to the task, or the item, this one among them.
    public var attempts = 1

    init(_ reason: Reason, worker name: String, detail: String? = nil) {
        workerName = name
        self.reason = reason
        self.detail = detail
    }

    public var description: String {
        var text = "\(workerName) was lost: \(reason)"
        if let detail { text += " (\(detail))" }
        if let task { text += " in \(task)" }
        if let item { text += ", at item \(item)" }
        if let host, let processIdentifier { text += " [pid \(processIdentifier) on \(host), at \(peer ?? "?")]" }
        return text
    }
}
