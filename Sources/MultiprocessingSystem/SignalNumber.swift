internal import Glibc

/// The signals that the library itself sends.
public enum SignalNumber {
    /// Ctrl-C in a terminal.
    public static let interrupt = SIGINT
    /// Asks a process to end.
    public static let terminate = SIGTERM
    /// Ends a process, stopped or not.
    public static let kill = SIGKILL
    /// Stops a process until it is resumed.
    public static let stop = SIGSTOP
    /// Lets a stopped process go on.
    public static let resume = SIGCONT
}
