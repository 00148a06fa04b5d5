import Foundation
import Glibc
import Testing

/// A run of a scenario program, by Foundation's Process: what is tested must not start its own test.
final class Scenario {
    /// Where the build puts programs: beside the test bundle.
    static let directory = URL(fileURLWithPath: linkTarget("/proc/self/exe") ?? "/").deletingLastPathComponent().path

    private let process = Process()
    private let output = Pipe()
    private let errors = Pipe()
    private let ended = DispatchSemaphore(value: 0)

    init(
        _ arguments: [String],
        program: String = "mp-scenarios",
        path: String? = nil,
        directory: String? = nil,
        environment: [String: String] = [:],
        limit: Double = 30
    ) throws {
        process.executableURL = URL(fileURLWithPath: path ?? "\(Self.directory)/\(program)")
        process.arguments = arguments
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output
        process.standardError = errors
        if let directory { process.currentDirectoryURL = URL(fileURLWithPath: directory) }
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        try process.run()
        // Nothing that a scenario does may hold up the tests.
        let pid = process.processIdentifier
        Thread.detachNewThread { [ended] in
            if ended.wait(timeout: .now() + limit) == .timedOut { Glibc.kill(pid, SIGKILL) }
        }
        try output.fileHandleForWriting.close()
        try errors.fileHandleForWriting.close()
    }

    var processIdentifier: Int32 { process.processIdentifier }

    /// The next line of its output; empty at the end.
    func nextLine() -> String { line(from: output.fileHandleForReading.fileDescriptor) }

    /// How it ended, and what it wrote until then.
    func finish() -> (status: Int32, wasSignalled: Bool, output: String, errors: String) {
        // An end of file also says that nobody who had this stream is left.
        let (box, collected) = (Box(), DispatchSemaphore(value: 0))
        Thread.detachNewThread { [file = self.errors.fileHandleForReading.fileDescriptor] in
            box.text = readAll(file)
            collected.signal()
        }
        let text = readAll(output.fileHandleForReading.fileDescriptor)
        collected.wait()
        process.waitUntilExit()
        ended.signal()
        return (process.terminationStatus, process.terminationReason == .uncaughtSignal, text, box.text)
    }

    /// Written before the semaphore is signalled, read after: that is the lock.
    private final class Box: @unchecked Sendable {
        var text = ""
    }
}
