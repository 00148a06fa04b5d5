internal import Synchronization

/// Workers that are no processes but threads of this one.
///
/// A task that runs cannot be ended by force here: killing the worker cancels it and lets go of it, and its result is nobody's.
struct ThreadTransport: WorkerTransport {
    var initializer: @Sendable () throws -> Void

    func start(_ name: String, report: @escaping @Sendable (WorkerEvent) -> Void) -> any WorkerLink {
        let link = ThreadLink(name, report)
        link.start(initializer)
        return link
    }
}

private final class ThreadLink: WorkerLink {
    private let report: @Sendable (WorkerEvent) -> Void
    private let executor: ThreadExecutor
    private let isGone = Atomic(false)
    private let worker = Mutex<PoolWorker?>(nil)

    init(_ name: String, _ report: @escaping @Sendable (WorkerEvent) -> Void) {
        self.report = report
        executor = ThreadExecutor(name: name)
        worker.withLock { worker in
            worker = PoolWorker(
                executor: executor,
                send: { [weak self] message in self?.tell(message) },
                leave: { [weak self] in self?.end(nil) }
            )
        }
    }

    func start(_ initializer: @escaping @Sendable () throws -> Void) {
        Task.detached(executorPreference: executor) { [self] in
            do {
                try initializer()
                tell(PoolMessage(kind: .ready))
            } catch {
                tell(PoolMessage(kind: .setupFailed, content: TravellingBytes(ErrorCoding.encode(error))))
                end(error)
            }
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
        _ initializer: @escaping @Sendable () throws -> Void,
        _ fileID: StaticString,
        _ line: UInt,
        places: Int
    ) throws -> any WorkerTransport {
        switch backend.kind {
        case .threads:
            return ThreadTransport(initializer: initializer)
        case .processes:
            var process = process
            process.isDaemon = process.isDaemon ?? true
            return ProcessTransport(options: process, initializer: initializer, fileID: fileID, line: line)
        case .stream(let workers):
            var process = process
            process.isDaemon = process.isDaemon ?? true
            let body = try PoolWorkerProgram.body(initializer, fileID, line)
            return try StreamTransport(
                workers,
                places: places,
                body: body,
                process: process,
                fileID: fileID,
                line: line
            )
        }
    }
}
