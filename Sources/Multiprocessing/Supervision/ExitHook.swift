internal import MultiprocessingSystem
internal import Synchronization

/// What happens to running children when this process leaves normally (a return from `main`, `exit`).
///
/// Those that are not daemons get a soft signal and a moment. Whoever is left then is killed by the lifeline, as after any
/// other kind of end.
enum ExitHook {
    private static let moment: Duration = .milliseconds(400)
    private static let installed = Atomic(false)

    /// With the first child.
    static func install() {
        guard !installed.exchange(true, ordering: .relaxed) else { return }
        ThisProcess.atExit { ExitHook.run() }
    }

    private static func run() {
        let children = Runtime.current.monitor.active.filter { !$0.isDaemon }
        guard !children.isEmpty else { return }
        for child in children { try? child.signal(SignalNumber.terminate) }
        let deadline = Deadline(after: moment)
        for child in children { _ = try? child.waitBlocking(deadline: deadline) }
    }
}
