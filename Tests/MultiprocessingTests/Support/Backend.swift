import Dispatch
import Foundation
import Multiprocessing
import Synchronization
import Testing

/// Where the other side of a test runs: a process of each start method, or a thread of this process.
///
/// A test that is parameterised over the backends says that a primitive behaves alike in all of them:
///
///     @Test(arguments: Backend.allCases) func handOver(backend: Backend) async throws {
///         let event = try Event()
///         let other = try backend.run { try event.wait(timeout: .seconds(10)) }
///         event.set()
///         #expect(try await other.value())
///     }
///
/// `#expect` in a body is lost unless it runs on a thread: return what is to be checked, or throw by ``check(_:_:file:line:)``.
/// A copy by `.fork` holds every descriptor of the test's process until it ends, and begins with whatever its other threads
/// were about; a test that minds either belongs into `isolated { }`.
enum Backend: String, CaseIterable, Codable, Sendable, CustomTestStringConvertible {
    case forkServer, spawn, fork, threads
    /// Workers of a pool that are joined to it by sockets: processes that the fork server makes.
    case stream

    /// Where bodies run; streams are for pools only.
    static let allCases: [Backend] = [.forkServer, .spawn, .fork, .threads]
    /// Those that are processes.
    static let processes: [Backend] = [.forkServer, .spawn, .fork]

    /// The start method; nil for threads.
    var startMethod: StartMethod? {
        switch self {
        case .forkServer: .forkServer
        case .spawn: .spawn
        case .fork: .fork
        case .threads, .stream: nil
        }
    }

    var testDescription: String { rawValue }

    /// Starts a body; what it captures has to travel, as for ``ChildProcess``.
    func run<Success: Sendable>(_ body: @escaping @Sendable () throws -> Success) throws -> Running<Success> {
        guard let startMethod else { return Running(.thread(RunningThread(body))) }
        // One that hangs must not outlive the test's process.
        let child = try ChildProcess(startMethod: startMethod, options: Self.options, body)
        try child.start()
        return Running(.process(child))
    }

    private static var options: ProcessOptions {
        var options = ProcessOptions()
        options.isDaemon = true
        return options
    }

    /// A body that was started.
    struct Running<Success: Sendable>: Sendable {
        fileprivate enum Kind: Sendable {
            case process(ChildProcess<Success>)
            case thread(RunningThread<Success>)
        }

        private let kind: Kind

        fileprivate init(_ kind: Kind) {
            self.kind = kind
        }

        /// The process; nil for a thread, which cannot be killed.
        var process: ChildProcess<Success>? {
            if case .process(let child) = kind { child } else { nil }
        }

        /// Whether the body still runs.
        var isAlive: Bool {
            switch kind {
            case .process(let child): child.isAlive
            case .thread(let thread): !thread.join(timeout: .zero)
            }
        }

        /// Waits for its end; false when the time is over first.
        @available(*, noasync, message: "Use the async join: this one blocks the thread")
        func join(timeout: Duration = .seconds(30)) throws -> Bool {
            try blockingJoin(timeout)
        }

        /// Waits for its end; false when the time is over first.
        func join(timeout: Duration = .seconds(30)) async throws -> Bool {
            try await onThread { try blockingJoin(timeout) }
        }

        /// What the body returned; throws what it threw, and a ``CheckFailure`` when the time is over first.
        @available(*, noasync, message: "Use the async value: this one blocks the thread")
        func value(timeout: Duration = .seconds(30)) throws -> Success {
            try blockingValue(timeout)
        }

        /// What the body returned; throws what it threw, and a ``CheckFailure`` when the time is over first.
        func value(timeout: Duration = .seconds(30)) async throws -> Success {
            try await onThread { try blockingValue(timeout) }
        }

        private func blockingJoin(_ timeout: Duration) throws -> Bool {
            switch kind {
            case .process(let child): try child.join(timeout: timeout)
            case .thread(let thread): thread.join(timeout: timeout)
            }
        }

        private func blockingValue(_ timeout: Duration) throws -> Success {
            switch kind {
            case .process(let child):
                return try child.waitForValue(timeout: timeout)
            case .thread(let thread):
                try check(thread.join(timeout: timeout), "the thread did not end within \(timeout)")
                return try thread.result()
            }
        }
    }
}

/// A body on a thread of its own. A thread that hangs is left behind.
private final class RunningThread<Success: Sendable>: Sendable {
    private let outcome = Mutex<Result<Success, any Error>?>(nil)
    private let ended = DispatchGroup()

    init(_ body: @escaping @Sendable () throws -> Success) {
        ended.enter()
        Foundation.Thread.detachNewThread { [self] in
            let result = Result(catching: body)
            outcome.withLock { $0 = result }
            ended.leave()
        }
    }

    func join(timeout: Duration) -> Bool {
        let (seconds, attoseconds) = timeout.components
        let nanoseconds = Int(seconds) * 1_000_000_000 + Int(attoseconds / 1_000_000_000)
        return ended.wait(timeout: .now() + .nanoseconds(nanoseconds)) == .success
    }

    /// After the end.
    func result() throws -> Success {
        try outcome.withLock { $0! }.get()
    }
}
