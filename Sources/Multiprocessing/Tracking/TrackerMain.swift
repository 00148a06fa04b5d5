internal import MultiprocessingSystem
internal import SystemPackage

/// The tracker: a copy of the program that never reaches `main`, outlives the program, and removes its named segments.
///
/// It belongs to nobody's family: the program's death, Ctrl-C in its terminal, a signal to its group and its lifeline do not
/// reach it. It holds none of the program's files, so that nobody who reads from the program waits for it. It ends when no
/// process of the program is connected and no segment of theirs is left, with status 1 if it had to remove any that a
/// process had left behind, else 0.
enum TrackerMain {
    private static let listenerToken: UInt64 = 0
    private static let shortestPause: Duration = .milliseconds(10)
    private static let longestPause: Duration = .seconds(1)

    static func run(listener: CInt) -> Never {
        do throws(Errno) {
            // The program waits for this first process, and reaps it.
            guard try ChildControl.fork() == 0 else { ThisProcess.exitNow(0) }
            try ThisProcess.becomeSessionLeader()
            try ThisProcess.setSignals(
                ignored: [
                    SignalNumber.hangUp, SignalNumber.interrupt, SignalNumber.quit, SignalNumber.terminate,
                    SignalNumber.pipe,
                ],
                blocked: []
            )
            for stream in 0...2 as ClosedRange<CInt> {
                try ThisProcess.move(Descriptor(opening: "/dev/null", flags: 2).release(), to: stream)
            }
            ThisProcess.closeRange(listener + 1)
            try ThisProcess.changeDirectory(to: "/")
            ThisProcess.setName("mp-tracker")
            try serve(listener)
        } catch {
            ThisProcess.exitNow(2)
        }
    }

    private static func serve(_ listener: CInt) throws(Errno) -> Never {
        let poller = try Poller()
        try poller.add(listener, token: listenerToken)
        var segments = TrackedSegments()
        var connections = Connections()
        var pause = shortestPause
        // Before anybody is greeted: what is reported to this tracker is not taken for a leftover.
        Segment.sweep()
        while true {
            if segments.isEmpty {
                // Whoever started this has connected before it started it. Whoever connects after this look gets no
                // greeting, and starts another tracker.
                connections.accept(listener, poller, &segments)
                if segments.isEmpty { ThisProcess.exitNow(segments.hasRemovedLeaks ? 1 : 0) }
            }
            let limit = segments.pending.isEmpty ? -1 : CInt(pause / .milliseconds(1))
            let tokens = poller.wait(milliseconds: limit)
            for token in tokens {
                if token == listenerToken {
                    connections.accept(listener, poller, &segments)
                } else {
                    connections.read(token, &segments)
                }
            }
            segments.collect(Segment.removeIfUnused)
            // Users that are left may stay for hours; those who have just lost a companion may leave in a moment.
            pause = tokens.isEmpty ? min(pause * 2, longestPause) : shortestPause
        }
    }

    private struct Connections {
        private var files: [UInt64: SharedDescriptor] = [:]
        private var lastToken = listenerToken

        mutating func accept(_ listener: CInt, _ poller: borrowing Poller, _ segments: inout TrackedSegments) {
            while true {
                do throws(Errno) {
                    let file = SharedDescriptor(try Rendezvous.accept(listener))
                    // One that is gone already may have left reports.
                    try? file.descriptor.sendBytes(TrackerReport.greeting(from: ThisProcess.identifier), wait: false)
                    try poller.add(file.number, token: lastToken + 1)
                    lastToken += 1
                    files[lastToken] = file
                    segments.connect(lastToken)
                } catch {
                    switch error {
                    case .permissionDenied, .connectionAbort, .interrupted: continue
                    // None there. Or no room for it: without a greeting it finds help elsewhere, and this must not spin.
                    case .resourceTemporarilyUnavailable: return
                    default:
                        ThisProcess.pause(.milliseconds(100))
                        return
                    }
                }
            }
        }

        /// Takes in what a process has reported, up to its end.
        mutating func read(_ token: UInt64, _ segments: inout TrackedSegments) {
            guard let file = files[token] else { return }
            while true {
                do throws(Errno) {
                    guard var packet = try file.descriptor.receive(wait: false) else { break }
                    packet.closeRest()
                    guard let report = TrackerReport(packet.bytes) else { continue }
                    segments.apply(report, from: token, isThere: Segment.isThere)
                } catch {
                    if error == .resourceTemporarilyUnavailable { return }
                    if error == .messageTooLong { continue }
                    break
                }
            }
            files[token] = nil
            segments.disconnect(token)
        }
    }
}
