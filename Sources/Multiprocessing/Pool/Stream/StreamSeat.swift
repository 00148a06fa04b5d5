internal import Synchronization

/// A place in a pool for a worker that comes over a socket: what the pool holds on to, whether anybody has come or not.
final class StreamSeat: WorkerLink {
    /// What invitations call it. Numbers are not used again.
    let number: Int
    let name: String
    /// Whether it is for whoever comes by itself.
    let isOpen: Bool
    let report: @Sendable (WorkerEvent) -> Void

    private struct State {
        /// Once somebody has come.
        var channel: StreamChannel?
        /// The worker, if it is a child of this process.
        var child: ChildProcess<Void>?
        var isKilled = false
        var conduct = WorkerConduct()
        /// Functions that could not be sent, and why: their tasks are refused as well.
        var refusedFunctions: [Int: PoolError] = [:]
    }

    private let state = Mutex(State())
    private let limit: Int
    /// Lets go of its seats when it is closed.
    private let hub: StreamHub

    init(
        number: Int,
        name: String,
        isOpen: Bool,
        limit: Int,
        hub: StreamHub,
        report: @escaping @Sendable (WorkerEvent) -> Void
    ) {
        self.number = number
        self.name = name
        self.isOpen = isOpen
        self.limit = limit
        self.hub = hub
        self.report = report
    }

    // MARK: For the pool

    func send(_ message: PoolMessage) {
        guard let channel = state.withLock({ $0.channel }) else {
            // Who has not come has no tasks either. All that can be meant for it is that it need not come.
            if message.kind == .stop { hub.give(.vacate(self)) }
            return
        }
        do {
            if message.kind == .run, let error = state.withLock({ $0.refusedFunctions[message.number] }) { throw error }
            if message.kind == .forget { state.withLock { $0.refusedFunctions[message.number] = nil } }
            let frame = try StreamMessages.frame(of: message, limit: limit)
            if message.kind == .run { state.withLock { $0.conduct.noteSent(message.task) } }
            channel.send(frame)
        } catch {
            refuse(message, error as? PoolError ?? PoolError(.cannotTravel, "The task cannot be sent: \(error)"))
        }
    }

    /// A task that cannot be sent would not get to any other worker either.
    private func refuse(_ message: PoolMessage, _ error: PoolError) {
        if message.kind == .function { state.withLock { $0.refusedFunctions[message.number] = error } }
        guard message.kind == .run else { return }
        let content = TravellingBytes(ErrorCoding.encode(error))
        report(.message(PoolMessage(kind: .failure, task: message.task, content: content)))
    }

    func kill() {
        let (channel, child) = state.withLock { state in
            state.isKilled = true
            return (state.channel, state.child)
        }
        try? child?.kill()
        // Without its pool a worker ends, wherever it is.
        channel?.end()
        if channel == nil { hub.give(.vacate(self)) }
    }

    /// Of a process of this machine: another machine's id means nothing here.
    var processIdentifier: Int32? { state.withLock { $0.child?.processIdentifier } }

    var isAwaited: Bool { state.withLock { $0.channel == nil } }

    func position(in task: Int) -> ChunkPosition? { state.withLock { $0.conduct.position(in: task) } }

    // MARK: For the hub

    /// Somebody came.
    func join(_ channel: StreamChannel) {
        let isKilled = state.withLock { state in
            state.channel = channel
            return state.isKilled
        }
        if isKilled { channel.end() }
        report(.came)
    }

    /// A process of this machine was started for it.
    func join(_ child: ChildProcess<Void>) {
        let isKilled = state.withLock { state in
            state.child = child
            return state.isKilled
        }
        if isKilled { try? child.kill() }
    }

    /// The worker has said something.
    func note(_ message: PoolMessage) throws(StreamFault) {
        try conduct { (conduct) throws(StreamFault) in try conduct.note(message) }
    }

    func note(claim: (task: Int, items: Int)) throws(StreamFault) {
        try conduct { (conduct) throws(StreamFault) in try conduct.note(claim: claim.items, of: claim.task) }
    }

    private func conduct(_ body: (inout WorkerConduct) throws(StreamFault) -> Void) throws(StreamFault) {
        let result: Result<Void, StreamFault> = state.withLock { state in
            do throws(StreamFault) { return .success(try body(&state.conduct)) } catch { return .failure(error) }
        }
        try result.get()
    }

    /// The stream has ended; its descriptor is not to be kept.
    ///
    /// - Parameter isWhole: whether everything came that the worker has sent: else nobody knows how far it is.
    func leave(isWhole: Bool) {
        state.withLock { state in
            state.channel = nil
            if !isWhole { state.conduct.loseTrack() }
        }
    }

    /// Ends the process, if it is one of this machine, now or when it has started.
    func killChild() {
        let child = state.withLock { state in
            state.isKilled = true
            return state.child
        }
        try? child?.kill()
    }
}
