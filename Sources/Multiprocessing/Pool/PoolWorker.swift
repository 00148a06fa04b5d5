internal import MultiprocessingSystem
internal import MultiprocessingWire
internal import Synchronization

/// The worker's side of a pool: takes messages in, runs one task at a time, reports.
///
/// Messages are given to ``receive(_:)``, also while a task runs, so that others can be taken back and that one be cancelled. Tasks
/// run in a Swift task each, one after the other, in the order in which they came: by themselves, or on a thread that a
/// ``WorkerDriver`` has for them.
final class PoolWorker: Sendable {
    private struct Assignment {
        var id: Int
        var function: Int
        var isLoose: Bool
        var content: TravellingBytes?
        var baggage: [UInt8]?
    }

    private struct State {
        /// As they came: they are rebuilt when a task wants them, so that whatever comes of that is this task's.
        var functions: [Int: TravellingBytes] = [:]
        var jobs: [Int: Job] = [:]
        /// What goes with the tasks of some functions.
        var baggage: [Int: [UInt8]] = [:]
        /// Those that are values, once a task has wanted them.
        var values: [Int: any Sendable] = [:]
        /// How long the items of functions for many items take.
        var paces: [Int: ChunkPace] = [:]
        var inbox: [Assignment] = []
        var running: (id: Int, task: Task<Void, Never>)?
        /// The task that has begun, and whether nobody wants it any more.
        var begun: Int?
        var isCancelled = false
        /// Set while the task is a loose chunk, from which items can be given back.
        var loose: LooseChunk?
        /// The pool has asked for it back, before it could see that it has begun.
        var isAskedFor = false
        var isRunning = false
        var mayLeave = false
        /// What the worker's set-up gave, for its tasks; nil until then, and if tasks want nothing of it.
        var context: (any WorkerContext)?
    }

    private let state = Mutex(State())
    private let send: @Sendable (PoolMessage) throws -> Void
    /// Sends a short value of a loose chunk, by the numbers of the task and of the item; false if it has to go by `send`.
    private let sendSingly: @Sendable (Int, Int, UnsafeRawBufferPointer) throws -> Bool
    /// Called once, when there is nothing left to do and nothing more to come.
    private let leave: @Sendable () -> Void

    /// Where tasks run; nil is the concurrency runtime's threads.
    private let executor: (any TaskExecutor)?
    /// Whether ``runNext(on:)`` is called for each task.
    private let isDriven: Bool
    /// Where to note what is begun; nil if the pool could not look there: then it is sent a message.
    private let place: WorkerPlace?
    /// Tells how many items of a task may begin; nil if the pool looks there, or does not mind.
    private let claim: (@Sendable (_ task: Int, _ items: Int) -> Void)?

    /// - Parameter send: throws if the message cannot be sent; not if the pool is gone.
    init(
        executor: (any TaskExecutor)? = nil,
        isDriven: Bool = false,
        place: WorkerPlace? = nil,
        claim: (@Sendable (_ task: Int, _ items: Int) -> Void)? = nil,
        send: @escaping @Sendable (PoolMessage) throws -> Void,
        sendSingly: @escaping @Sendable (Int, Int, UnsafeRawBufferPointer) throws -> Bool = { _, _, _ in false },
        leave: @escaping @Sendable () -> Void
    ) {
        self.executor = executor
        self.isDriven = isDriven
        self.place = place
        self.claim = claim
        self.send = send
        self.sendSingly = sendSingly
        self.leave = leave
    }

    /// Keeps what the set-up gave: before the first task.
    func setUp(_ context: any WorkerContext) {
        if !(context is EmptyContext) { state.withLock { $0.context = context } }
    }

