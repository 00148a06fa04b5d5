internal import MultiprocessingSystem
internal import MultiprocessingWire
internal import SystemPackage

/// The life of a child made by a plain fork of the user's process: the body runs as it is, nothing was encoded.
enum ForkedBody {
    /// Called right after the fork, on the one thread that the copy has.
    ///
    /// That thread is left at once: Swift's `Mutex` caches its thread's id, which is the parent's, and as soon as a second
    /// thread of the copy contended for a lock, the kernel would refuse to unlock it. A new thread asks for its own id.
    static func live<Success>(
        _ body: @escaping @Sendable () throws -> Success,
        plan: LaunchPlan,
        attachments: LaunchPacket.Attachments,
        channel: CInt,
        lifeline: CInt
    ) -> Never {
        do throws(Errno) {
            // Signals are the parent's own affair; a child begins without its handlers.
            try ThisProcess.resetSignals()
            try ThisProcess.becomeGroupLeader()
            let lifelines = try ChildMain.armLifelines(lifeline)
            ThisProcess.setName(String(plan.identity.name.prefix(15)))
            try Thread.handOver {
                run(body, plan: plan, attachments: attachments, channel: channel, lifelines: lifelines)
            }
        } catch {
            ChildMain.fail(
                ProcessError(.setupFailed, "The copy could not be made a child", errno: error),
                over: channel
            )
        }
    }

    private static func run<Success>(
        _ body: () throws -> Success,
        plan: LaunchPlan,
        attachments: LaunchPacket.Attachments,
        channel: CInt,
        lifelines: [CInt]
    ) -> Never {
        var channel = channel
        do {
            var own = plan
            own.descriptorNumbers = []
            // The numbers are shared with the parent's table as it was: duplicates, so that placing them closes nothing else.
            var launch = LaunchPacket.Received(
                plan: own,
                job: JobStorage([]),
                directory: nil,
                streams: try attachments.streams.map { try $0.map { try Descriptor(duplicating: $0).release() } },
                passed: [],
                handles: []
            )
            try ChildMain.setUp(&launch, channel: &channel, lifelines: lifelines)
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
