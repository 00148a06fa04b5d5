internal import MultiprocessingSystem
internal import Synchronization
public import SystemPackage

/// A process started with a closure, as one starts a thread.
///
///     let child = try ChildProcess { print("hello from \(ChildProcess.current.processIdentifier)") }
///     try child.start()
///     try await child.join()
///
///     let sum = try await ChildProcess.run { sumOfPrimes(below: 100_000) }    // a value comes back
///
/// What the closure captures travels along: every capture has to be `Codable`, or one of the kinds that the library gives
/// a coding (see <doc:WhatTravels>). What cannot travel is refused by the initialiser. A fault in the body ends the child, not
/// this process: ``value`` and `run` then throw ``ProcessCrash``.
///
/// Whatever ends this process, its children end within a second. Dropping the last reference to a running child does not end
/// it; it is looked after until it ends, and ``activeChildren`` still lists it.
///
/// Python: `multiprocessing.Process`.
public final class ChildProcess<Success: Sendable>: Sendable, CustomStringConvertible {
    /// The name in reports and logs.
    public let name: String
    let options: ProcessOptions
    let startedAt: String

    private enum Phase {
        case fresh(Work<Success>)
        case starting
        case started(ProcessRecord)
        case closed(ProcessRecord?)
    }

    private let phase: Mutex<Phase>
    private let number: Int
    private let maker: Int32

    init(work: Work<Success>, options: ProcessOptions, fileID: StaticString, line: UInt) throws {
        try options.validate()
        let current = CurrentProcess.value
        let runtime = Runtime.current
        number = runtime.nextChildNumber()
        maker = runtime.processIdentifier
        name = options.name ?? "Process-" + (current.path + [number]).map(String.init).joined(separator: ":")
        self.options = options
        startedAt = "\(fileID):\(line)"
        phase = Mutex(.fresh(work))
    }

    // MARK: Starting

    /// Starts the process.
    ///
    /// By the fork server with a process kept ready: one message, some ten microseconds. Without one, and for the first start:
    /// a fork or the execution of this program, milliseconds. Large captures and arguments are copied twice.
    /// - Throws: ``ProcessError``: `alreadyStarted`; `startFailed` with the system's error (too many processes, descriptors,
    ///   too little memory); `invalidArgument`.
    public func start() throws {
        try start(printsErrors: true)
    }

    /// - Returns: what was started.
    @discardableResult
    func start(printsErrors: Bool) throws -> Work<Success> {
        guard ThisProcess.identifier == maker else {
            throw ProcessError(.wrongProcess, "\(name) was made by another process, which alone may start it")
        }
        let work: Work<Success> = try phase.withLock { phase in
            switch phase {
            case .fresh(let work):
                phase = .starting
                return work
            case .closed:
                throw closedError
            case .starting, .started:
                throw ProcessError(.alreadyStarted, "\(name) was already started: a process can be started once")
            }
        }
        do {
            let launcher = Launcher(
                name: name,
                number: number,
                options: options,
                startedAt: startedAt,
                printsErrors: printsErrors
            )
            let record = try launcher.launch(work)
            phase.withLock { phase in
                // A close in the meantime holds.
                if case .closed = phase { phase = .closed(record) } else { phase = .started(record) }
            }
            return work
        } catch {
            phase.withLock { phase in
                // Here too.
                if case .starting = phase { phase = .fresh(work) }
            }
            throw error
        }
    }

    /// The started process.
    /// - Throws: ``ProcessError`` (`notStarted`, `closed`).
    public var handle: ProcessHandle {
        get throws {
            try phase.withLock { phase in
                switch phase {
                case .started(let record): return ProcessHandle(record: record)
                case .closed: throw closedError
                case .fresh, .starting: throw ProcessError(.notStarted, "\(name) was not started")
                }
            }
        }
    }

    private var started: ProcessHandle? {
        phase.withLock { phase in
            switch phase {
            case .started(let record), .closed(let record?): ProcessHandle(record: record)
            case .fresh, .starting, .closed(nil): nil
            }
        }
    }

    private var closedError: ProcessError {
        ProcessError(.closed, "\(name) was closed")
    }

    // MARK: Looking

