internal import MultiprocessingSystem
internal import MultiprocessingWire
internal import SystemPackage

/// The fork server: a copy of the program that never reaches `main` and never has a second thread.
///
/// It does one thing: on request it forks processes that wait for a launch, and names them. Each announces itself to the parent with
/// its end of a fresh channel; from then on the server has no part in it. They are children of the *parent* (see
/// `_mp_fork_sibling`), so the server's death costs nobody anything but the next start a few milliseconds.
///
/// Descriptors are plain numbers here: across a fork each has two owners, and the code says which one closes.
enum ForkServerMain {
    static func run(control: CInt, lifeline: CInt) -> Never {
        // A server that is stopped, or busy in a preload hook, goes with its parent too.
        guard let lifelines = try? ChildMain.armLifelines(lifeline) else { ThisProcess.exitNow(0) }
        ThisProcess.setName("mp-forkserver")
        Rehearsal.runInServer()
        while true {
            guard case .some(.some(var packet)) = try? Descriptor.receive(from: control) else { ThisProcess.exitNow(0) }
            switch ForkServerRequest(packet) {
            case .fork(let count):
                for _ in 0..<count { fork(control: control, lifeline: lifeline, lifelines: lifelines) }
            case .preload(let bytes):
                preload(bytes).send(over: control)
            case nil:
                ThisProcess.exitNow(1)
            }
            packet.closeRest()
        }
    }

    /// Makes one waiting process.
    private static func fork(control: CInt, lifeline: CInt, lifelines: [CInt]) {
        do throws(Errno) {
            let channel = try Descriptor.socketPairNumbers()
            let pid: CInt
            do throws(Errno) {
                pid = try ChildControl.forkSibling()
            } catch {
                close(channel.parent, channel.child)
                throw error
            }
            guard pid == 0 else {
                // The server keeps neither end: a third holder would keep child and parent from seeing each other go.
                close(channel.parent, channel.child)
                ForkServerReply.forked(pid).send(over: control)
                return
            }
            becomeWaitingProcess(channel: channel, control: control, lifeline: lifeline, inherited: lifelines)
        } catch {
            ForkServerReply.failed(error.rawValue).send(over: control)
        }
    }

    private static func becomeWaitingProcess(
        channel: (parent: CInt, child: CInt),
        control: CInt,
        lifeline: CInt,
        inherited: [CInt]
    ) -> Never {
        do throws(Errno) {
            for number in inherited { close(number) }
            try ThisProcess.becomeGroupLeader()
            let lifelines = try ChildMain.armLifelines(lifeline)
            ForkServerReply.ready(ThisProcess.identifier, channel: channel.parent).send(over: control)
            close(lifeline, channel.parent, control)
            Rehearsal.run()
            ChildMain.serve(channel: channel.child, lifelines: lifelines)
        } catch {
            ForkServerReply.unfit(ThisProcess.identifier, error.rawValue).send(over: control)
            ThisProcess.exitNow(1)
        }
    }

    /// Runs the preload hook, on a thread that is gone afterwards: Swift's `Mutex` caches its thread's id, and a child forked
    /// from a thread that ever locked one would unlock with the server's id, which the kernel refuses as soon as another
    /// thread contends. For the same reason nothing on the server's own thread may use a `Mutex`.
    private static func preload(_ bytes: [UInt8]) -> ForkServerReply {
        let box = ReplyBox()
        do throws(Errno) {
            try Thread.run {
                box.reply = runPreload(bytes)
            }
        } catch {
            return .preloadFailed("No thread for the preload hook: \(error)")
        }
        // A fork copies one thread; whatever lock another held would stay locked for ever.
        guard case .preloaded = box.reply else { return box.reply }
        let threads = (try? ThisProcess.threadCount()) ?? 0
        guard threads == 1 else {
            return .preloadFailed(
                "The preload hook started \(threads - 1) thread(s); a process with threads cannot be forked"
            )
        }
        return .preloaded
    }

    private static func runPreload(_ bytes: [UInt8]) -> ForkServerReply {
        do {
            let job = try ReceivedJob(JobStorage(bytes))
            _ = try job.runSynchronously()
            return .preloaded
        } catch {
            return .preloadFailed("The preload hook failed: \(error)")
        }
    }

    /// Written by the hook's thread, read after that thread was joined: the join is the synchronisation.
    private final class ReplyBox: @unchecked Sendable {
        var reply = ForkServerReply.preloadFailed("The preload hook ended its thread")
    }

    private static func close(_ numbers: CInt...) {
        for number in numbers { _ = Descriptor(owning: number) }
    }
}
