internal import MultiprocessingSystem
internal import MultiprocessingWire
internal import SystemPackage

/// A launch played through with a job of our own, before the real one.
///
/// Once in the fork server: finding types, conformances and symbols, reading the program's own images and checking the layout
/// of closures then is done for every child, which shares the caches. And once in each process that is kept ready: a forked
/// process begins with an almost empty page table, and touching the same pages again is two thirds of the way from the
/// launch to the body's first instruction. Both happen while nobody waits.
enum Rehearsal {
    /// In the fork server: on a thread that is gone afterwards, because of the locks in it (see `ForkServerMain.preload`).
    static func runInServer() {
        try? Thread.run {
            run()
            _ = try? BinaryDecoder().decode(LaunchSettings.self, from: BinaryEncoder().encode(fullSettings))
            rehearseResults(
                true,
                1,
                1.0,
                "",
                [1],
                [1.0],
                [""],
                [UInt8(1)],
                ["": 1],
                Int32(1),
                Int64(1),
                UInt64(1),
                Optional(1),
                (1, "")
            )
            // Decoded only: running it would start the concurrency runtime's threads.
            let text = plan.parent.name
            if let work = try? Work(asynchronous: { text }, #fileID, #line), case .encoded(let job) = work.form {
                _ = try? ReceivedJob(JobStorage(EncodedPieces(pieces: job.pieces).joined()))
            }
            _ = ErrorCoding.encode(RemoteError(typeName: "", message: "", processName: "", processIdentifier: 0))
        }
        // What is cached for each thread has to be the server's own, because a child continues that one.
        _ = try? BinaryDecoder().decode(Int.self, from: BinaryEncoder().encode(1))
    }

    /// Finds the codings of what bodies mostly return: looking for a conformance is the dearest part of a small result.
    private static func rehearseResults<each Value>(_ value: repeat each Value) {
        func rehearse<V>(_ value: V) {
            guard let encoded = try? Job.encodeResult(value) else { return }
            _ = try? Job.decodeResult(encoded, as: V.self)
        }
        for one in repeat each value { rehearse(one) }
    }

    /// Sends a launch to itself, sets up what it says (nothing changes), runs its job and reports the result to nobody.
    static func run() {
        do {
            let ends = try Descriptor.socketPairNumbers()
            let far = Descriptor(owning: ends.parent)
            var near = ends.child
            let (text, numbers) = (plan.parent.name, plan.identity.path)
            let work = try Work({ text.utf8.count + numbers.count }, ProcessOptions(), #fileID, #line)
            guard case .encoded(let job) = work.form else { return }
            let directory = try Descriptor.currentDirectory()
            let attachments = LaunchPacket.Attachments(directory: directory.number, streams: [nil, 1, 2])
            try LaunchPacket.send(plan: plan, job: job, attachments: attachments, over: far)
            guard let packet = try Descriptor.receive(from: near) else { return }
            var launch = try LaunchPacket.decode(packet)
            try ChildMain.setUp(&launch, channel: &near, lifelines: [])
            let received = try ReceivedJob(launch.job)
            _ = ChildBody.report(Result { try received.runSynchronously() }, plan: plan, channel: near)
        } catch {
            // Only speed depends on it; the real launch will say what is wrong.
        }
    }

    private static var plan: LaunchPlan {
        LaunchPlan(
            identity: ProcessIdentity(
                name: "mp-ready",
                path: [1],
                isDaemon: false,
                startMethod: .forkServer,
                authenticationKey: [1]
            ),
            parent: ParentIdentity(name: "", processIdentifier: 0),
            defaultStartMethod: .forkServer,
            nullStreams: [],
            descriptorNumbers: [],
            printsErrors: true,
            tracker: nil,
            settings: nil
        )
    }

    /// With something in every field, so that every field's coding is found.
    private static var fullSettings: LaunchSettings? {
        var options = ProcessOptions()
        options.environment = ["": nil]
        options.workingDirectory = ""
        options.processorAffinity = [0]
        options.niceness = 0
        options.limits = [.coreSize(0)]
        (options.group, options.user) = (0, 0)
        (options.ignoredSignals, options.blockedSignals) = ([0], [0])
        return LaunchSettings(options, wholeEnvironment: [[0]])
    }
}