    /// Takes one message in. Does not wait for what it asks for.
    func receive(_ message: PoolMessage) {
        switch message.kind {
        case .function:
            state.withLock { state in
                state.functions[message.number] = message.content
                if let baggage = message.baggage { state.baggage[message.number] = baggage }
            }
        case .forget:
            state.withLock { state in
                state.functions[message.number] = nil
                state.jobs[message.number] = nil
                state.baggage[message.number] = nil
                state.values[message.number] = nil
                state.paces[message.number] = nil
            }
        case .run:
            enqueue(
                Assignment(
                    id: message.task,
                    function: message.number,
                    isLoose: message.isLoose,
                    content: message.content,
                    baggage: message.baggage
                )
            )
        case .recall: giveBack(message.task)
        case .cancel: cancel(message.task)
        case .stop:
            let isIdle = state.withLock { state in
                state.mayLeave = true
                return !state.isRunning
            }
            if isIdle { leave() }
        case .ready, .began, .recalled, .partialResult, .singlyValues, .returned, .value, .failure, .setupFailed,
            .leaving,
            .exitFailed:
            break
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
        giveBackRest(of: id)
    }

    /// Gives back what has not begun of a loose chunk, and so has the pool notice the values that have left. For one that takes long.
    ///
    /// - Parameter task: only if it is this one; nil is whichever has begun.
    func giveBackRest(of task: Int? = nil) {
        let (id, loose) = state.withLock { ($0.begun, $0.loose) }
        guard let id, task == nil || task == id, let begun = loose?.close() else { return }
        try? send(PoolMessage(kind: .returned, task: id, number: begun))
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
        let answer = state.withLock { state -> PoolMessage.Kind? in
            if let place = state.inbox.firstIndex(where: { $0.id == id }) {
                state.inbox.remove(at: place)
                return .recalled
            }
            // Too late, which a pool that has to look for itself may not know, and nobody may want it any more.
            guard place != nil, state.begun == id else { return nil }
            state.isAskedFor = true
            return state.running == nil ? nil : .began
        }
        if let answer { try? send(PoolMessage(kind: answer, task: id)) }
    }

    private func enqueue(_ assignment: Assignment) {
        let starts = state.withLock { state in
            state.inbox.append(assignment)
            defer { state.isRunning = true }
            return !state.isRunning
        }
        if starts, !isDriven { Task.detached(executorPreference: executor) { await self.runAll() } }
    }

    /// Runs what is in the inbox until it is empty.
    private func runAll() async {
        while let assignment = next() {
            await begin(assignment, on: executor).value
            end()
        }
    }

    /// Whether ``runNext(on:)`` would run a task.
    var hasWork: Bool { state.withLock { !$0.inbox.isEmpty } }

    /// Runs the first task of the inbox on this thread; false if there is none.
    ///
    /// - Parameter began: called when it has begun.
    func runNext(on executor: ThisThreadExecutor, _ began: () -> Void) -> Bool {
        guard let assignment = next() else { return false }
        began()
        executor.runTask {
            begin(assignment, on: executor) { executor.finish() }
        }
        end()
        return true
    }

    @discardableResult
    private func begin(
        _ assignment: Assignment,
        on executor: (any TaskExecutor)?,
        _ done: @escaping @Sendable () -> Void = {}
    ) -> Task<Void, Never> {
        if let place {
            place.note(task: assignment.id)
        } else {
            try? send(PoolMessage(kind: .began, task: assignment.id))
        }
        let task = Task.detached(executorPreference: executor) {
            await self.run(assignment)
            done()
        }
        let (isCancelled, isAskedFor) = state.withLock { state in
            state.running = (assignment.id, task)
            return (state.isCancelled, state.isAskedFor)
        }
        if isCancelled { task.cancel() }
        // Not before it is noted: the pool looks there as well.
        if isAskedFor { try? send(PoolMessage(kind: .began, task: assignment.id)) }
        return task
    }

    private func end() {
        state.withLock { state in
            state.running = nil
            state.begun = nil
            state.loose = nil
        }
    }

    private func next() -> Assignment? {
        let (found, leaves) = state.withLock { state -> (Assignment?, Bool) in
            guard !state.inbox.isEmpty else {
                defer { state.isRunning = false }
                // Once: without tasks since the last time there is nothing to leave anew.
                return (nil, state.isRunning && state.mayLeave)
            }
            var assignment = state.inbox.removeFirst()
            if assignment.function > 0 { assignment.baggage = state.baggage[assignment.function] }
            state.begun = assignment.id
            (state.isCancelled, state.isAskedFor) = (false, false)
            return (assignment, false)
        }
        if leaves { leave() }
        return found
    }

    /// Runs the exit hook, if there is one, and says what came of it. To be called when the worker was let go of.
    func leave(within limit: Duration) async {
        guard let context = state.withLock({ $0.context }), context.hasExitHook else { return }
        try? send(PoolMessage(kind: .leaving))
        guard let error = await context.leave(within: limit, on: executor) else { return }
        try? send(PoolMessage(kind: .exitFailed, content: TravellingBytes(ErrorCoding.encode(error))))
    }

    private func run(_ assignment: Assignment) async {
        let begin = ContinuousClock.now
        var message = PoolMessage(kind: .failure, task: assignment.id)
        do {
            message.content = TravellingBytes(try await result(of: assignment))
            let (seconds, attoseconds) = (ContinuousClock.now - begin).components
            message.kind = .value
            message.number = Int(seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
        } catch {
            message.content = TravellingBytes(ErrorCoding.encode(Self.explained(error)))
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

    private static func explained(_ error: any Error) -> any Error {
        guard error is ClosureError else { return error }
        return PoolError(.cannotTravel, "The function, an argument or the result cannot travel: \(error)")
    }

    private func result(of assignment: Assignment) async throws -> EncodedPieces {
        guard let context = state.withLock({ $0.context }) else { return try await callWithBaggage(assignment) }
        return try await CurrentWorker.$context.withValue(context) { try await callWithBaggage(assignment) }
    }

    private func callWithBaggage(_ assignment: Assignment) async throws -> EncodedPieces {
        guard let baggage = assignment.baggage else { return try await call(assignment) }
        return try await TaskBaggage.unpack(baggage) { try await call(assignment) }
    }

    private func call(_ assignment: Assignment) async throws -> EncodedPieces {
        let content = assignment.content ?? TravellingBytes([])
        if assignment.function == 0 { return try await call(content) }
        if assignment.function < 0 {
            return try await CurrentWorker.$worker.withValue(self) { try await call(content) }
        }
        let (id, send) = (assignment.id, send)
        let sendPart: @Sendable (EncodedPieces) throws -> Void = {
            try send(PoolMessage(kind: .partialResult, task: id, content: TravellingBytes($0)))
        }
        var loose: LooseChunk?
        if assignment.isLoose {
            let sendSingly = sendSingly
            loose = LooseChunk {
                try sendSingly(id, $0, $1)
            } explain: {
                Self.explained($0)
            }
            let isCancelled = state.withLock { state in
                state.loose = loose
                return state.isCancelled
            }
            if isCancelled { _ = loose?.close() }
        }
        let reporter =
            place?.reporter(of: id, loose, send: sendPart)
            ?? ChunkReporter(word: nil, tag: 0, claims: claims(assignment), loose: loose, send: sendPart)
        return try await ChunkReporter.$current.withValue(reporter) { try await call(assignment.function, content) }
    }

    private func claims(_ assignment: Assignment) -> ChunkReporter.Claims? {
        guard let claim else { return nil }
        let pace = state.withLock { state in
            let pace = state.paces[assignment.function] ?? ChunkPace()
            if state.functions[assignment.function] != nil { state.paces[assignment.function] = pace }
            return pace
        }
        return ChunkReporter.Claims(pace: pace) { [id = assignment.id] in claim(id, $0) }
    }

    private func call(_ content: TravellingBytes) async throws -> EncodedPieces {
        let job = try Self.rebuilt(content)
        guard job.isAsync else { return try job.runSynchronously() }
        return try await elsewhere { try await job.run() }
    }

    private func call(_ function: Int, _ content: TravellingBytes) async throws -> EncodedPieces {
        let job = try job(function)
        guard job.isAsync else {
            return try content.withBytes { try job.runSynchronously(argumentsAt: $0, objects: content.objects) }
        }
        let arguments = content.stable
        defer { withExtendedLifetime(arguments) {} }
        return try await elsewhere { try await job.run(argumentsAt: arguments.bytes, objects: content.objects) }
    }

    /// What may suspend, and have tasks of its own, is not to depend on the one thread of a driver.
    private func elsewhere(_ body: @Sendable () async throws -> EncodedPieces) async throws -> EncodedPieces {
        guard isDriven else { return try await body() }
        return try await withTaskExecutorPreference(globalConcurrentExecutor) { try await body() }
    }

    private static func rebuilt(_ content: TravellingBytes) throws -> Job {
        try content.withBytes { try Job(decoding: $0, objects: content.objects) }
    }

    /// A value that is kept here. The first task that wants it decodes it.
    func value<Value: Sendable>(_ number: Int, as type: Value.Type) throws -> Value {
        let (known, content) = state.withLock { ($0.values[number], $0.functions[number]) }
        if let known = known as? Value { return known }
        guard let content else { throw PoolError(.cannotTravel, "The shared value did not arrive in the worker") }
        let value = try content.withBytes { try Job.decodeResult($0, objects: content.objects, as: Value.self) }
        state.withLock { state in
            if state.functions[number] != nil { state.values[number] = value }
        }
        return value
    }

    private func job(_ number: Int) throws -> Job {
        let (job, content) = state.withLock { ($0.jobs[number], $0.functions[number]) }
        if let job { return job }
        guard let content else { throw PoolError(.cannotTravel, "The function did not arrive in the worker") }
        let rebuilt = try Self.rebuilt(content)
        state.withLock { state in
            if state.functions[number] != nil { state.jobs[number] = rebuilt }
        }
        return rebuilt
    }
}
