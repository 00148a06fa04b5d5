internal import Glibc
public import SystemPackage
internal import _MultiprocessingShims

/// Threads of the library's own. They handle no signals but those of their own faults: the others are for the program's threads.
public enum Thread {
    /// Starts a thread that nobody joins.
    public static func detach(named name: String, _ body: @escaping @Sendable () -> Void) throws(Errno) {
        let thread = try start(named: name, body)
        pthread_detach(thread)
    }

    /// Runs `body` on a thread of its own and waits for it to end.
    ///
    /// What the thread cached about itself goes with it: see the fork server's preload hook.
    public static func run(_ body: @escaping @Sendable () -> Void) throws(Errno) {
        let thread = try start(named: nil, body)
        pthread_join(thread, nil)
    }

    /// Goes on in a thread of its own, for the rest of the process's life; signals are that thread's from here on.
    public static func handOver(to body: @escaping @Sendable () -> Never) throws(Errno) -> Never {
        let thread = try start(named: nil, handlesSignals: true) { body() }
        ThisProcess.blockSignalsInThread()
        pthread_join(thread, nil)
        ThisProcess.exitNow(1)
    }

    private static func start(
        named name: String?,
        handlesSignals: Bool = false,
        _ body: @escaping @Sendable () -> Void
    ) throws(Errno) -> pthread_t {
        let box = Unmanaged.passRetained(Box(name: name, handlesSignals: handlesSignals, body: body))
        var thread = pthread_t()
        let error = pthread_create(
            &thread,
            nil,
            { argument in
                let box = Unmanaged<Box>.fromOpaque(argument!).takeRetainedValue()
                if !box.handlesSignals { ThisProcess.blockSignalsInThread() }
                if let name = box.name { ThisProcess.setName(name) }
                // The runtime has one for the main thread only: what overflowed another's stack would not be explained.
                let signalStack = _mp_install_signal_stack()
                box.body()
                _mp_remove_signal_stack(signalStack)
                return nil
            },
            box.toOpaque()
        )
        guard error == 0 else {
            box.release()
            throw Errno(rawValue: error)
        }
        return thread
    }

    private final class Box: Sendable {
        let name: String?
        let handlesSignals: Bool
        let body: @Sendable () -> Void

        init(name: String?, handlesSignals: Bool, body: @escaping @Sendable () -> Void) {
            self.name = name
            self.handlesSignals = handlesSignals
            self.body = body
        }
    }
}
