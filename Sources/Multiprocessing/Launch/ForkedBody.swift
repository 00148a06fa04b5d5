internal import MultiprocessingSystem
internal import MultiprocessingWire
internal import SystemPackage

/// The life of a child made by a plain fork of the user's process: the body runs as it is, nothing was encoded.
enum ForkedBody {
    static func live<Success>(
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
                job: JobStorage([]),
                directory: nil,
                streams: try attachments.streams.map { try $0.map { try Descriptor(duplicating: $0).release() } },
                passed: []
            )
            var own = received
            own.plan.descriptorNumbers = []
            try ChildMain.setUp(own, channel: &channel, lifelines: lifelines)
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
