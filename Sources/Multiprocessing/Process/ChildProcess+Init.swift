// One initialiser for each kind of body: synchronous or not, with arguments or not. Synchronous ones are kept apart because
// they run without starting the concurrency runtime in the child, and because `.fork` takes no others.

extension ChildProcess {
    /// Prepares a process that will run `body`; ``start()`` starts it.
    ///
    /// The closure and what it captures are encoded here, as they are now: what cannot travel is refused here, and later
    /// changes to a captured object do not reach the child. Nothing is sent or started yet.
    ///
    ///     let child = try ChildProcess { print(number * 3) }
    /// - Parameters:
    ///   - name: for reports and logs; nil gives "Process-N".
    ///   - startMethod: nil is the method of `options`, and if that is nil too ``StartMethod/default``.
    /// - Throws: ``ProcessError``: `cannotTravel`, which names the capture or the result that cannot be sent, this call, the
    ///   reason and the remedy; `invalidArgument`, `unsupported` for options that cannot be honoured.
    public convenience init(
        name: String? = nil,
        startMethod: StartMethod? = nil,
        options: ProcessOptions = ProcessOptions(),
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: @escaping @Sendable () throws -> Success
    ) throws {
        let options = options.resolved(name, startMethod)
        try self.init(work: Work(body, options, fileID, line), options: options, fileID: fileID, line: line)
    }

    /// Prepares a process that will run an asynchronous `body`; otherwise as for a synchronous one.
    ///
    /// The body runs on the child's own concurrency threads; `@MainActor` code runs on its main thread.
    public convenience init(
        name: String? = nil,
        startMethod: StartMethod? = nil,
        options: ProcessOptions = ProcessOptions(),
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: @escaping @Sendable @concurrent () async throws -> Success
    ) throws {
        let options = options.resolved(name, startMethod)
        try options.refuseForAsynchronousBody()
        try self.init(work: Work(asynchronous: body, fileID, line), options: options, fileID: fileID, line: line)
    }

    /// Prepares a process that will run `body` on arguments: the way that always works.
    ///
    /// A capture's type is found at run time, which optimised builds may have made impossible. Arguments are typed
    /// statically, so what compiles travels.
    ///
    ///     let child = try ChildProcess(arguments: config, 4) { config, n in train(config, times: n) }
    /// - Throws: ``ProcessError``, as for a body without arguments.
    public convenience init<each Argument: Codable & Sendable>(
        arguments: repeat each Argument,
        name: String? = nil,
        startMethod: StartMethod? = nil,
        options: ProcessOptions = ProcessOptions(),
        fileID: StaticString = #fileID,
        line: UInt = #line,
        body: @escaping @Sendable (repeat each Argument) throws -> Success
    ) throws {
        let options = options.resolved(name, startMethod)
        let work = try Work(arguments: repeat each arguments, body: body, options, fileID, line)
        try self.init(work: work, options: options, fileID: fileID, line: line)
    }

    /// Prepares a process that will run an asynchronous `body` on arguments; otherwise as for a synchronous one.
    public convenience init<each Argument: Codable & Sendable>(
        arguments: repeat each Argument,
        name: String? = nil,
        startMethod: StartMethod? = nil,
        options: ProcessOptions = ProcessOptions(),
        fileID: StaticString = #fileID,
        line: UInt = #line,
        body: @escaping @Sendable @concurrent (repeat each Argument) async throws -> Success
    ) throws {
        let options = options.resolved(name, startMethod)
        try options.refuseForAsynchronousBody()
        let work = try Work(arguments: repeat each arguments, asynchronous: body, fileID, line)
        try self.init(work: work, options: options, fileID: fileID, line: line)
    }
}
