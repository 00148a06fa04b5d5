// `run`: start, wait, value, in one call. As with the initialisers, one for each kind of body.

extension ChildProcess {
    /// Runs `body` in a process of its own and returns its value.
    ///
    ///     let sum = try await ChildProcess.run { sumOfPrimes(below: 100_000) }
    ///
    /// Suspends until the process has ended. Starting it takes the calling thread as long as ``start()`` does: some ten
    /// microseconds to some milliseconds; seconds if the fork server was stopped by somebody and has to be given up. A fork server that
    /// has still to be started, with its preload hook, is waited for without a thread.
    ///
    /// Cancelling the task ends the process: SIGTERM, the grace of ``ProcessOptions/terminationGrace``, SIGKILL.
    /// - Throws: the body's error (with its type, if that is `Codable`, else ``RemoteError``); ``ProcessCrash`` if the process
    ///   died; ``ProcessError`` if it could not be started, or left by `exit` (`noValue`); `CancellationError`.
    public static func run(
        name: String? = nil,
        startMethod: StartMethod? = nil,
        options: ProcessOptions = ProcessOptions(),
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: @escaping @Sendable () throws -> Success
    ) async throws -> Success {
        try await ChildProcess(
            name: name,
            startMethod: startMethod,
            options: options,
            fileID: fileID,
            line: line,
            body
        ).startedValue
    }

    /// Runs an asynchronous `body` in a process of its own and returns its value; otherwise as for a synchronous one.
    public static func run(
        name: String? = nil,
        startMethod: StartMethod? = nil,
        options: ProcessOptions = ProcessOptions(),
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: @escaping @Sendable @concurrent () async throws -> Success
    ) async throws -> Success {
        try await ChildProcess(
            name: name,
            startMethod: startMethod,
            options: options,
            fileID: fileID,
            line: line,
            body
        ).startedValue
    }

    /// Runs `body` on arguments in a process of its own and returns its value; otherwise as without arguments.
    ///
    ///     let title = try await ChildProcess.run(arguments: page) { page in parse(page) }
    public static func run<each Argument: Codable & Sendable>(
        arguments: repeat each Argument,
        name: String? = nil,
        startMethod: StartMethod? = nil,
        options: ProcessOptions = ProcessOptions(),
        fileID: StaticString = #fileID,
        line: UInt = #line,
        body: @escaping @Sendable (repeat each Argument) throws -> Success
    ) async throws -> Success {
        try await ChildProcess(
            arguments: repeat each arguments,
            name: name,
            startMethod: startMethod,
            options: options,
            fileID: fileID,
            line: line,
            body: body
        ).startedValue
    }

    /// Runs an asynchronous `body` on arguments in a process of its own and returns its value.
    public static func run<each Argument: Codable & Sendable>(
        arguments: repeat each Argument,
        name: String? = nil,
        startMethod: StartMethod? = nil,
        options: ProcessOptions = ProcessOptions(),
        fileID: StaticString = #fileID,
        line: UInt = #line,
        body: @escaping @Sendable @concurrent (repeat each Argument) async throws -> Success
    ) async throws -> Success {
        try await ChildProcess(
            arguments: repeat each arguments,
            name: name,
            startMethod: startMethod,
            options: options,
            fileID: fileID,
            line: line,
            body: body
        ).startedValue
    }
}
