internal import MultiprocessingSystem
internal import MultiprocessingWire

/// Does in the fork server, once, what every child would otherwise do anew before its body's first instruction: finding types
/// and conformances, reading the program's own images, checking the layout of closures. Children share the caches.
enum WarmUp {
    static func run() {
        // On a thread that is gone afterwards, because of the locks in it: see `ForkServerMain.preload`.
        try? Thread.run {
            _ = try? BinaryDecoder().decode(LaunchPlan.self, from: BinaryEncoder().encode(plan))
            let (text, numbers) = (plan.parent.name, plan.identity.path)
            if let work = try? Work({ text.utf8.count + numbers.count }, ProcessOptions(), #fileID, #line) {
                _ = try? received(work)?.runSynchronously()
            }
            // Decoded only: running it would start the concurrency runtime's threads.
            if let work = try? Work(asynchronous: { text }, #fileID, #line) { _ = try? received(work) }
            _ = ErrorCoding.encode(RemoteError(typeName: "", message: "", processName: "", processIdentifier: 0))
        }
        // What is cached for each thread has to be the server's own, because a child continues that one.
        _ = try? BinaryDecoder().decode(Int.self, from: BinaryEncoder().encode(1))
    }

    private static func received<Success>(_ work: Work<Success>) throws -> ReceivedJob? {
        guard case .encoded(let job) = work.form else { return nil }
        return try (job.header + job.function + job.arguments).withUnsafeBytes { try ReceivedJob($0) }
    }

    /// With something in every field, so that every field's coding is found.
    private static var plan: LaunchPlan {
        LaunchPlan(
            identity: ProcessIdentity(
                name: "",
                path: [1],
                isDaemon: false,
                startMethod: .forkServer,
                authenticationKey: [1]
            ),
            parent: ParentIdentity(name: "", processIdentifier: 0),
            defaultStartMethod: .forkServer,
            wholeEnvironment: [""],
            environment: ["": nil],
            workingDirectory: "",
            nullStreams: [0],
            descriptorNumbers: [0],
            affinity: [0],
            niceness: 0,
            limits: [.coreSize(0)],
            group: 0,
            user: 0,
            ignoredSignals: [0],
            blockedSignals: [0],
            printsErrors: true
        )
    }
}
