internal import Glibc

/// A line on the terminal that says what is being measured; nothing at all where stderr is no terminal.
package struct Progress: Sendable {
    private let isTerminal: Bool

    package init() {
        isTerminal = isatty(STDERR_FILENO) == 1
    }

    package func show(_ text: String) {
        // After a Ctrl-C nothing is written over the line that the clean-up has cleared.
        guard isTerminal, !Interruption.isStopping else { return }
        emit("\r\u{1B}[2K\(text)")
    }

    /// Removes the line; call before anything is printed.
    package func clear() {
        guard isTerminal else { return }
        emit("\r\u{1B}[2K")
    }

    private func emit(_ text: String) {
        let bytes = Array(text.utf8)
        _ = write(STDERR_FILENO, bytes, bytes.count)
    }
}
