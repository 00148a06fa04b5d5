public import Multiprocessing
internal import MultiprocessingSystem
internal import SystemPackage

/// Child processes that are killed at random and started again, for a time; then all of them may end.
///
///     let report = try await Storm(seed: 7, duration: .seconds(10)).run([
///         { sky in while !sky.isClear { try queue.put(sky.incarnation) } },       // a producer
///         { sky in while !sky.isClear { _ = try queue.get(timeout: .milliseconds(50)) } },
///     ])
///     print(report)       // 2 bodies, 231 deaths (seed 7)
///
/// The seed decides who is killed and after which pauses; what the processes were doing then differs from run to run. A body
/// that returns is done, and not started again. Count what was committed where it survives: in shared memory, or here.
public struct Storm: Sendable {
    /// Decides who is killed, and after which pauses.
    public var seed: UInt64
    /// How long there are deaths.
    public var duration: Duration
    /// The pauses between deaths.
    public var pauses: ClosedRange<Duration> = .milliseconds(1) ... .milliseconds(40)
    /// How long the bodies may take to end afterwards.
    public var calmTimeout: Duration = .seconds(20)
    /// How the children are started.
    public var startMethod: StartMethod = .forkServer

    /// A storm that was not started yet.
    public init(seed: UInt64, duration: Duration) {
        self.seed = seed
        self.duration = duration
    }

    /// What a body in a storm knows about it.
    public struct Sky: Sendable, Codable {
        /// The body's place in the list.
        public let index: Int
        /// How often this body was killed before.
        public let incarnation: Int
        fileprivate let calm: Int32

        /// Whether the storm is over, so that the body should come to its end. One system call.
        public var isClear: Bool {
            // A byte that is never read says so: copies by fork hold both ends of the pipe, so its end would never come.
            (try? waitUntilReady(Interest(calm), deadline: Deadline(after: .zero))) ?? true
        }
    }

    /// What happened in a storm.
    public struct Report: Sendable, CustomStringConvertible {
        /// The seed, to try again with.
        public let seed: UInt64
        /// How often each body was killed.
        public internal(set) var deaths: [Int]

        public var description: String {
            "\(deaths.count) bodies, \(deaths.reduce(0, +)) deaths (seed \(seed))"
        }
    }

    /// A body that failed, or did not end.
    public struct Failure: Error, CustomStringConvertible {
        /// The body's place in the list.
        public let index: Int
        /// The seed, to try again with.
        public let seed: UInt64
        /// What went wrong.
        public let problem: String
        /// What the body threw, or the report on its crash.
        public let underlyingError: (any Error)?

        public var description: String {
            "body \(index), seed \(seed): \(problem)" + (underlyingError.map { ": \($0)" } ?? "")
        }
    }

    /// Runs the bodies, each in a child process, through the storm; suspends until all have ended.
    ///
    /// - Returns: how often each was killed.
    /// - Throws: ``Failure`` when a body throws, crashes by itself, or does not end in time when the storm is over; the others
    ///   are killed then. `ProcessError` if a process cannot be started.
    public func run(_ bodies: [@Sendable (Sky) throws -> Void]) async throws -> Report {
        var round = try StormRound(storm: self, bodies: bodies)
        do {
            try await round.rage()
            try await round.calm()
        } catch {
            await round.killAll()
            throw error
        }
        return round.report
    }
}

/// A storm that goes on.
private struct StormRound {
    private let storm: Storm
    private let bodies: [@Sendable (Storm.Sky) throws -> Void]
    private let reading: FileDescriptor
    private let writing: FileDescriptor
    private let ends: Ends
    private var generator: SplitMix64
    /// The processes, in the order of the bodies; nil for those that are done.
    private var children: [ChildProcess<Void>?] = []
    private(set) var report: Storm.Report

    /// Closes the pipe.
    private final class Ends: Sendable {
        let reading: Descriptor
        let writing: Descriptor

        init() throws(Errno) {
            let numbers = try Descriptor.pipeNumbers()
            reading = Descriptor(owning: numbers.read)
            writing = Descriptor(owning: numbers.write)
        }
    }

    init(storm: Storm, bodies: [@Sendable (Storm.Sky) throws -> Void]) throws {
        self.storm = storm
        self.bodies = bodies
        ends = try Ends()
        reading = FileDescriptor(rawValue: ends.reading.number)
        writing = FileDescriptor(rawValue: ends.writing.number)
        generator = SplitMix64(seed: storm.seed)
        report = Storm.Report(seed: storm.seed, deaths: bodies.map { _ in 0 })
    }

    mutating func rage() async throws {
        for index in bodies.indices { children.append(try start(index)) }
        let end = ContinuousClock.now + storm.duration
        while ContinuousClock.now < end {
            try await Task.sleep(for: nextPause())
            let running = children.indices.filter { children[$0] != nil }
            guard let index = running.randomElement(using: &generator), let child = children[index] else { break }
            try child.kill()
            guard try await child.join(timeout: storm.calmTimeout) else {
                throw failure(index, "was killed, and did not end")
            }
            // It may have ended before.
            if child.exitStatus == .signalled(SignalNumber.kill) {
                report.deaths[index] += 1
                children[index] = try start(index)
            } else {
                try await finish(index, child)
            }
        }
    }

    mutating func calm() async throws {
        _ = try writing.writeAll([1])
        let end = ContinuousClock.now + storm.calmTimeout
        for (index, child) in children.enumerated() {
            guard let child else { continue }
            guard try await child.join(timeout: max(end - .now, .zero)) else {
                throw failure(index, "did not end within \(storm.calmTimeout) of the storm's end")
            }
            try await finish(index, child)
        }
    }

    func killAll() async {
        for case let child? in children {
            try? child.kill()
            _ = try? await child.join(timeout: .seconds(10))
        }
    }

    private mutating func finish(_ index: Int, _ child: ChildProcess<Void>) async throws {
        children[index] = nil
        do {
            try await child.value
        } catch {
            throw failure(index, "failed", error)
        }
    }

    private func start(_ index: Int) throws -> ChildProcess<Void> {
        var options = ProcessOptions()
        options.isDaemon = true
        options.startMethod = storm.startMethod
        options.descriptors = [reading]
        let sky = Storm.Sky(index: index, incarnation: report.deaths[index], calm: reading.rawValue)
        let body = bodies[index]
        let child = try ChildProcess(arguments: sky, name: "Storm-\(index)", options: options) { try body($0) }
        try child.start()
        return child
    }

    private mutating func nextPause() -> Duration {
        let (shortest, longest) = (storm.pauses.lowerBound, storm.pauses.upperBound)
        return shortest + (longest - shortest) * generator.nextFraction()
    }

    private func failure(_ index: Int, _ problem: String, _ error: (any Error)? = nil) -> Storm.Failure {
        Storm.Failure(index: index, seed: storm.seed, problem: problem, underlyingError: error)
    }
}
