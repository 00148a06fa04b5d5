internal import Glibc
internal import Synchronization

/// Runs a clean-up when the program is told to stop (Ctrl-C, SIGTERM, SIGHUP, a closed pipe), then lets the signal end it.
///
/// The handler only writes one byte to a pipe, all that a handler may safely do; a thread waits at the other end and does
/// the work in ordinary code. Handlers do not survive `exec`, so child programs are not affected.
package enum Interruption {
    private static let signals = [SIGINT, SIGTERM, SIGHUP, SIGPIPE]
    /// Read by the handler: a plain atomic word, no lazy initialisation left by the time a signal can come.
    private static let pipeEnd = Atomic<Int32>(-1)
    private static let stopping = Atomic<Bool>(false)

    /// Whether the program was told to stop and is cleaning up.
    package static var isStopping: Bool { stopping.load(ordering: .acquiring) }

    /// Installs the handlers; to be called once.
    ///
    /// `cleanUp` may run at any moment, in a thread of its own.
    package static func onStop(_ cleanUp: @escaping @Sendable () -> Void) throws {
        let (readingEnd, writingEnd) = try makePipe()
        pipeEnd.store(writingEnd, ordering: .releasing)
        _ = try PlainThread {
            var signal: [UInt8] = [0]
            guard readSome(readingEnd, into: &signal) == 1 else { return }
            cleanUp()
            die(of: Int32(signal[0]))
        }
        for signal in signals {
            var action = sigaction()
            sigaction(signal, nil, &action)
            // Who ignores it (`nohup`) wants it ignored.
            if action.__sigaction_handler.sa_handler.map({ unsafeBitCast($0, to: Int.self) }) == 1 { continue }
            action = sigaction()
            action.__sigaction_handler.sa_handler = { signal in
                let saved = errno
                Interruption.stopping.store(true, ordering: .releasing)
                var byte = UInt8(truncatingIfNeeded: signal)
                write(Interruption.pipeEnd.load(ordering: .acquiring), &byte, 1)
                errno = saved
            }
            action.sa_flags = SA_RESTART
            sigaction(signal, &action, nil)
        }
    }

    /// Waits for the program's end if it was told to stop, else returns at once.
    ///
    /// Ctrl-C also reaches the workers and the clean-up kills them: what then fails in the main thread is no news.
    package static func waitIfStopping() {
        while isStopping { pause() }
    }

    /// Ends the program by the very signal, so that a shell sees why.
    private static func die(of signal: Int32) {
        Glibc.signal(signal, SIG_DFL)
        kill(getpid(), signal)
        // The signal may be blocked in every thread; do not stay.
        sleep(1)
        _exit(128 + signal)
    }
}
