import Dispatch
import Foundation
import Multiprocessing
import SystemPackage
import Testing

extension ProcessTests {
    /// What a body may do, and what happens when it is done.
    @Suite struct BodyTests {
        // CPython: _TestSubclassingProcess.test_subclassing
        // Adapted: a value with a method takes the place of a subclass with run().
        @Test(arguments: StartMethod.allCases) func valueWithARunMethod(method: StartMethod) async throws {
            struct UpperCaser: Codable, Sendable {
                var input: Int32
                var output: Int32
                func run() {
                    while case let request = line(from: input), !request.isEmpty {
                        put(request.uppercased() + "\n", to: output)
                    }
                }
            }
            try await isolated {
                let (requests, answers) = (try PlainPipe(), try PlainPipe())
                let server = UpperCaser(input: requests.reading.rawValue, output: answers.writing.rawValue)
                var options = ProcessOptions()
                options.startMethod = method
                options.descriptors = [requests.reading, answers.writing]
                let child = try ChildProcess(arguments: server, options: options) { $0.run() }
                try child.start()
                for text in ["hello", "wörld"] {
                    put(text + "\n", to: requests.writing.rawValue)
                    try check(line(from: answers.reading.rawValue), is: text.uppercased())
                }
                put("\n", to: requests.writing.rawValue)
                try check(child.join(timeout: .seconds(20)))
                try check(child.exitStatus, is: .exited(0))
            }
        }

        // CPython: _TestSubclassingProcess.test_sys_exit
        // Adapted: exit(n), a return and a thrown error take the place of sys.exit's argument of any type.
        @Test(arguments: StartMethod.allCases) func exitCodes(method: StartMethod) async throws {
            try await isolated {
                for code: Int32 in [0, 1, 7, 255] {
                    let child = try ChildProcess(startMethod: method) { exit(code) }
                    try child.start()
                    try check(child.join(timeout: .seconds(20)))
                    try check(child.exitStatus, is: .exited(code))
                    try check(child.exitStatus?.code, is: Int(code))
                    try check(child.crash, is: nil)
                    let error = try check(throws: .noValue) { _ = try child.waitForValue() }
                    try check(error.exitStatus, is: .exited(code))
                }
                let thrower = try ChildProcess(startMethod: method, options: .quiet) {
                    throw CheckFailure(text: "", place: "")
                }
                try thrower.start()
                try check(thrower.join(timeout: .seconds(20)))
                try check(thrower.exitStatus, is: .exited(1))
            }
        }

        // CPython: _TestAtExit.test_atexit
        // Adapted: atexit of libc. A child by .fork is a copy of its parent, whose handlers would run twice: there, none do.
        @Test(arguments: StartMethod.allCases) func exitHandlers(method: StartMethod) async throws {
            try await isolated {
                let pipe = try PlainPipe()
                var options = ProcessOptions()
                options.startMethod = method
                options.descriptors = [pipe.writing]
                let child = try ChildProcess(arguments: pipe.writing.rawValue, options: options) { output in
                    handlerOutput.store(output)
                    atexit { put("handler ran in \(getpid())", to: handlerOutput.load()) }
                }
                try child.start()
                try check(child.join(timeout: .seconds(20)))
                let expected = method == .fork ? "" : "handler ran in \(child.processIdentifier!)"
                try check(pipe.closeAndRead(), is: expected)
            }
        }

        // CPython: _TestProcess.test_wait_for_threads
        // Adapted: what a body leaves running ends with it, as with a return from main; CPython waits for non-daemonic threads.
        @Test(arguments: StartMethod.allCases) func threadsLeftBehindEndWithTheBody(method: StartMethod) async throws {
            try await isolated {
                let pipe = try PlainPipe()
                var options = ProcessOptions()
                options.startMethod = method
                options.descriptors = [pipe.writing]
                let child = try ChildProcess(arguments: pipe.writing.rawValue, options: options) { output in
                    Thread.detachNewThread {
                        pause(.seconds(30))
                        put("still here", to: output)
                    }
                }
                let begin = ContinuousClock.now
                try child.start()
                try check(child.join(timeout: .seconds(20)))
                try check(ContinuousClock.now - begin < .seconds(10))
                try check(child.exitStatus, is: .exited(0))
                try check(pipe.closeAndRead(), is: "")
            }
        }