    /// The process id; nil before the start.
    public var processIdentifier: Int32? { started?.processIdentifier }
    /// Whether it was started and runs.
    public var isAlive: Bool { started?.isAlive ?? false }
    /// How it ended; nil before the start and while it runs.
    public var exitStatus: ExitStatus? { started?.exitStatus }
    /// The report on its crash; nil unless it crashed.
    public var crash: ProcessCrash? { started?.crash }
    /// Whether it is killed outright when this process leaves.
    public var isDaemon: Bool { options.isDaemon ?? CurrentProcess.value.isDaemon }
    /// How it is started.
    public var startMethod: StartMethod { options.startMethod ?? .default }
    /// See ``ProcessHandle/sentinel``.
    public var sentinel: FileDescriptor { get throws { try handle.sentinel } }

    public var description: String {
        started?.description ?? "<\(name), not started>"
    }

    // MARK: Ending

    /// See ``ProcessHandle/join(timeout:)``.
    @available(*, noasync, message: "Use the async join: this one blocks the thread")
    @discardableResult
    public func join(timeout: Duration? = nil) throws -> Bool {
        let handle = try handle
        guard handle.processIdentifier != ThisProcess.identifier, ThisProcess.identifier == maker else {
            throw ProcessError(.wrongProcess, "Only the process that made \(name) can join it")
        }
        return try handle.waitForEnd(timeout: timeout)
    }

    /// See ``ProcessHandle/join(timeout:)``.
    @discardableResult
    public func join(timeout: Duration? = nil) async throws -> Bool {
        try await handle.join(timeout: timeout)
    }

    /// See ``ProcessHandle/terminate()``.
    public func terminate() throws { try handle.terminate() }
    /// See ``ProcessHandle/kill()``.
    public func kill() throws { try handle.kill() }
    /// See ``ProcessHandle/interrupt()``.
    public func interrupt() throws { try handle.interrupt() }
    /// See ``ProcessHandle/send(signal:)``.
    public func send(signal: Int32) throws { try handle.send(signal: signal) }

    /// Lets go of what the handle holds. Afterwards every other call throws; a second close is harmless.
    ///
    /// Not needed for cleanliness: the end of a process releases everything.
    /// - Throws: ``ProcessError`` (`stillRunning`) while the process runs.
    public func close() throws {
        if isAlive { throw ProcessError(.stillRunning, "\(name) still runs: end or join it before closing") }
        started?.close()
        phase.withLock { phase in
            switch phase {
            case .started(let record): phase = .closed(record)
            case .fresh, .starting: phase = .closed(nil)
            case .closed: break
            }
        }
    }

    // MARK: The value

    /// What the body returned, after waiting for the process to end.
    ///
    /// Cancelling the waiting task ends the process: a soft signal, the grace of ``ProcessOptions/terminationGrace``, SIGKILL.
    /// - Throws: the body's error (with its type, if that is `Codable`, else ``RemoteError``); ``ProcessCrash``;
    ///   ``ProcessError`` `noValue` if the child left by `exit`, `startFailed` if somebody ended its process before that had
    ///   read what to do, `notStarted`, `setupFailed`; `CancellationError`.
    public var value: Success {
        get async throws {
            let handle = try handle
            try await handle.join()
            return try result(handle)
        }
    }

    /// ``value`` for code that may block its thread, with a limit on the wait.
    ///
    /// - Throws: as ``value``, and ``ProcessError`` `timedOut`; the process then goes on.
    @available(*, noasync, message: "Use the async value: this call blocks the thread")
    public func waitForValue(timeout: Duration? = nil) throws -> Success {
        guard try join(timeout: timeout) else {
            throw ProcessError(.timedOut, "\(name) did not end within \(timeout ?? .zero)")
        }
        return try result(handle)
    }

    /// Starts it and waits for its value.
    ///
    /// A process that somebody ended before it had read its launch is replaced: nothing ran, and nobody was told of it. Where
    /// `start` has returned that cannot be done any more, because its process id is out; and to have `start` wait until the
    /// launch was read would add a wake-up of this thread to every start. Large jobs are not kept for it.
    var startedValue: Success {
        get async throws {
            try Task.checkCancellation()
            if startMethod == .forkServer { try await Runtime.current.forkServer.prepare() }
            for _ in 0..<3 {
                let again = try start(printsErrors: false).ifSmall
                let handle = try handle
                try await handle.join()
                guard let again, handle.record.end?.neverBegan == true else { return try result(handle) }
                phase.withLock { $0 = .fresh(again) }
            }
            try start(printsErrors: false)
            return try await value
        }
    }

    private func result(_ handle: ProcessHandle) throws -> Success {
        guard let end = handle.record.end else { throw ProcessError(.stillRunning, "\(name) still runs") }
        return try end.result(of: handle.record, decode: Work<Success>.decode)
    }
}
