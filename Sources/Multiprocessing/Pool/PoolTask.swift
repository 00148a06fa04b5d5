internal import MultiprocessingWire

/// A task that was given to a pool, and its result once it is there.
///
/// It always resolves: with the task's value or error, the crash of its worker, or the end of the pool. Dropping it does not
/// cancel the task.
///
/// Python: `AsyncResult`, `concurrent.futures.Future`.
public final class PoolTask<Value: Sendable>: Sendable {
    private let core: PoolCore
    private let result = OneShot<Result<Value, any Error>>()
    /// The task's number in its pool; set before anybody has this object.
    private let id = OneShot<Int>()

    init(
        core: PoolCore,
        function: Int,
        content: TravellingBytes,
        timeout: Duration?,
        retries: Int,
        name: String
    ) throws {
        self.core = core
        let result = result
        let work = PoolCore.Work(
            function: function,
            content: content,
            timeout: timeout,
            retries: retries,
            name: name
        ) { outcome in
            result.set(Result { try outcome.decoded() })
        }
        id.set(try core.submit(work))
    }

    /// Whether it is resolved. Does not wait.
    public var isReady: Bool { result.value != nil }

    /// Gives up on the task: takes it out of the line, or ends the worker that runs it. Does nothing to a task that is done.
    ///
    /// Does not wait; the task resolves with ``PoolError/Code/cancelled``.
    public func cancel() {
        if let id = id.value { core.cancel(id) }
    }

    /// The task's value, once it is there. Cancelling the waiting Swift task cancels the task in the pool as well.
    ///
    /// - Throws: the task's error, with its type where that is `Codable`, else ``RemoteError``; ``ProcessCrash`` if its worker died
    ///   of it; ``PoolError`` (`cancelled`, `timedOut`, `terminated`, `workersFail`); `CancellationError`.
    public var value: Value {
        get async throws {
            do {
                return try await result.wait(timeout: nil)!.get()
            } catch is CancellationError where Task.isCancelled && !isReady {
                cancel()
                throw CancellationError()
            }
        }
    }

    /// ``value`` for code that may block its thread.
    ///
    /// - Parameter timeout: how long to wait at most; nil is without end.
    /// - Throws: as ``value``, and ``PoolError`` `timedOut`; the task then goes on.
    @available(*, noasync, message: "Use the async value: this call blocks the thread")
    public func waitForValue(timeout: Duration? = nil) throws -> Value {
        guard let result = result.wait(timeout: timeout) else {
            throw PoolError(.timedOut, "The task was not done within \(timeout ?? .zero)")
        }
        return try result.get()
    }

    /// Blocks the thread until the task is resolved; false when the time is over first. Python: `wait(timeout)`.
    @available(*, noasync, message: "Use the async wait: this one blocks the thread")
    @discardableResult
    public func wait(timeout: Duration? = nil) -> Bool {
        result.wait(timeout: timeout) != nil
    }

    /// Suspends until the task is resolved; false when the time is over first. Does not cancel the task when it is cancelled.
    ///
    /// - Throws: `CancellationError`.
    @discardableResult
    public func wait(timeout: Duration? = nil) async throws -> Bool {
        try await result.wait(timeout: timeout) != nil
    }
}

extension PoolCore.Outcome {
    /// The value, as the type that the task promised.
    func decoded<Value>(as type: Value.Type = Value.self) throws -> Value {
        switch self {
        case .failure(let error): throw error
        case .value(let content, _):
            do throws(ClosureError) {
                return try Job.decodeResult(
                    EncodedPieces(pieces: [content.bytes], objects: content.objects),
                    as: Value.self
                )
            } catch {
                throw PoolError(.cannotTravel, "A result could not be decoded: \(error)")
            }
        }
    }
}
