internal import MultiprocessingSystem
internal import MultiprocessingWire
internal import SystemPackage

/// The life of a child made by a plain fork of the user's process: the body runs as it is, nothing was encoded.
enum ForkedBody {
    /// Runs everything on a thread of its own: Swift's `Mutex` caches its thread's id, and on the thread that was copied that is
    /// the parent's. Such a thread can take and release a lock that nobody else wants, but crashes over one that is contended.
    static func live<Success: Sendable>(
        _ body: @escaping @Sendable () throws -> Success,
        plan: LaunchPlan,
        attachments: LaunchPacket.Attachments,
        channel: CInt,
        lifeline: CInt
    ) -> Never {
        // Signals are for the body's thread; the name that `ps` shows is this one's.
        ThisProcess.blockSignalsInThread()
        ThisProcess.setName(String(plan.identity.name.prefix(15)))
        do throws(Errno) {
            try Thread.run {
                run(body, plan: plan, attachments: attachments, channel: channel, lifeline: lifeline)
            }
        } catch {
            ChildMain.fail(ProcessError(.setupFailed, "No thread for the body", errno: error), over: channel)
        }
        ThisProcess.exitNow(1)
    }

    private static func run<Success: Sendable>(
        _ body: () throws -> Success,
        plan: LaunchPlan,
        attachments: LaunchPacket.Attachments,
        channel: CInt,
        lifeline: CInt
    ) -> Never {
        var channel = channel
        do {
            // Signals are the parent's own affair; a child begins without its handlers.
            try ThisProcess.resetSignals()
            try ThisProcess.becomeGroupLeader()
            let lifelines = try ChildMain.armLifelines(lifeline)
            // The numbers are shared with the parent's table as it was: duplicates, so that placing them closes nothing else.
            let received = LaunchPacket.Received(
                plan: plan,
                job: .inline([]),
                directory: nil,
                streams: try attachments.streams.map { try $0.map { try Descriptor(duplicating: $0).release() } },
                passed: []
            )
            var own = received
            own.plan.descriptorNumbers = []
            try ChildMain.setUp(&own, channel: &channel, lifelines: lifelines)
            // They are where they belong; as with the other methods, programs that the body starts inherit them.
            for number in plan.descriptorNumbers { try ThisProcess.move(number, to: number) }
        } catch {
            ChildMain.fail(error, over: channel)
        }
        let result = Result { try Job.encodeResult(try body()) }
        let status = ChildBody.report(result, plan: plan, channel: channel)
        // Exit handlers and static destructors are the parent's: they run in the parent, once.
        ThisProcess.exitNow(status)
    }
}
