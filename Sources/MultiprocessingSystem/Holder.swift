internal import _MultiprocessingShims

/// Who in this process is running: a Swift task, or a thread that runs none.
public enum Holder {
    /// The current task if there is one, else the current thread. Two thread-local loads.
    ///
    /// A task keeps its number wherever it resumes. No number is zero, and none is used again while the process lives.
    public static var current: UInt64 { _mp_holder_self() }
}
