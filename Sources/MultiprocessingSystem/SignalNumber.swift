internal import Glibc

/// The signals that the library itself sends.
public enum SignalNumber {
    /// Ctrl-C in a terminal.
    public static let interrupt = SIGINT
    /// Asks a process to end.
    public static let terminate = SIGTERM
    /// Ends a process, stopped or not.
    public static let kill = SIGKILL
    /// Lets a stopped process go on.
    public static let resume = SIGCONT
}
