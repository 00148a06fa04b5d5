internal import Synchronization

/// Workers that are no processes but threads of this one.
///
/// A task that runs cannot be ended by force here: killing the worker cancels it and lets go of it, and its result is nobody's.
struct ThreadTransport: WorkerTransport {
    var setup: WorkerSetup
    var exitTimeout: Duration

    func start(_ name: String, report: @escaping @Sendable (WorkerEvent) -> Void) -> any WorkerLink {
        let link = ThreadLink(name, exitTimeout, report)
        link.start(setup)
        return link
    }
}

private final class ThreadLink: WorkerLink {
    private let report: @Sendable (WorkerEvent) -> Void
    private let executor: ThreadExecutor
    private let isGone = Atomic(false)
    private let worker = Mutex<PoolWorker?>(nil)
    private let exitTimeout: Duration
    /// Set when the set-up has run, well or not.
    private let isSetUp = OneShot<Void>()

    init(_ name: String, _ exitTimeout: Duration, _ report: @escaping @Sendable (WorkerEvent) -> Void) {
        self.report = report
        self.exitTimeout = exitTimeout
        executor = ThreadExecutor(name: name)
        worker.withLock { worker in
            worker = PoolWorker(
                executor: executor,
                send: { [weak self] message in self?.tell(message) },
                leave: { [weak self] in self?.leave() }
            )
        }
    }

    func start(_ setup: @escaping WorkerSetup) {
        Task.detached(executorPreference: executor) { [self] in
            do {
                let context = try await setup()
                worker.withLock { $0 }?.setUp(context)
                isSetUp.set(())
                tell(PoolMessage(kind: .ready))
            } catch {
                tell(PoolMessage(kind: .setupFailed, content: TravellingBytes(ErrorCoding.encode(error))))
                isSetUp.set(())
                end(error)
            }
        }
    }

    /// Ends when the exit hook has run.
    private func leave() {
        Task.detached { [self] in
            // The pool may let go of a worker that is just coming up.
            _ = try? await isSetUp.wait(timeout: nil)
            await worker.withLock { $0 }?.leave(within: exitTimeout)
            end(nil)
        }
    }

    /// Reports a message, unless the worker is gone.
    func tell(_ message: PoolMessage) {
        if !isGone.load(ordering: .acquiring) { report(.message(message)) }
    }

    /// Reports the end, once.
    func end(_ error: (any Error)?) {
        guard !isGone.exchange(true, ordering: .acquiringAndReleasing) else { return }
        report(.ended(error))
        executor.close()
    }

    func send(_ message: PoolMessage) {
        worker.withLock { $0 }?.receive(message)
    }

    func kill() {
        worker.withLock { $0 }?.cancel(nil)
        // From elsewhere: whoever asks for it is in the middle of something.
        Task.detached { self.end(nil) }
    }

    var processIdentifier: Int32? { nil }
}

extension PoolOptions {
    func transport(
        _ setup: @escaping WorkerSetup,
        workers: Int,
        _ fileID: StaticString,
        _ line: UInt
    ) throws -> any WorkerTransport {
        switch backend.kind {
        case .threads: ThreadTransport(setup: setup, exitTimeout: exitTimeout)
        case .processes: processTransport(setup, workers: workers, fileID, line)
        case .stream(let stream):
            try StreamTransport(
                stream,
                places: workers,
                local: processTransport(setup, workers: workers, fileID, line)
            )
        }
    }

    private func processTransport(
        _ setup: @escaping WorkerSetup,
        workers: Int,
        _ fileID: StaticString,
        _ line: UInt
    ) -> ProcessTransport {
        var process = process
        process.isDaemon = process.isDaemon ?? true
        process.environment[PoolBudget.variable] = "\(PoolBudget.share(ofEach: workers))"
        var delivery: OutputDelivery?
        switch output.kind {
        case .inherited: break
        case .discarded: (process.standardOutput, process.standardError) = (.null, .lines(nil))
        case .tagged: delivery = .tagged()
        case .lines(let body): delivery = OutputDelivery(body)
        }
        return ProcessTransport(
            options: process,
            setup: setup,
            exitTimeout: exitTimeout,
            output: delivery,
            placement: WorkerPlacement(affinity, process.processorAffinity),
            fileID: fileID,
            line: line
        )
    }
}
