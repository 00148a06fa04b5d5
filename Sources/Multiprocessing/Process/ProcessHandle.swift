internal import MultiprocessingSystem
public import SystemPackage

/// A started process, whatever its body returns: watch it, wait for it, end it.
///
/// ``ChildProcess`` offers all of this itself; handles come from ``ChildProcess/activeChildren``.
public struct ProcessHandle: Sendable, Hashable, CustomStringConvertible {
    let record: ProcessRecord

    /// The process's name.
    public var name: String { record.name }
    /// The process id. After the end it may belong to another process.
    public var processIdentifier: Int32 { record.pid }
    /// Whether it is killed outright when this process leaves.
    public var isDaemon: Bool { record.isDaemon }
    /// How it was started.
    public var startMethod: StartMethod { record.startMethod }

    /// Whether it runs. Does not wait; a few system calls while it does.
    ///
    /// A copy of this process (``StartMethod/fork``) knows what was known when it was made, and learns nothing more.
    public var isAlive: Bool {
        record.service()
        return record.end == nil
    }

    /// How it ended; nil while it runs. Does not wait.
    public var exitStatus: ExitStatus? {
        record.service()
        return record.end?.status
    }

    /// The report on its crash; nil while it runs, and if it ended in another way.
    public var crash: ProcessCrash? {
        record.service()
        return record.end.flatMap { CrashReport.make(record, $0) }
    }

    /// A descriptor that becomes readable when the process has ended, for `poll`, `epoll` or an event loop.
    ///
    /// It stays open, and this library's, until ``close()`` or until the last reference to the process is gone. One
    /// system call the first time.
    ///
    /// Python: `Process.sentinel`.
    public var sentinel: FileDescriptor {
        get throws {
            do throws(Errno) {
                return FileDescriptor(rawValue: try record.sentinel())
            } catch {
                throw ProcessError(.unsupported, "No descriptor for the end of \(name)", errno: error)
            }
        }
    }

    /// Closes the sentinel, if one was asked for. Harmless otherwise.
    func close() {
        record.closeSentinel()
    }

    /// Blocks the thread until the process has ended.
    ///
    /// Its standard error has been passed on by then. Signals do not interrupt the wait.
    /// - Parameter timeout: how long to wait; nil for as long as it takes, zero or less to look once.
    /// - Returns: whether it has ended. That the time is over is not an error.
    @available(*, noasync, message: "Use the async join: this one blocks the thread")
    @discardableResult
    public func join(timeout: Duration? = nil) throws -> Bool {
        try waitForEnd(timeout: timeout)
    }

    /// Suspends until the process has ended.
    ///
    /// Cancelling the waiting task ends the process: a soft signal, the grace of ``ProcessOptions/terminationGrace``, SIGKILL.
    /// - Parameter timeout: how long to wait; nil for as long as it takes, zero or less to look once.
    /// - Returns: whether it has ended. That the time is over is not an error.
    /// - Throws: `CancellationError` if the task was cancelled; the process has ended by then.
    @discardableResult
    public func join(timeout: Duration? = nil) async throws -> Bool {
        try requireOwn()
        if let timeout, timeout <= .zero { return !isAlive }
        switch await record.wait(timeout: timeout) {
        case .ended: return true
        case .timedOut: return false
        case .cancelled:
            await endGently()
            throw CancellationError()
        }
    }

    /// Sends SIGTERM. Does nothing to a process that has ended.
    ///
    /// By default that ends it at once: no `defer`, no exit handlers.
    public func terminate() throws { try send(signal: SignalNumber.terminate) }

    /// Sends SIGKILL, which also ends a stopped process. Does nothing to a process that has ended.
    public func kill() throws { try send(signal: SignalNumber.kill) }

    /// Sends SIGINT, as Ctrl-C in a terminal would. Does nothing to a process that has ended.
    public func interrupt() throws { try send(signal: SignalNumber.interrupt) }

    /// Sends a signal. Does nothing to a process that has ended.
    /// - Throws: ``ProcessError`` if the system refuses, as for a process that took another user.
    public func send(signal: Int32) throws {
        do throws(Errno) {
            try record.signal(signal)
        } catch {
            throw ProcessError(.unsupported, "\(name) cannot be sent \(signalName(signal))", errno: error)
        }
    }

    public var description: String {
        let state = exitStatus.map { "ended with \($0)" } ?? "running"
        return "<\(name) pid \(processIdentifier), \(state)\(isDaemon ? ", daemon" : "")>"
    }

    public static func == (left: ProcessHandle, right: ProcessHandle) -> Bool {
        left.record === right.record
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(ObjectIdentifier(record))
    }
}

extension ProcessHandle {
    /// A forked copy of the process that started it is no parent of it.
    func requireOwn() throws {
        guard record.isOwn else {
            throw ProcessError(.wrongProcess, "Only the process that started \(name) can join it")
        }
    }

    func waitForEnd(timeout: Duration?) throws -> Bool {
        try requireOwn()
        do throws(Errno) {
            return try record.waitBlocking(deadline: Deadline(after: timeout))
        } catch {
            throw ProcessError(.unsupported, "\(name) cannot be waited for", errno: error)
        }
    }

    /// Ends the process for a task that was cancelled: asks, waits for the grace, kills. Runs to its end all the same.
    func endGently() async {
        await Task.detached { [record] in
            try? record.signal(SignalNumber.terminate)
            // A stopped process would not even see the signal.
            try? record.signal(SignalNumber.resume)
            if await record.wait(timeout: record.terminationGrace) == .ended { return }
            // Refused, for a process that took another user: then nothing here can end it.
            do { try record.signal(SignalNumber.kill) } catch { return }
            _ = await record.wait(timeout: nil)
        }.value
    }
}
