internal import Glibc
internal import SystemPackage
internal import _MultiprocessingShims

/// This process's standard error, for passing on what others wrote. Never ends or stops this process.
public enum StandardError {
    /// Whether a write of up to 4096 bytes would not wait. A closed or broken stream counts as writable: writes to it vanish.
    public static func isWritable(within patience: Duration) -> Bool {
        do {
            return try waitUntilReady(Interest(2, forWriting: true), deadline: Deadline(after: patience))
        } catch {
            return true
        }
    }

    /// Writes to standard output in the same way, past its buffer.
    public static func writeToOutput(_ bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress else { return }
        _mp_write_quietly(1, base, bytes.count)
    }

    /// Writes; what cannot be written is dropped, without SIGPIPE.
    public static func write(_ bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress else { return }
        _mp_write_quietly(2, base, bytes.count)
    }
}
