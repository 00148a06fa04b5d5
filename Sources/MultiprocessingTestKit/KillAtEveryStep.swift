public import Multiprocessing
internal import MultiprocessingSystem
internal import SystemPackage

/// Runs an operation in a child that dies at its first step, then in one that dies at its second, until one completes; after
/// each death the survivors have to go on.
///
///     let report = try await killAtEveryStep {
///         try Queue<Int>()
///     } operation: { queue in
///         try queue.put(1)
///     } survivors: { queue, death in
///         // Whatever had become of it, the queue works.
///         try await queue.put(2)
///         let first = try await queue.get(timeout: .seconds(10))
///         #expect(first == 2 || first == 1)
///     }
///     print(report)       // 6 steps: queue.put.locked, queue.put.copied, …
///
/// Each round costs the start of a process. In a build without steps the operation runs once, undisturbed, and the report's
/// ``ChaosReport/note`` says so.
/// - Parameters:
///   - action: what happens at the step. A process that stops is resumed after a tenth of a second, and has to complete.
///   - timeout: for the operation, and again for the survivors. It is what finds a survivor that waits without end.
///   - setup: makes what a round works on; it travels to the child. Called anew for each round.
///   - operation: runs in the child, on one thread; its steps are counted from its beginning.
///   - survivors: runs here after the child's end, with the name of the step at which it died, or nil when it completed.
/// - Returns: the steps that were covered.
/// - Throws: ``ChaosError`` if the operation or the survivors threw or took too long.
@discardableResult
public func killAtEveryStep<State: Codable & Sendable>(
    startMethod: StartMethod = .forkServer,
    action: ChaosPlan.Action = .kill,
    timeout: Duration = .seconds(20),
    setup: () async throws -> State,
    operation: @escaping @Sendable (State) throws -> Void,
    survivors: @escaping @Sendable (State, _ death: String?) async throws -> Void
) async throws -> ChaosReport {
    var report = ChaosReport()
    for index in 0... {
        let state = try await setup()
        let round = Round(index: index, action: action, startMethod: startMethod, timeout: timeout)
        let death = try await round.run(state, operation)
        do {
            try await within(timeout) { try await survivors(state, death) }
        } catch {
            let problem = error is TimeIsOver ? "the survivors did not go on within \(timeout)" : "the survivors failed"
            throw ChaosError(
                index: index,
                step: death,
                problem: problem,
                underlyingError: error is TimeIsOver ? nil : error
            )
        }
        guard let death else { break }
        report.steps.append(death)
    }
    if !ChaosPlan.isAvailable {
        report.note = "This build has no steps (build for debugging, or with -Xswiftc -DCHAOS): nothing was disturbed"
    }
    return report
}

/// One child, armed with one step.
private struct Round {
    var index: Int
    var action: ChaosPlan.Action
    var startMethod: StartMethod
    var timeout: Duration

    /// Runs the operation in a child; returns the step at which something happened to it, nil if it completed undisturbed.
    func run<State: Codable & Sendable>(
        _ state: State,
        _ operation: @escaping @Sendable (State) throws -> Void
    ) async throws -> String? {
        let ends = try Descriptor.pipeNumbers()
        let reading = Descriptor(owning: ends.read)
        var writing: Descriptor? = Descriptor(owning: ends.write)
        var options = ProcessOptions()
        options.isDaemon = true
        options.startMethod = startMethod
        options.descriptors = [FileDescriptor(rawValue: ends.write)]
        let plan = ChaosPlan(action, .step(index)).plan(anyThread: false, note: ChaosNote(writingTo: ends.write))
        let child = try ChildProcess(arguments: state, plan, options: options) { state, plan in
            Chaos.arm(plan)
            defer { Chaos.disarm() }
            try operation(state)
        }
        try child.start()
        writing = nil
        _ = consume writing

        let end = ContinuousClock.now + timeout
        var hasEnded = try await child.join(timeout: action == .stop ? .milliseconds(100) : timeout)
        while !hasEnded, ContinuousClock.now < end {
            // Stopped, or slow; to resume one that runs does nothing.
            try child.send(signal: SignalNumber.resume)
            hasEnded = try await child.join(timeout: .milliseconds(100))
        }
        if !hasEnded {
            try child.kill()
            try await child.join(timeout: .seconds(10))
        }
        // Only now: with the child gone, there is an end to what is read.
        let step = try Self.line(from: reading)
        guard hasEnded else { throw failure(step, "the operation did not end within \(timeout)") }
        if action == .kill, step != nil, child.exitStatus == .signalled(SignalNumber.kill) { return step }
        do {
            try await child.value
        } catch {
            throw failure(step, "the operation failed", error)
        }
        return step
    }

    private func failure(_ step: String?, _ problem: String, _ error: (any Error)? = nil) -> ChaosError {
        ChaosError(index: index, step: step, problem: problem, underlyingError: error)
    }

    /// What is in the pipe, without its line's end; nil if nothing is.
    private static func line(from file: borrowing Descriptor) throws -> String? {
        guard try waitUntilReady(Interest(file.number), deadline: Deadline(after: .zero)) else { return nil }
        var bytes = [UInt8](repeating: 0, count: 256)
        let count = try bytes.withUnsafeMutableBytes { try file.read(into: $0) }
        return count == 0 ? nil : String(decoding: bytes[..<count].dropLast(), as: UTF8.self)
    }
}
