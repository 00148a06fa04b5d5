/// What a worker at the other end of a stream was sent, has said, and so may say next; and how far it is.
///
/// A worker that says anything else is not to be relied on: its end is an error of its own, and what it said goes no further.
struct WorkerConduct {
    private var isUp = false
    private var hasFailed = false
    /// What it was sent and has neither answered nor given back.
    private var tasks: Set<Int> = []
    private var begun: Int?
    /// How many items of that task may have begun; nil is none.
    private var claimed: Int?
    /// What it has claimed may not be all that it did.
    private var isUncertain = false

    /// It is about to be sent a task.
    mutating func noteSent(_ task: Int) { tasks.insert(task) }

    /// - Throws: ``StreamFault`` for what it cannot have to say.
    mutating func note(_ message: PoolMessage) throws(StreamFault) {
        let task = message.task
        switch message.kind {
        case .ready, .setupFailed:
            guard !isUp, !hasFailed else { throw fault("once more: \(message.kind)") }
            if message.kind == .ready { isUp = true } else { hasFailed = true }
        case .began:
            guard begun == nil, tasks.contains(task) else { throw fault("that it began task \(task)") }
            (begun, claimed) = (task, nil)
        case .recalled:
            guard begun != task, tasks.remove(task) != nil else { throw fault("that it gives task \(task) back") }
        case .partialResult:
            guard begun == task else { throw fault("values of task \(task)") }
        case .value, .failure:
            guard begun == task, message.number >= 0 else { throw fault("a result of task \(task)") }
            tasks.remove(task)
            (begun, claimed) = (nil, nil)
        case .leaving, .exitFailed:
            guard isUp, begun == nil else { throw fault("\(message.kind)") }
        // Nor is it sent loose chunks, of which it could say this.
        case .singlyValues, .returned, .function, .forget, .run, .recall, .cancel, .stop: throw fault("\(message.kind)")
        }
    }

    /// It says that so many items of a task may have begun from now on.
    mutating func note(claim items: Int, of task: Int) throws(StreamFault) {
        guard begun == task, items > 0 else { throw fault("that it has \(items) items of task \(task)") }
        claimed = items
    }

    private func fault(_ what: String) -> StreamFault { .malformed("it said \(what), which cannot be") }

    /// Its connection has ended in a way that something may be missing of what it sent, or that it goes on.
    mutating func loseTrack() { isUncertain = true }

    /// Where it is, or was, in a task; nil if that is not known.
    func position(in task: Int) -> ChunkPosition? {
        guard begun == task, !isUncertain else { return nil }
        return claimed.map { .before($0) } ?? .noItem
    }
}
