import Glibc
import Multiprocessing

/// Every start method with every kind of body: what has to hold in any build, with the standard library linked either way.
enum SelfTest {
    struct Failure: Error, Codable, Equatable {
        var text: String
    }

    struct Plain: Error {}

    static func run() async throws {
        for method in StartMethod.allCases {
            try await synchronousBodies(method)
            if method != .fork { try await asynchronousBodies(method) }
            try await ends(method)
            say("OK \(method)")
        }
        try await nested()
        say("OK nested")
    }

    private static func synchronousBodies(_ method: StartMethod) async throws {
        let factor = 3
        let words = ["a", "b"]
        let captured = try await ChildProcess.run(startMethod: method) { words.map { "\($0)\(factor)" } }
        require(captured == ["a3", "b3"], "\(method): captures gave \(captured)")

        let large = [UInt8](repeating: 1, count: 3_000_000)
        let back = try await ChildProcess.run(arguments: large, startMethod: method) { $0 + [2] }
        require(back == large + [2], "\(method): a large value came back as \(back.count) bytes")

        let child = try ChildProcess(name: "Named", startMethod: method) { ChildProcess.current.name }
        try child.start()
        let name = try waitBlocking(child)
        require(name == "Named", "\(method): the name is \(name)")
    }

    private static func waitBlocking(_ child: ChildProcess<String>) throws -> String {
        try child.waitForValue(timeout: .seconds(20))
    }

    private static func asynchronousBodies(_ method: StartMethod) async throws {
        let slept = try await ChildProcess.run(startMethod: method) { () async throws -> Int in
            try await withThrowingTaskGroup(of: Int.self) { group in
                for index in 1...10 {
                    group.addTask {
                        try await Task.sleep(for: .milliseconds(index))
                        return index
                    }
                }
                return try await group.reduce(0, +)
            }
        }
        require(slept == 55, "\(method): an asynchronous body gave \(slept)")
        let main = try await ChildProcess.run(startMethod: method) { @MainActor () async throws -> Bool in
            await Task.yield()
            return threadIdentifier() == getpid()
        }
        require(main, "\(method): the main actor is not on the main thread")
    }

    /// The kernel's id of the calling thread: the last part of "pid/task/tid".
    private static func threadIdentifier() -> Int32 {
        var buffer = [CChar](repeating: 0, count: 100)
        let count = readlink("/proc/thread-self", &buffer, 99)
        return Int32(
            String(decoding: buffer[..<max(count, 0)].map { UInt8($0) }, as: UTF8.self).split(separator: "/").last ?? ""
        )
            ?? 0
    }

    private static func ends(_ method: StartMethod) async throws {
        var options = ProcessOptions()
        options.startMethod = method
        do {
            try await ChildProcess.run(options: options) { throw Failure(text: "typed") }
            require(false, "\(method): nothing was thrown")
        } catch {
            require(error as? Failure == Failure(text: "typed"), "\(method): threw \(error)")
        }
        do {
            try await ChildProcess.run(options: options) { throw Plain() }
            require(false, "\(method): nothing was thrown")
        } catch {
            require((error as? RemoteError)?.typeName.contains("Plain") == true, "\(method): threw \(error)")
        }
        // A crash is expected; its text is not for the reader.
        let silence = open("/dev/null", O_WRONLY)
        let saved = dup(2)
        dup2(silence, 2)
        defer {
            dup2(saved, 2)
            close(saved)
            close(silence)
        }
        do {
            let nothing: Int? = CommandLine.arguments.isEmpty ? 1 : nil
            _ = try await ChildProcess.run(options: options) { nothing! }
            require(false, "\(method): a trap gave a value")
        } catch {
            let crash = error as? ProcessCrash
            require(crash?.reason == .trap, "\(method): a trap threw \(error)")
        }
        do {
            try await ChildProcess.run(options: options) { () -> Void in abort() }
        } catch {
            require((error as? ProcessCrash)?.reason == .abort, "\(method): abort threw \(error)")
        }
        do {
            try await ChildProcess.run(options: options) { () -> Void in exit(9) }
        } catch {
            require((error as? ProcessError)?.exitStatus == .exited(9), "\(method): exit threw \(error)")
        }
    }

    private static func nested() async throws {
        let path = try await ChildProcess.run { () async throws -> String in
            let inner = try await ChildProcess.run(startMethod: .spawn) { () async throws -> String in
                try await ChildProcess.run { ChildProcess.current.name } + " < " + ChildProcess.current.name
            }
            return inner + " < " + ChildProcess.current.name
        }
        require(path.split(separator: "<").count == 3, path)
    }
}
