internal import MultiprocessingSystem
internal import MultiprocessingWire
internal import Synchronization

/// The worker's side of a pool: takes messages in, runs one task at a time, reports.
///
/// Messages are read by whoever called ``receive(_:)``, a thread that does nothing else, so that a task can be taken back or
/// cancelled while another one runs. Tasks run in a Swift task each, one after the other, in the order in which they came.
final class PoolWorker: Sendable {
    private struct Assignment {
        var id: Int
        var function: Int
        var content: TravellingBytes?
    }

    private struct State {
        /// As they came: they are rebuilt when a task wants them, so that whatever comes of that is this task's.
        var functions: [Int: TravellingBytes] = [:]
        var jobs: [Int: Job] = [:]
        var inbox: [Assignment] = []
        var running: (id: Int, task: Task<Void, Never>)?
        /// The task that has begun, and whether nobody wants it any more.
        var begun: Int?
        var isCancelled = false
        var isRunning = false
        var mayLeave = false
    }

    private let state = Mutex(State())
    private let send: @Sendable (PoolMessage) throws -> Void
    /// Called once, when there is nothing left to do and nothing more to come.
    private let leave: @Sendable () -> Void

    /// Where tasks run; nil is the concurrency runtime's threads.
    private let executor: (any TaskExecutor)?

    /// - Parameter send: throws if the message cannot be sent; not if the pool is gone.
    init(
        executor: (any TaskExecutor)? = nil,
        send: @escaping @Sendable (PoolMessage) throws -> Void,
        leave: @escaping @Sendable () -> Void
    ) {
        self.executor = executor
        self.send = send
        self.leave = leave
    }

    /// Takes one message in. Does not wait for what it asks for.
    func receive(_ message: PoolMessage) {
        switch message.kind {
        case .function: state.withLock { $0.functions[message.number] = message.content }
        case .forget:
            state.withLock { state in
                state.functions[message.number] = nil
                state.jobs[message.number] = nil
            }
        case .run: enqueue(Assignment(id: message.task, function: message.number, content: message.content))
        case .recall: giveBack(message.task)
        case .cancel: cancel(message.task)
        case .stop:
            let isIdle = state.withLock { state in
                state.mayLeave = true
                return !state.isRunning
            }
            if isIdle { leave() }
        case .ready, .began, .recalled, .value, .failure, .setupFailed: break
        }
    }

    /// Cancels the Swift task of a task that has begun; nil is whichever that is.
    func cancel(_ id: Int?) {
        let task = state.withLock { state -> Task<Void, Never>? in
            guard let begun = state.begun, id == nil || begun == id else { return nil }
            state.isCancelled = true
            return state.running?.task
        }
        task?.cancel()
    }

    /// Drops what has not begun, cancels what has, and leaves when that has ended: the pool is gone.
    func abandon() {
        let isIdle = state.withLock { state in
            state.inbox = []
            state.mayLeave = true
            return !state.isRunning
        }
        cancel(nil)
        if isIdle { leave() }
    }

    private func giveBack(_ id: Int) {
        let found = state.withLock { state -> Bool in
            guard let place = state.inbox.firstIndex(where: { $0.id == id }) else { return false }
            state.inbox.remove(at: place)
            return true
        }
        if found { try? send(PoolMessage(kind: .recalled, task: id)) }
    }

    private func enqueue(_ assignment: Assignment) {
        let starts = state.withLock { state in
            state.inbox.append(assignment)
            defer { state.isRunning = true }
            return !state.isRunning
        }
        if starts { Task.detached(executorPreference: executor) { await self.runAll() } }
    }

    /// Runs what is in the inbox until it is empty.
    private func runAll() async {
        while let assignment = next() {
            try? send(PoolMessage(kind: .began, task: assignment.id))
            let task = Task.detached(executorPreference: executor) { await self.run(assignment) }
            let isCancelled = state.withLock { state in
                state.running = (assignment.id, task)
                return state.isCancelled
            }
            if isCancelled { task.cancel() }
            await task.value
            state.withLock { state in
                state.running = nil
                state.begun = nil
            }
        }
    }

    private func next() -> Assignment? {
        let (found, leaves) = state.withLock { state -> (Assignment?, Bool) in
            guard !state.inbox.isEmpty else {
                state.isRunning = false
                return (nil, state.mayLeave)
            }
            let assignment = state.inbox.removeFirst()
            state.begun = assignment.id
            state.isCancelled = false
            return (assignment, false)
        }
        if leaves { leave() }
        return found
    }

    private func run(_ assignment: Assignment) async {
        let begin = ContinuousClock.now
        var message = PoolMessage(kind: .failure, task: assignment.id)
        do {
            message.content = TravellingBytes(try await result(of: assignment))
            let (seconds, attoseconds) = (ContinuousClock.now - begin).components
            message.kind = .value
            message.number = Int(seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
        } catch let error as ClosureError {
            let refused = PoolError(.cannotTravel, "The function, an argument or the result cannot travel: \(error)")
            message.content = TravellingBytes(ErrorCoding.encode(refused))
        } catch {
            message.content = TravellingBytes(ErrorCoding.encode(error))
        }
        do {
            try send(message)
        } catch {
            // The task has to resolve, whatever is wrong with its result.
            let refused = PoolError(.cannotTravel, "The result cannot be sent: \(error)")
            let content = TravellingBytes(ErrorCoding.encode(refused))
            try? send(PoolMessage(kind: .failure, task: assignment.id, content: content))
        }
    }

    private func result(of assignment: Assignment) async throws -> EncodedPieces {
        let content = assignment.content ?? TravellingBytes([])
        if assignment.function == 0 { return try await Job(decoding: content.pieces).run() }
        return try await job(assignment.function).run(arguments: content.pieces)
    }

    private func job(_ number: Int) throws -> Job {
        let (job, content) = state.withLock { ($0.jobs[number], $0.functions[number]) }
        if let job { return job }
        guard let content else { throw PoolError(.cannotTravel, "The function did not arrive in the worker") }
        let rebuilt = try Job(decoding: content.pieces)
        state.withLock { state in
            if state.functions[number] != nil { state.jobs[number] = rebuilt }
        }
        return rebuilt
    }
}
