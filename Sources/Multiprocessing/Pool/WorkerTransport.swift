/// How a pool gets workers and talks to them.
///
/// Three come with the library: processes of this machine, threads of this process, and whoever comes over a socket. Nothing in the pool
/// assumes where a worker is: it may come up late, vanish at any moment, and knows only what it is sent.
protocol WorkerTransport: Sendable {
    /// Starts a worker. Does not wait for it to come up.
    ///
    /// - Parameter report: called for each message and, once, for the end, after which nothing counts.
    func start(_ name: String, report: @escaping @Sendable (WorkerEvent) -> Void) -> any WorkerLink

    /// Called when the last worker is gone and there will be no other; calls `done` when nothing of them is on its way any more, and
    /// nothing is held for them.
    func finish(_ done: @escaping @Sendable () -> Void)

    /// Whether items that would go alone may go as a loose chunk: the values of a worker that died have all arrived before its end is
    /// reported, and it is known at which item it was.
    var takesLooseChunks: Bool { get }
}

extension WorkerTransport {
    func finish(_ done: @escaping @Sendable () -> Void) { done() }
    var takesLooseChunks: Bool { false }
}

/// A worker as its pool sees it.
protocol WorkerLink: Sendable {
    /// Sends a message, in order, and waits for nothing. A worker that is gone gets nothing; its end is reported.
    func send(_ message: PoolMessage)
    /// Ends the worker at once, whatever it is doing. Its end is reported all the same.
    func kill()
    /// The worker's process, once it has one that this machine knows by its id.
    var processIdentifier: Int32? { get }
    /// Whether nobody has come yet, and the pool cannot say when: what it may take to come up is counted from ``WorkerEvent/came`` on.
    var isAwaited: Bool { get }
    /// The task that the worker has begun last, as it noted at a place that it shares with its pool; nil if it has none, and tells by
    /// messages instead. It stays there when the worker has died.
    var begun: Int? { get }
    /// Keeps the worker from beginning anything after a task, because it will be killed for that one; false if it has begun
    /// something already, and must not be. Where that cannot be told from here it is true, and what has begun is begun again elsewhere.
    func condemn(for task: Int) -> Bool
    /// How far the worker is, or was when it ended, in a task over many items; nil if that cannot be told from here.
    func position(in task: Int) -> ChunkPosition?
}

extension WorkerLink {
    var isAwaited: Bool { false }
    var begun: Int? { nil }
    func position(in task: Int) -> ChunkPosition? { nil }
    func condemn(for task: Int) -> Bool { true }
}

enum WorkerEvent: Sendable {
    /// One that was awaited is there, and is coming up.
    case came
    case message(PoolMessage)
    /// It is gone; the error says why, if it did not leave by itself.
    case ended((any Error)?)
    /// It is gone, and so what: it had come by itself, and whoever does may go again. Otherwise like `ended`.
    case left((any Error)?)
}
