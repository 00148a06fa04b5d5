internal import MultiprocessingWire
internal import Synchronization

/// A task that was given to a pool, and its result once it is there.
///
/// It always resolves: with the task's value or error, the crash of its worker, or the end of the pool. Dropping it does not
/// cancel the task.
///
/// Python: `AsyncResult`, `concurrent.futures.Future`.
public final class PoolTask<Value: Sendable>: Sendable {
    private let core: PoolCore
    private let outcome = OneShot<PoolCore.Outcome>()
    /// The value, once somebody wanted it: decoding is left to whoever does.
    private let decoded = Mutex<Result<Value, any Error>?>(nil)
    /// The task's number in its pool; set before anybody has this object.
    private let id = OneShot<Int>()

    init(
        core: PoolCore,
        function: Int,
        content: TravellingBytes,
        timeout: Duration?,
        memoryLimit: Int?,
        retries: Int,
        name: String,
        keeping kept: (any AnyObject & Sendable)? = nil
    ) throws {
        self.core = core
        let outcome = outcome
        var work = PoolCore.Work(
            function: function,
            content: content,
            timeout: timeout,
            retries: retries,
            name: name
        ) { result in withExtendedLifetime(kept) { outcome.set(result) } }
        work.memoryLimit = memoryLimit
        work.baggage = try TaskBaggage.packed()
        id.set(try core.submit(work))
    }

    // MARK: Looking

    /// Where a task is; more may be added.
    public struct State: Hashable, Sendable, CustomStringConvertible {
        private enum Kind: String, Hashable { case waiting, running, finished, failed, cancelled }
        private let kind: Kind

        /// No worker has begun it.
        public static var waiting: State { State(kind: .waiting) }
        /// A worker has begun it.
        public static var running: State { State(kind: .running) }
        /// Its value is there.
        public static var finished: State { State(kind: .finished) }
        /// It failed: by its own error, its worker's death, or its pool's end.
        public static var failed: State { State(kind: .failed) }
        /// It was cancelled.
        public static var cancelled: State { State(kind: .cancelled) }

        public var description: String { kind.rawValue }
    }

    /// Where the task is at this moment. Does not wait, and decodes nothing. Python: `running()`, `cancelled()`, `successful()`.
    public var state: State {
        switch outcome.value {
        case nil: id.value.map(core.hasBegun) == true ? .running : .waiting
        case .value?: .finished
        case .failure(let error as PoolError)? where error.code == .cancelled: .cancelled
        case .thrown?, .failure?, .lost?: .failed
        }
    }

    /// Whether it is resolved. Does not wait. Python: `ready()`, `done()`.
    public var isReady: Bool { outcome.value != nil }

    /// Gives up on the task: takes it out of the line, or ends the worker that runs it. Does nothing to a task that is done.
    ///
    /// Does not wait; the task resolves with ``PoolError/Code/cancelled``. Python's `cancel` leaves a task alone that has begun.
    public func cancel() {
        if let id = id.value { core.cancel(id) }
    }

    // MARK: Waiting

    /// The task's value, once it is there. Cancelling the waiting Swift task cancels the task in the pool as well.
    ///
    /// The first who wants it decodes it. Python: `get()`, `result()`.
    /// - Throws: the task's error, with its type where that is `Codable`, else ``RemoteError``; ``ProcessCrash`` if its worker died
    ///   of it; ``ProcessError`` (`noValue`) if it had its worker exit; ``PoolError`` (`cancelled`, `timedOut`,
    ///   `memoryExceeded`, `terminated`, `workersFail`, `cannotTravel`); `CancellationError`.
    public var value: Value {
        get async throws {
            do {
                _ = try await outcome.wait(timeout: nil)
            } catch {
                cancel()
                throw error
            }
            return try result!.get()
        }
    }

    /// ``value`` for code that may block its thread.
    ///
    /// - Parameter timeout: how long to wait at most; nil is without end.
    /// - Throws: as ``value``, and ``PoolError`` `timedOut`; the task then goes on.
    @available(*, noasync, message: "Use the async value: this call blocks the thread")
    public func waitForValue(timeout: Duration? = nil) throws -> Value {
        guard outcome.wait(timeout: timeout) != nil else {
            throw PoolError(.timedOut, "The task was not done within \(timeout ?? .zero)")
        }
        return try result!.get()
    }

    /// What the task ended with: its value or its error; nil as long as it is not resolved. Does not wait. Python: `exception()`.
    public var result: Result<Value, any Error>? {
        guard let outcome = outcome.value else { return nil }
        if let known = decoded.withLock({ $0 }) { return known }
        // Outside the lock, because it runs the value's own code. Whoever comes second gets what the first one got.
        let fresh = Result { try outcome.decoded(as: Value.self) }
        return decoded.withLock { decoded in
            if decoded == nil { decoded = fresh }
            return decoded
        }
    }

    /// Blocks the thread until the task is resolved; false when the time is over first. Python: `wait(timeout)`.
    @available(*, noasync, message: "Use the async wait: this one blocks the thread")
    @discardableResult
    public func wait(timeout: Duration? = nil) -> Bool {
        outcome.wait(timeout: timeout) != nil
    }

    /// Suspends until the task is resolved; false when the time is over first. Does not cancel the task when it is cancelled.
    ///
    /// - Throws: `CancellationError`.
    @discardableResult
    public func wait(timeout: Duration? = nil) async throws -> Bool {
        try await outcome.wait(timeout: timeout) != nil
    }

    /// Has `body` called with the task's result once it is resolved; at once if it is.
    ///
    /// It is called in a Swift task of its own: it may take its time, and ask the pool for more. Python: `add_done_callback`,
    /// `callback` and `error_callback`.
    public func onCompletion(_ body: @escaping @Sendable (Result<Value, any Error>) -> Void) {
        // The task is kept for it, even if nobody else has it any more.
        observe { Task.detached { body(self.result!) } }
    }

    /// Has `body` called when the task is resolved, on one of the pool's threads, or at once; the number is for
    /// ``stopObserving(_:)``.
    @discardableResult
    func observe(_ body: @escaping @Sendable () -> Void) -> Int? {
        outcome.observe { _ in body() }
    }

    func stopObserving(_ number: Int) {
        outcome.stopObserving(number)
    }
}

extension PoolTask: CustomStringConvertible {
    public var description: String {
        let number = id.value.map { " \($0)" } ?? ""
        guard case .failure(let error)? = result else { return "PoolTask\(number): \(state)" }
        return "PoolTask\(number): \(state) (\(error))"
    }
}

extension PoolCore.Outcome {
    /// The value, as the type that the task promised.
    func decoded<Value>(as type: Value.Type = Value.self) throws -> Value {
        switch self {
        case .failure(let error): throw error
        case .lost(let loss): throw loss.error
        case .thrown(let content, let worker):
            throw content.withBytes { ErrorCoding.decode($0, process: worker, pid: 0) }
        case .value(let content, _):
            do {
                return try content.decoded()
            } catch {
                throw PoolError(.cannotTravel, "A result could not be decoded: \(error)")
            }
        }
    }
}
