/// How a pool gets workers over sockets: from this machine or others.
///
///     var stream = StreamWorkers()
///     stream.address = .tcp(host: "10.0.0.1")
///     stream.allowsUnencryptedNetwork = true
///     stream.launcher = .none
///     options.backend = .stream(stream)
///     let pool = try Pool(processes: 64, options: options)      // up to 64 workers, as they come
///     print(pool.invitation!.text)                              // for PoolWorkerProgram.serve, by standard input
///
/// The pool has as many places as it was made with processes. The launcher fills its share of them, again when a worker is gone;
/// the others are for workers that come by themselves, at any time. A worker may vanish at any moment: its task fails with
/// ``WorkerLost``, or runs again if it has retries.
///
/// **What goes over the socket is not encrypted**: whoever can listen on the way reads tasks, results and the secret, and can then run
/// code in the workers. So a pool listens for this machine only, unless ``allowsUnencryptedNetwork`` says otherwise: for networks where
/// everybody is trusted, or a tunnel.
///
/// Locks, queues, shared memory and connections do not travel over a socket: a task with one among its captures or arguments throws
/// ``PoolError`` (`cannotTravel`), which names it. No other task minds. What a pool looks up about a process, its memory above all
/// (``PoolOptions/memoryPerWorker``, ``PoolOptions/memoryPerTask``), it knows of workers only that the local launcher started.
public struct StreamWorkers: Sendable {
    /// Where the pool listens. The default is a free port that only this machine can reach.
    public var address = WorkerAddress.tcp()
    /// The host that workers are told instead of the one listened at; for "0.0.0.0", or where names differ.
    public var advertisedHost: String?
    /// Whether to listen where other machines can connect, although nothing is encrypted.
    public var allowsUnencryptedNetwork = false

    /// Who starts workers.
    public var launcher = Launcher.local
    /// How many of the pool's places the launcher fills; nil is all, or none without a launcher.
    public var launchedWorkers: Int?
    /// What a worker that was started has to come; then it is given up, and another one is started.
    public var launchTimeout: Duration = .seconds(60)

    /// After how long without a sign of life each side takes the other for gone; at least 0.1 seconds.
    ///
    /// Both send something at least twice in that time, from a thread that does nothing else, so a task that keeps its processor busy is
    /// no silence, nor is an observer that takes its time. A machine that was switched off, or unplugged, is noticed within this time; a process that ended, at once.
    public var silenceLimit: Duration = .seconds(10)
    /// The largest message in bytes: a task with its arguments, or a result. A larger one is that task's error (`cannotTravel`).
    public var maximumMessage = 1 << 30

    /// What somebody who connected has to prove that the pool's secret is known.
    public var helloTimeout: Duration = .seconds(5)
    /// How many may be connected without having proved it; beyond that, the one that has been silent the longest has to go.
    public var maximumStrangers = 64
    /// Called with each who connected and was not taken in; on a thread of the pool, so it must not wait for anything.
    public var onRefusal: @Sendable (StreamError) -> Void = { _ in }

    /// The defaults: workers of this machine.
    public init() {}

    /// Who starts workers.
    public struct Launcher: Sendable {
        enum Kind: Sendable {
            case local
            case none
            case function(@Sendable (WorkerInvitation) throws -> Void)
        }
        let kind: Kind

        /// Processes of this machine, as ``PoolOptions/process`` says.
        public static let local = Launcher(kind: .local)
        /// Nobody: workers come by themselves.
        public static let none = Launcher(kind: .none)

        /// A function of yours that has a worker started, on whatever machine, and hands it the invitation. It runs on a thread of its
        /// own and need not wait for the worker. What it throws counts as a worker that failed.
        public static func function(_ start: @escaping @Sendable (WorkerInvitation) throws -> Void) -> Launcher {
            Launcher(kind: .function(start))
        }
    }
}

extension StreamWorkers {
    /// Throws what is wrong with the options, if something is.
    func validate(places: Int) throws {
        func require(_ condition: Bool, _ text: @autoclosure () -> String) throws {
            if !condition { throw StreamError(.invalidArgument, text()) }
        }
        try require(silenceLimit >= .milliseconds(100), "A silence limit of \(silenceLimit) is too short")
        try require(silenceLimit <= .seconds(86400), "A silence limit of \(silenceLimit) is too long")
        for address in [address, address.with(host: advertisedHost)] {
            try require(
                WorkerAddress("\(address)") == address && !"\(address)".contains(where: \.isNewline),
                "'\(address)' is no address that could be told to a worker"
            )
        }
        try require(helloTimeout > .zero, "A worker cannot say hello within \(helloTimeout)")
        try require(launchTimeout > .zero, "A worker cannot come within \(launchTimeout)")
        try require((1...65536).contains(maximumStrangers), "\(maximumStrangers) strangers are not possible")
        try require(
            (1024...(1 << 40)).contains(maximumMessage),
            "Messages cannot be limited to \(maximumMessage) bytes"
        )
        if let launchedWorkers {
            try require(
                (0...places).contains(launchedWorkers),
                "\(launchedWorkers) workers cannot be started for \(places) places"
            )
        }
    }

    /// How many places the launcher fills.
    var launchedCount: Int {
        if case .none = launcher.kind { 0 } else { launchedWorkers ?? .max }
    }

    /// The time between two signs of life.
    var beat: Duration { silenceLimit / 4 }
    /// The silence after which, at the next beat, the other side is gone: so that it is found within the limit.
    var patience: Duration { silenceLimit * 3 / 4 }
}
