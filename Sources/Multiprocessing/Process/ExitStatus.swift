/// How a process ended.
///
/// Python: `Process.exitcode`, where `.exited(n)` is `n` and `.signalled(n)` is `-n`.
public enum ExitStatus: Hashable, Sendable, Codable, CustomStringConvertible {
    /// It returned from its body (0), threw an error (1), or called `exit(code)`.
    case exited(Int32)
    /// A signal ended it.
    case signalled(Int32)
    /// It ended, and somebody else in this program collected the status (a wait for "any child", an ignored SIGCHLD).
    case unknown

    /// Whether the process ended with exit code 0.
    public var isSuccess: Bool {
        self == .exited(0)
    }

    /// The number that Python's `exitcode` would be; nil when unknown.
    public var code: Int? {
        switch self {
        case .exited(let code): Int(code)
        case .signalled(let signal): -Int(signal)
        case .unknown: nil
        }
    }

    public var description: String {
        switch self {
        case .exited(let code): "exit code \(code)"
        case .signalled(let signal): "signal \(signal) (\(signalName(signal)))"
        case .unknown: "unknown status"
        }
    }
}

/// A signal's usual name.
func signalName(_ number: Int32) -> String {
    let names: [Int32: String] = [
        1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE",
        9: "SIGKILL", 10: "SIGUSR1", 11: "SIGSEGV", 12: "SIGUSR2", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM",
        17: "SIGCHLD", 18: "SIGCONT", 19: "SIGSTOP", 20: "SIGTSTP", 21: "SIGTTIN", 22: "SIGTTOU", 24: "SIGXCPU",
        25: "SIGXFSZ", 31: "SIGSYS",
    ]
    return names[number] ?? "signal \(number)"
}
