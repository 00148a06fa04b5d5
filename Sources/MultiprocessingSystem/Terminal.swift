internal import _MultiprocessingShims

/// A file that may be a terminal, and a line on it that is drawn anew again and again. Never ends or stops this process.
public struct Terminal: Sendable {
    private let file: CInt

    /// - Parameter file: the number of an open descriptor, which stays its owner's.
    public init(file: CInt) {
        self.file = file
    }

    /// Whether it is one. One system call.
    public var isTerminal: Bool { _mp_is_terminal(file) == 1 }
    /// How wide it is at this moment; nil if it does not say. One system call.
    public var columns: Int? {
        let columns = _mp_terminal_columns(file)
        return columns > 0 ? Int(columns) : nil
    }

    /// Whether a write of up to 4096 bytes would not wait: a terminal may be stopped, and nobody may read a pipe. What is closed or broken
    /// counts as writable: writes to it vanish.
    public func isWritable(within patience: Duration) -> Bool {
        do {
            return try waitUntilReady(Interest(file, forWriting: true), deadline: Deadline(after: patience))
        } catch {
            return true
        }
    }

    /// Writes, and blocks the thread while there is no room; what cannot be written is dropped, without SIGPIPE.
    public func write(_ text: String) {
        var text = text
        text.withUTF8 { bytes in
            if let base = bytes.baseAddress { _mp_write_quietly(file, base, bytes.count) }
        }
    }

    /// Has the line at which the cursor is erased if Ctrl-C, SIGTERM or a hang-up end this process. One line at a time in a process.
    public func beginLine() { _mp_line_begin(file) }
    /// No more. For whoever called ``beginLine()``.
    public func endLine() { _mp_line_end() }
}
