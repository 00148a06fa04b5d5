internal import MultiprocessingSystem
internal import Synchronization

/// The two threads of a worker process, which share the reading of its messages.
///
/// The first reads a message, and does at once what it asks for: a task runs on the thread that read it, and no other has to be
/// woken. As long as it is at a task nobody reads. Once a task has taken a millisecond, the second thread reads in its place, so
/// that tasks can be taken back and cancelled; until that task has ended. A loose chunk gives back then what has
/// not begun of it.
final class WorkerDriver: Sendable {
    private let connection: Connection
    private let worker: PoolWorker
    /// Called when nothing more can come.
    private let disconnected: @Sendable () -> Void
    private let executor = ThisThreadExecutor()

    /// Whether one of the two reads.
    private let isReading = Atomic(false)
    /// Rung when the second thread has read something, or reads no more.
    private let bell = FutexCell()
    private let spin = AdaptiveSpin()
    private let isOver = Atomic(false)

    /// Odd while a task runs. The second thread sleeps on it when it has been even for long.
    private let turn = FutexCell()
    private let secondSleeps = Atomic(false)
    private let hasSecond = Atomic(false)

    private static let patience: Duration = .milliseconds(1)
    /// How often the second thread looks in vain before it sleeps until it is woken.
    private static let vigil = 50

    init(_ connection: Connection, _ worker: PoolWorker, disconnected: @escaping @Sendable () -> Void) {
        self.connection = connection
        self.worker = worker
        self.disconnected = disconnected
    }

    /// - Parameter niceness: of the first thread. The process's own is not passed on: Dispatch gives its threads, of which one may
    ///   call this, a niceness after their quality of service where it has the right to.
    func start(niceness: Int? = nil) throws {
        try Thread.detach(named: "mp-pool-worker") {
            if let niceness { try? ThisProcess.setNiceness(CInt(clamping: niceness)) }
            self.run()
        }
    }

    // MARK: The first thread

    private func run() {
        while !isOver.load(ordering: .acquiring) {
            if worker.runNext(on: executor, beginTurn) {
                advanceTurn()
            } else if takeReading() {
                // Unless the second thread has read a task just before it gave up reading.
                if !worker.hasWork { readOne() }
                isReading.store(false, ordering: .sequentiallyConsistent)
            } else {
                awaitSecond()
            }
        }
    }

    /// Waits until there is work, or nobody reads.
    private func awaitSecond() {
        _ = try? Wait.blocking(deadline: .never, spin: spin) { _ -> Attempt<Void> in
            // Read before looking: what changes afterwards changes it.
            let rung = bell.value
            if worker.hasWork || !isReading.load(ordering: .sequentiallyConsistent) { return .done(()) }
            return .wait(bell.word, while: rung)
        }
    }

    private func beginTurn() {
        advanceTurn()
        if !hasSecond.load(ordering: .relaxed) {
            hasSecond.store(true, ordering: .relaxed)
            // Without it, tasks cannot be taken back or cancelled while another runs, but done.
            do {
                try Thread.detach(named: "mp-pool-reader") { self.watch() }
            } catch {
                hasSecond.store(false, ordering: .relaxed)
            }
        } else if secondSleeps.load(ordering: .sequentiallyConsistent) {
            turn.word.wake()
        }
    }

    private func advanceTurn() {
        turn.word.atomic.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
    }

    // MARK: Reading

    private func takeReading() -> Bool {
        !isReading.exchange(true, ordering: .sequentiallyConsistent)
    }

    /// - Parameter limit: how long to wait for a message; nil is without end.
    /// - Returns: whether something has come, or nothing can come any more.
    @discardableResult
    private func readOne(within limit: Duration? = nil) -> Bool {
        do {
            worker.receive(try PoolMessage.received(from: connection, timeout: limit))
        } catch let error as SharedStateError where limit != nil && error.code == .timedOut {
            return false
        } catch {
            isOver.store(true, ordering: .releasing)
            disconnected()
        }
        return true
    }

    // MARK: The second thread

    private func watch() {
        var looks = 0
        while !isOver.load(ordering: .acquiring) {
            let seen = turn.value
            if seen & 1 == 0, looks >= Self.vigil {
                sleep(at: seen)
                looks = 0
            }
            ThisProcess.pause(Self.patience)
            looks = turn.value == seen ? looks + 1 : 0
            guard seen & 1 == 1, turn.value == seen, takeReading() else { continue }
            // Not without end: the next task may be a loose chunk, which is to give back its rest as well if it takes long. And a chunk
            // may not have got as far as that by now. Each look is twice as long, because a task that waits should cost nothing.
            var limit = Self.patience
            repeat {
                if turn.value == seen { worker.giveBackRest() }
                if readOne(within: limit) { bell.ring() }
                limit = min(limit * 2, .milliseconds(250))
            } while turn.value == seen && !isOver.load(ordering: .acquiring)
            isReading.store(false, ordering: .sequentiallyConsistent)
            bell.ring()
        }
    }

    /// Sleeps until a task begins.
    private func sleep(at seen: UInt32) {
        secondSleeps.store(true, ordering: .sequentiallyConsistent)
        while turn.word.atomic.pointee.load(ordering: .sequentiallyConsistent) == seen {
            _ = turn.word.wait(while: seen, deadline: .never)
        }
        secondSleeps.store(false, ordering: .sequentiallyConsistent)
    }
}
