internal import Glibc

/// The signals that the library itself sends, or keeps away.
public enum SignalNumber {
    /// Ctrl-C in a terminal.
    public static let interrupt = SIGINT
    /// The terminal is gone.
    public static let hangUp = SIGHUP
    /// Ctrl-\ in a terminal.
    public static let quit = SIGQUIT
    /// Written to a pipe that nobody reads.
    public static let pipe = SIGPIPE
    /// Asks a process to end.
    public static let terminate = SIGTERM
    /// Ends a process, stopped or not.
    public static let kill = SIGKILL
    /// Stops a process until it is resumed.
    public static let stop = SIGSTOP
    /// Lets a stopped process go on.
    public static let resume = SIGCONT
}
