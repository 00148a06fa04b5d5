internal import MultiprocessingSystem

extension ProcessHandle {
    /// Blocks the thread until at least one of several processes has ended; see the global `waitAny` for other things beside them.
    ///
    /// One system call for the wait, and some for each process.
    ///
    /// Python: `multiprocessing.connection.wait` on sentinels.
    /// - Parameter timeout: how long to wait; nil for as long as it takes, zero or less to look once.
    /// - Returns: those that have ended, in the order given; empty when the time was over first.
    @available(*, noasync, message: "Use the async waitAny: this one blocks the thread")
    public static func waitAny(of handles: [ProcessHandle], timeout: Duration? = nil) throws -> [ProcessHandle] {
        try WaitAny.blocking(handles, deadline: Deadline(after: timeout)).map { handles[$0] }
    }

    /// Suspends until at least one of several processes has ended. Cancelling the waiting task ends none of them.
    ///
    /// - Parameter timeout: how long to wait; nil for as long as it takes, zero or less to look once.
    /// - Returns: those that have ended, in the order given; empty when the time was over first.
    /// - Throws: `CancellationError` if the task was cancelled.
    public static func waitAny(of handles: [ProcessHandle], timeout: Duration? = nil) async throws -> [ProcessHandle] {
        try await WaitAny.suspending(handles, deadline: Deadline(after: timeout)).map { handles[$0] }
    }
}
