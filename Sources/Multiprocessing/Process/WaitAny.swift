internal import MultiprocessingSystem
internal import SystemPackage

extension ProcessHandle {
    /// Blocks the thread until at least one of several processes has ended.
    ///
    /// One system call for the wait, and one for each process at the first time.
    ///
    /// Python: `multiprocessing.connection.wait` on sentinels.
    /// - Parameter timeout: how long to wait; nil for as long as it takes, zero or less to look once.
    /// - Returns: those that have ended, in the order given; empty when the time was over first.
    @available(*, noasync, message: "Use the async waitAny: this one blocks the thread")
    public static func waitAny(of handles: [ProcessHandle], timeout: Duration? = nil) throws -> [ProcessHandle] {
        let deadline = Deadline(after: timeout)
        while true {
            let ended = handles.filter { !$0.isAlive }
            if !ended.isEmpty || handles.isEmpty { return ended }
            let interests = try handles.map { Interest(try $0.sentinel.rawValue) }
            do throws(Errno) {
                if try waitUntilReady(interests, deadline: deadline).isEmpty { return [] }
            } catch {
                throw ProcessError(.unsupported, "The processes cannot be waited for", errno: error)
            }
        }
    }

    /// Suspends until at least one of several processes has ended. Cancelling the waiting task ends none of them.
    ///
    /// - Parameter timeout: how long to wait; nil for as long as it takes, zero or less to look once.
    /// - Returns: those that have ended, in the order given; empty when the time was over first.
    /// - Throws: `CancellationError` if the task was cancelled.
    public static func waitAny(of handles: [ProcessHandle], timeout: Duration? = nil) async throws -> [ProcessHandle] {
        let early = handles.filter { !$0.isAlive }
        if !early.isEmpty || handles.isEmpty { return early }
        if let timeout, timeout <= .zero { return [] }
        let first = await withTaskGroup(of: ProcessRecord.WaitResult.self) { group in
            for handle in handles {
                group.addTask { await handle.record.wait(timeout: timeout) }
            }
            let first = await group.next() ?? .ended
            group.cancelAll()
            return first
        }
        if first == .cancelled { throw CancellationError() }
        return handles.filter { !$0.isAlive }
    }
}
