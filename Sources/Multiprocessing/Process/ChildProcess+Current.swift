internal import MultiprocessingSystem

extension ChildProcess where Success == Void {
    /// The process that asks.
    ///
    /// Python: `multiprocessing.current_process()`.
    public static var current: CurrentProcess { .value }

    /// The process that started this one; nil in a program that was not started by this library.
    ///
    /// Python: `multiprocessing.parent_process()`.
    public static var parent: ParentProcess? { CurrentProcess.value.parent }

    /// The children of this process that run, in the order of their start. Three system calls for each.
    ///
    /// Python: `multiprocessing.active_children()`.
    public static var activeChildren: [ProcessHandle] {
        Runtime.current.monitor.active.map { ProcessHandle(record: $0) }.filter(\.isAlive)
    }
}
