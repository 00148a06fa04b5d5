internal import Synchronization

/// Workers that are no processes but run their tasks in this one.
///
/// A task that runs cannot be ended by force here: killing the worker lets go of it, and its result is nobody's.
struct ThreadTransport: WorkerTransport {
    var initializer: @Sendable () throws -> Void

    func start(_ name: String, report: @escaping @Sendable (WorkerEvent) -> Void) -> any WorkerLink {
        let link = ThreadLink(report)
        Task.detached { [initializer] in
            do {
                try initializer()
                link.tell(PoolMessage(kind: .ready))
            } catch {
                link.tell(PoolMessage(kind: .setupFailed, content: TravellingBytes(ErrorCoding.encode(error))))
                link.end(error)
            }
        }
        return link
    }
}

private final class ThreadLink: WorkerLink {
    private let report: @Sendable (WorkerEvent) -> Void
    private let isGone = Atomic(false)
    private let worker = Mutex<PoolWorker?>(nil)

    init(_ report: @escaping @Sendable (WorkerEvent) -> Void) {
        self.report = report
        worker.withLock { worker in
            worker = PoolWorker(
                send: { [weak self] message in self?.tell(message) },
                leave: { [weak self] in self?.end(nil) }
            )
        }
    }

    /// Reports a message, unless the worker is gone.
    func tell(_ message: PoolMessage) {
        if !isGone.load(ordering: .acquiring) { report(.message(message)) }
    }

    /// Reports the end, once.
    func end(_ error: (any Error)?) {
        if !isGone.exchange(true, ordering: .acquiringAndReleasing) { report(.ended(error)) }
    }

    func send(_ message: PoolMessage) {
        worker.withLock { $0 }?.receive(message)
    }

    func kill() {
        // From elsewhere: whoever asks for it is in the middle of something.
        Task.detached { self.end(nil) }
    }

    var processIdentifier: Int32? { nil }
}

extension PoolOptions {
    func transport(
        _ initializer: @escaping @Sendable () throws -> Void,
        _ fileID: StaticString,
        _ line: UInt
    ) -> any WorkerTransport {
        switch backend.kind {
        case .threads:
            return ThreadTransport(initializer: initializer)
        case .processes:
            var process = process
            process.isDaemon = process.isDaemon ?? true
            return ProcessTransport(options: process, initializer: initializer, fileID: fileID, line: line)
        }
    }
}