        @Test(arguments: [StartMethod.forkServer, .spawn]) func tasksLeftBehindEndWithTheBody(method: StartMethod)
            async throws
        {
            let begin = ContinuousClock.now
            let value = try await ChildProcess.run(startMethod: method) { () async throws -> Int in
                Task.detached { try await Task.sleep(for: .seconds(30)) }
                try await Task.sleep(for: .milliseconds(1))
                return 3
            }
            #expect(value == 3)
            #expect(ContinuousClock.now - begin < .seconds(10))
        }

        @Test(arguments: [StartMethod.forkServer, .spawn]) func concurrencyInAnAsynchronousBody(method: StartMethod)
            async throws
        {
            let sum = try await ChildProcess.run(arguments: 100, startMethod: method) { count async throws -> Int in
                try await withThrowingTaskGroup(of: Int.self) { group in
                    for index in 1...count {
                        group.addTask {
                            try await Task.sleep(for: .milliseconds(1))
                            return index
                        }
                    }
                    return try await group.reduce(0, +)
                }
            }
            #expect(sum == 5050)
        }

        @Test(arguments: [StartMethod.forkServer, .spawn]) func dispatchInASynchronousBody(method: StartMethod)
            async throws
        {
            let sum = try await ChildProcess.run(startMethod: method) {
                let sum = LockedNumber()
                DispatchQueue.concurrentPerform(iterations: 100) { sum.add(Int32($0)) }
                let done = DispatchSemaphore(value: 0)
                DispatchQueue.global().asyncAfter(deadline: .now() + .milliseconds(5)) { done.signal() }
                done.wait()
                return sum.load()
            }
            #expect(sum == 4950)
        }

        @Test(arguments: [StartMethod.forkServer, .spawn]) func mainActorRunsOnTheMainThread(method: StartMethod)
            async throws
        {
            let seen = try await ChildProcess.run(startMethod: method) { @MainActor () async throws -> [String] in
                let before = linkTarget("/proc/thread-self") ?? ""
                let elsewhere = await Task.detached { linkTarget("/proc/thread-self") ?? "" }.value
                let after = linkTarget("/proc/thread-self") ?? ""
                return [before, elsewhere, after, "\(getpid())/task/\(getpid())"]
            }
            #expect(seen[0] == seen[3])
            #expect(seen[1] != seen[3])
            #expect(seen[2] == seen[3])
        }

        @Test(arguments: StartMethod.allCases) func whatABodyPrintsIsFlushed(method: StartMethod) async throws {
            try await isolated {
                let pipe = try PlainPipe()
                var options = ProcessOptions()
                options.startMethod = method
                options.standardOutput = .descriptor(pipe.writing)
                let child = try ChildProcess(options: options) { print("buffered", terminator: "") }
                try child.start()
                try check(child.join(timeout: .seconds(20)))
                try check(pipe.closeAndRead(), is: "buffered")
            }
        }
    }
}

/// A number behind a lock; a global, so that a C callback reaches it.
final class LockedNumber: @unchecked Sendable {
    private let lock = NSLock()  // guards `value`
    private var value: Int32 = 0

    func store(_ new: Int32) { lock.withLock { value = new } }
    func add(_ more: Int32) { lock.withLock { value += more } }
    func load() -> Int32 { lock.withLock { value } }
}

private let handlerOutput = LockedNumber()

extension ProcessOptions {
    /// With standard error thrown away: for children whose complaints are part of the test.
    static var quiet: ProcessOptions {
        var options = ProcessOptions()
        options.standardError = .null
        return options
    }
}
