internal import MultiprocessingSystem
internal import Synchronization

/// Takes the lines of all workers of a pool to where they are to go, one after the other.
///
/// The lines come from the thread that watches all processes, which must not wait; they leave on a thread of the pool's own.
final class OutputDelivery: Sendable {
    private struct State {
        var lines: ArraySlice<PoolOutputLine> = []
        var bytes = 0
        var isDelivering = false
        /// Who waits for everything to be delivered.
        var waiting: [@Sendable () -> Void] = []
    }

    /// So much may wait to be delivered before the workers have to wait.
    private static let most = 1 << 20

    private let state = Mutex(State())
    private let deliver: @Sendable (PoolOutputLine) -> Void
    private let executor = ThreadExecutor(name: "mp-pool-output")

    init(_ deliver: @escaping @Sendable (PoolOutputLine) -> Void) {
        self.deliver = deliver
    }

    /// To this process's own streams.
    static func tagged() -> OutputDelivery {
        OutputDelivery { line in
            var text = "\(line)\n"
            text.withUTF8 { bytes in
                let bytes = UnsafeRawBufferPointer(bytes)
                if line.stream == .standardError {
                    StandardError.write(bytes)
                } else {
                    StandardError.writeToOutput(bytes)
                }
            }
        }
    }

    deinit {
        executor.close()
    }

    var hasRoom: Bool { state.withLock { $0.bytes < Self.most } }

    func put(_ line: PoolOutputLine) {
        let starts = state.withLock { state in
            state.lines.append(line)
            state.bytes += line.text.utf8.count + 1
            defer { state.isDelivering = true }
            return !state.isDelivering
        }
        if starts { Task.detached(executorPreference: executor) { self.deliverAll() } }
    }

    /// Has `body` called when all that was put so far is delivered; now, if it is.
    func whenDelivered(_ body: @escaping @Sendable () -> Void) {
        let isDone = state.withLock { state in
            if state.isDelivering { state.waiting.append(body) }
            return !state.isDelivering
        }
        if isDone { body() }
    }

    private func deliverAll() {
        while true {
            let (line, waiting) = state.withLock { state -> (PoolOutputLine?, [@Sendable () -> Void]) in
                if let line = state.lines.popFirst() {
                    state.bytes -= line.text.utf8.count + 1
                    return (line, [])
                }
                defer { (state.isDelivering, state.waiting) = (false, []) }
                return (nil, state.waiting)
            }
            guard let line else {
                for body in waiting { body() }
                return
            }
            deliver(line)
        }
    }
}

/// A worker's stream, as those who read it see the delivery.
final class WorkerStream: LineReceiver {
    private let delivery: OutputDelivery
    private let worker: String
    private let stream: PoolOutputLine.Stream

    init(_ delivery: OutputDelivery, _ worker: String, _ stream: PoolOutputLine.Stream) {
        self.delivery = delivery
        self.worker = worker
        self.stream = stream
    }

    var hasRoom: Bool { delivery.hasRoom }

    func take(_ line: String) {
        delivery.put(PoolOutputLine(worker: worker, stream: stream, text: line))
    }
}
