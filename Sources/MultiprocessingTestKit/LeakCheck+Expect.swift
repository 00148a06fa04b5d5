internal import Multiprocessing
internal import MultiprocessingSystem

/// What a test left behind.
public struct LeakError: Error, CustomStringConvertible {
    /// The things that are there and were not before.
    public let leaks: [LeakCheck.Item]

    public var description: String {
        "\(leaks.count) left behind:" + leaks.map { "\n    \($0)" }.joined()
    }
}

extension LeakCheck {
    /// Runs `body` and throws unless it left nothing behind.
    ///
    /// Ends of processes and of the library's threads take a moment to be noticed, so the look is repeated until nothing is
    /// left or the time is over. The process must not be busy with anything else meanwhile: run such a test alone, best in a
    /// process of its own. Sets up first what the library has once in a process (see ``warmUp()``).
    /// - Parameters:
    ///   - timeout: how long what is left may take to go.
    ///   - ignoring: says of an item that it is no leak.
    /// - Throws: ``LeakError``, which lists what was left; what `body` throws.
    // Without "disfavoured", a body that awaits nothing would select this one in asynchronous code too, and be refused.
    @_disfavoredOverload
    @available(*, noasync, message: "Use the async expectNoLeaks: this one blocks the thread")
    @discardableResult
    public static func expectNoLeaks<Result>(
        within timeout: Duration = .seconds(5),
        ignoring: (Item) -> Bool = { _ in false },
        _ body: () throws -> Result
    ) throws -> Result {
        try warmUp()
        let before = LeakCheck()
        let result = try body()
        let end = ContinuousClock.now + timeout
        while true {
            let leaks = LeakCheck().leaks(since: before, ignoring: ignoring)
            if leaks.isEmpty { return result }
            if ContinuousClock.now > end { throw LeakError(leaks: leaks) }
            ThisProcess.pause(.milliseconds(5))
        }
    }

    /// Runs `body` and throws unless it left nothing behind; as the blocking call, but suspends between looks.
    @discardableResult
    public static func expectNoLeaks<Result>(
        within timeout: Duration = .seconds(5),
        ignoring: (Item) -> Bool = { _ in false },
        _ body: () async throws -> Result
    ) async throws -> Result {
        try await warmUp()
        let before = LeakCheck()
        let result = try await body()
        let end = ContinuousClock.now + timeout
        while true {
            let leaks = LeakCheck().leaks(since: before, ignoring: ignoring)
            if leaks.isEmpty { return result }
            if ContinuousClock.now > end { throw LeakError(leaks: leaks) }
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    /// Has the library set up what it has once in a process: lifeline, fork server, shared memory for small objects.
    ///
    /// Starts a child and waits for it: milliseconds the first time, a tenth of one later.
    @available(*, noasync, message: "Use the async warmUp: this one blocks the thread")
    public static func warmUp() throws {
        _ = try Lock()
        let child = try ChildProcess {}
        try child.start()
        try child.join(timeout: .seconds(30))
    }

    /// Has the library set up what it has once in a process; as the blocking call, and the thread that sleeps for tasks.
    public static func warmUp() async throws {
        let lock = try Lock()
        try await lock.acquire()
        // Waits, in vain, as tasks do.
        _ = try await lock.acquire(timeout: .milliseconds(1))
        try lock.release()
        let child = try ChildProcess {}
        try child.start()
        try await child.join(timeout: .seconds(30))
        // The concurrency runtime has descriptors of its own for those who sleep. It makes them when it sets its timer, which it does
        // not if the time is over by then, as a millisecond may be on a machine that is busy.
        try await Task.sleep(for: .milliseconds(50))
    }
}
