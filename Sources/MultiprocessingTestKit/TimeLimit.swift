/// Thrown in place of a result that took too long.
struct TimeIsOver: Error {}

/// Runs `body` and throws ``TimeIsOver`` when it has not ended in time: then it is cancelled, and not waited for.
func within(_ timeout: Duration, _ body: @escaping @Sendable () async throws -> Void) async throws {
    // A task group would wait for a body that hangs.
    let (outcomes, continuation) = AsyncStream.makeStream(of: Result<Void, any Error>.self)
    let work = Task {
        do {
            continuation.yield(.success(try await body()))
        } catch {
            continuation.yield(.failure(error))
        }
    }
    let clock = Task {
        try await Task.sleep(for: timeout)
        continuation.yield(.failure(TimeIsOver()))
    }
    defer {
        work.cancel()
        clock.cancel()
    }
    for await outcome in outcomes { return try outcome.get() }
    throw CancellationError()
}
