import Glibc

/// A program of many small programs: `mp-scenarios NAME ARGUMENTS…`. For what cannot be tested inside a test process: how a
/// program ends, what it was started with, what becomes of its executable.
@main
enum Scenarios {
    static func main() async throws {
        // Started from a thread of Dispatch, which blocks most signals.
        var none = sigset_t()
        sigemptyset(&none)
        sigprocmask(SIG_SETMASK, &none, nil)
        let arguments = Array(CommandLine.arguments.dropFirst())
        let rest = Array(arguments.dropFirst())
        switch arguments.first {
        case "selftest": try await SelfTest.run()
        case "family": try Family.run(ending: rest[0], method: rest[1])
        case "collisions": try Collisions.run(method: rest[0])
        case "relative-path": try Programs.relativePath(method: rest[0])
        case "moved": try Programs.moved(what: rest[0], method: rest[1])
        case "environment": try Programs.environment(method: rest[0])
        case "nobody": try Programs.nobody(method: rest[0])
        case "arguments": try Programs.arguments(method: rest[0])
        case "rounds": try Rounds.run(count: Int(rest[0])!, atOnce: Int(rest[1])!, method: rest[2])
        case "fork-bare": try Programs.forkBare()
        case "segments": try await Segments.run(rest)
        case "left-copy": try LeftCopy.run(method: rest[0])
        case "terminal": try Terminals.run(method: rest[0], waitingFor: rest[1])
        case "progress": ProgressScenario.run()
        case "shell": Terminals.shell(method: rest[0], waitingFor: rest[1])
        case "pool-forms": try await PoolPrograms.forms(threads: rest[0] == "threads")
        case "keep-pool": try await PoolPrograms.keepPool(method: rest[0])
        case "stream-worker": try await Streams.worker()
        case "stream-pool": try await Streams.pool(at: rest[0], workers: Int(rest[1])!)
        default:
            say("unknown scenario \(arguments)", to: 2)
            exit(64)
        }
    }
}

/// Writes a line at one go, past any buffer.
func say(_ text: String, to file: Int32 = 1) {
    let bytes = Array((text + "\n").utf8)
    _ = write(file, bytes, bytes.count)
}

/// Ends the program with a message unless the condition holds.
func require(_ condition: Bool, _ text: @autoclosure () -> String, line: Int = #line) {
    if condition { return }
    say("FAILED in line \(line): \(text())", to: 2)
    exit(1)
}

/// Blocks the thread.
func pause(milliseconds: Int) {
    usleep(UInt32(milliseconds) * 1000)
}
