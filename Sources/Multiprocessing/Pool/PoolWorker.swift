internal import MultiprocessingSystem
internal import MultiprocessingWire
internal import Synchronization

/// The worker's side of a pool: takes messages in, runs one task at a time, reports.
///
/// Messages are read by whoever called ``read(_:)``, a thread that does nothing else, so that a task can be taken back or
/// cancelled while another one runs. Tasks run in a Swift task each, one after the other, in the order in which they came.
final class PoolWorker: Sendable {
    private struct Assignment {
        var id: Int
        var function: Int
        var content: TravellingBytes?
    }

    private struct State {
        var functions: [Int: Job] = [:]
        var inbox: [Assignment] = []
        var running: (id: Int, task: Task<Void, Never>)?
        var isRunning = false
        var mayLeave = false
    }

    private let state = Mutex(State())
    private let send: @Sendable (PoolMessage) -> Void
    /// Called once, when there is nothing left to do and nothing more to come.
    private let leave: @Sendable () -> Void

    init(send: @escaping @Sendable (PoolMessage) -> Void, leave: @escaping @Sendable () -> Void) {
        self.send = send
        self.leave = leave
    }

    /// Takes one message in. Does not wait for what it asks for.
    func receive(_ message: PoolMessage) {
        switch message.kind {
        case .function: keep(message)
        case .forget: state.withLock { _ = $0.functions.removeValue(forKey: message.number) }
        case .run: enqueue(Assignment(id: message.task, function: message.number, content: message.content))
        case .recall: giveBack(message.task)
        case .cancel:
            state.withLock { $0.running?.id == message.task ? $0.running?.task : nil }?.cancel()
        case .stop:
            let isIdle = state.withLock { state in
                state.mayLeave = true
                return !state.isRunning
            }
            if isIdle { leave() }
        case .ready, .began, .recalled, .value, .failure, .setupFailed: break
        }
    }

    private func keep(_ message: PoolMessage) {
        guard let content = message.content else { return }
        // One that cannot be rebuilt fails the tasks that want it.
        guard let job = try? Job(decoding: EncodedPieces(pieces: [content.bytes], objects: content.objects)) else {
            return
        }
        state.withLock { $0.functions[message.number] = job }
    }

    private func giveBack(_ id: Int) {
        let found = state.withLock { state -> Bool in
            guard let place = state.inbox.firstIndex(where: { $0.id == id }) else { return false }
            state.inbox.remove(at: place)
            return true
        }
        if found { send(PoolMessage(kind: .recalled, task: id)) }
    }

    private func enqueue(_ assignment: Assignment) {
        let starts = state.withLock { state in
            state.inbox.append(assignment)
            defer { state.isRunning = true }
            return !state.isRunning
        }
        if starts { Task.detached { await self.runAll() } }
    }

    /// Runs what is in the inbox until it is empty.
    private func runAll() async {
        while let (assignment, job) = next() {
            send(PoolMessage(kind: .began, task: assignment.id))
            let task = Task.detached { await self.run(assignment, job) }
            // Cancelled between the two: it finds out at its first look.
            state.withLock { $0.running = (assignment.id, task) }
            await task.value
            state.withLock { $0.running = nil }
        }
    }

    private func next() -> (Assignment, Job?)? {
        let (found, leaves) = state.withLock { state -> ((Assignment, Job?)?, Bool) in
            guard !state.inbox.isEmpty else {
                state.isRunning = false
                return (nil, state.mayLeave)
            }
            let assignment = state.inbox.removeFirst()
            return ((assignment, state.functions[assignment.function]), false)
        }
        if leaves { leave() }
        return found
    }

    private func run(_ assignment: Assignment, _ job: Job?) async {
        let begin = ContinuousClock.now
        do {
            let result: EncodedPieces
            let content = assignment.content ?? TravellingBytes([])
            let encoded = EncodedPieces(pieces: [content.bytes], objects: content.objects)
            if assignment.function == 0 {
                result = try await Job(decoding: encoded).run()
            } else if let job {
                result = try await job.run(arguments: encoded)
            } else {
                throw ProcessError(
                    .cannotTravel,
                    "The function of task \(assignment.id) could not be rebuilt in the worker"
                )
            }
            let (seconds, attoseconds) = (ContinuousClock.now - begin).components
            send(
                PoolMessage(
                    kind: .value,
                    task: assignment.id,
                    number: Int(seconds * 1_000_000_000 + attoseconds / 1_000_000_000),
                    content: TravellingBytes(result)
                )
            )
        } catch let error as ClosureError {
            let refused = ProcessError(.cannotTravel, "An argument or the result cannot travel: \(error)")
            send(
                PoolMessage(kind: .failure, task: assignment.id, content: TravellingBytes(ErrorCoding.encode(refused)))
            )
        } catch {
            send(PoolMessage(kind: .failure, task: assignment.id, content: TravellingBytes(ErrorCoding.encode(error))))
        }
    }
}
