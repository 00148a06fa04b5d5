internal import MultiprocessingSystem
internal import Synchronization

/// How far work in a pool is: that of some calls, or of a whole pool. Can be read from any thread.
///
///     let progress = PoolProgress()
///     async let sizes = progress.track { try await pool.map(files) { try size(of: $0) } }
///     for await counts in progress.updates() { print(counts) }
///
/// For a whole pool: `options.observers.append(progress.observe)`; then it counts tasks, of which a map has one for a chunk of items.
///
/// Python: nothing; its users take `tqdm`.
public final class PoolProgress: Sendable {
    /// How far it was at a moment.
    public struct Counts: Sendable, Hashable, CustomStringConvertible {
        /// How many items, or tasks, there are; nil if that is not known.
        public var total: Int?
        /// How many have a value.
        public var finished = 0
        /// How many have an error, or a crash.
        public var failed = 0
        /// How many were given to the pool and have not come back.
        public var underWay = 0
        /// The time since the first was begun.
        public var elapsed: Duration = .zero
        /// How many come back in a second, in the last seconds; zero before that is known.
        public var rate = 0.0
        /// Whether no more will come.
        public var isOver = false

        /// How many have come back.
        public var done: Int { finished + failed }
        /// How many are not begun; nil if the total is not known.
        public var waiting: Int? { total.map { max(0, $0 - max(0, done + underWay)) } }
        /// From zero to one; nil if the total is not known.
        public var fraction: Double? { total.map { $0 > 0 ? max(0, min(1, Double(done) / Double($0))) : 1 } }
        /// The time that is left if the rate stays what it is; nil if nothing can be said, or that it will be over a century.
        public var timeLeft: Duration? {
            guard let total, rate > 0 else { return nil }
            let seconds = max(0, Double(total) - Double(done)) / rate
            return seconds < Double(1 << 32) ? .seconds(seconds) : nil
        }

        public var description: String {
            "\(done)\(total.map { "/\($0)" } ?? "") done, \(failed) failed, \(underWay) under way"
        }
    }

    private struct State {
        var counts = Counts()
        var start: ContinuousClock.Instant?
        /// How many calls go on; none does before the first.
        var calls = 0
        /// How far it was at some moments of the last seconds.
        var samples: [(time: ContinuousClock.Instant, done: Int)] = []
        /// Changes with every change.
        var version = 0
    }

    private let state = Mutex(State())

    /// What ``track(_:)-…`` sets, and every map looks at when it is called.
    @TaskLocal static var current: PoolProgress?

    /// Nothing done yet.
    ///
    /// - Parameter total: how many there will be; nil is found out from the calls that are tracked, where they know.
    public init(total: Int? = nil) {
        state.withLock { $0.counts.total = total }
    }

    /// How far it is at this moment.
    public var counts: Counts { state.withLock { Self.counts($0) } }

    private static func counts(_ state: State) -> Counts {
        var counts = state.counts
        guard let start = state.start else { return counts }
        let now = ContinuousClock.now
        counts.elapsed = now - start
        if let first = state.samples.first, now > first.time {
            counts.rate = Double(counts.done - first.done) / ((now - first.time) / .seconds(1))
        }
        return counts
    }

    // MARK: What is counted

    /// Counts the items of every `map`, `starMap` and `imap` that `body` calls. Suspends as long as `body` does.
    ///
    /// It is over when `body` has returned.
    public func track<R>(_ body: () async throws -> R) async rethrows -> R {
        enter(total: nil)
        defer { leave() }
        return try await Self.$current.withValue(self, operation: body)
    }

    /// Counts the items of every `map`, `starMap` and `imap` that `body` calls, for code that may block its thread.
    @available(*, noasync, message: "Use the async track")
    public func track<R>(_ body: () throws -> R) rethrows -> R {
        enter(total: nil)
        defer { leave() }
        return try Self.$current.withValue(self, operation: body)
    }

    /// Counts a pool's tasks: for ``PoolOptions/observers``. Is over when the pool has ended.
    public func observe(_ event: PoolEvent) {
        switch event.kind {
        case .submitted:
            change { state in
                state.counts.total = (state.counts.total ?? 0) + 1
                state.counts.underWay += 1
            }
        case .ended(_, let ending):
            add(finished: ending.outcome == .value ? 1 : 0, failed: ending.outcome == .value ? 0 : 1)
        case .poolEnded: change { $0.counts.isOver = true }
        default: break
        }
    }

    /// Counts what has come back, for whoever uses `submit`, or counts in other units.
    public func add(finished: Int = 0, failed: Int = 0) {
        change { state in
            state.counts.finished += finished
            state.counts.failed += failed
            state.counts.underWay = max(0, state.counts.underWay - finished - failed)
        }
    }

    /// A call begins, with so many items if that is known.
    func enter(total: Int?) {
        change { state in
            state.calls += 1
            state.counts.isOver = false
            guard let total else { return }
            // Ranges without an end in sight are added up as well.
            let (sum, isTooMuch) = (state.counts.total ?? 0).addingReportingOverflow(total)
            state.counts.total = isTooMuch ? .max : sum
        }
    }

    /// Items of a call were given to the pool.
    func submitted(_ count: Int) {
        change { $0.counts.underWay += count }
    }

    /// Something of a call has come back.
    func settled<Item, Value>(_ settled: [Settled<Item, Value>]) {
        let finished = settled.reduce(0) { $0 + $1.pieces.reduce(0) { $0 + $1.values.count } }
        let failed = settled.reduce(0) { $0 + $1.failures.reduce(0) { $0 + $1.items.count } }
        if finished + failed > 0 { add(finished: finished, failed: failed) }
    }

    /// A call has ended; what it did not wait for will not come back.
    func leave() {
        change { state in
            state.calls -= 1
            if state.calls == 0 { (state.counts.isOver, state.counts.underWay) = (true, 0) }
        }
    }

    private func change(_ body: (inout State) -> Void) {
        state.withLock { state in
            let now = ContinuousClock.now
            if state.start == nil { (state.start, state.samples) = (now, [(now, state.counts.done)]) }
            body(&state)
            state.version += 1
            guard let last = state.samples.last, now - last.time >= Self.sampleInterval else { return }
            state.samples.append((now, state.counts.done))
            if state.samples.count > Self.sampleCount { state.samples.removeFirst() }
        }
    }

    /// The rate is that of the last five seconds.
    private static let sampleInterval: Duration = .milliseconds(500)
    private static let sampleCount = 10

    // MARK: Watching

    /// The counts whenever they have changed, at most once in an interval; ends when the work is over, with the last counts.
    public func updates(every interval: Duration = .milliseconds(100)) -> Updates {
        Updates(progress: self, interval: interval)
    }

    /// See ``PoolProgress/updates(every:)``.
    public struct Updates: AsyncSequence, Sendable {
        let progress: PoolProgress
        let interval: Duration

        /// Gives the counts out.
        public struct AsyncIterator: AsyncIteratorProtocol {
            let updates: Updates
            var seen = 0
            var isOver = false

            /// The next counts; nil after the last ones, and when the task is cancelled.
            public mutating func next() async -> Counts? {
                while !isOver {
                    do { try await Task.sleep(for: updates.interval) } catch { return nil }
                    let (counts, version) = updates.progress.state.withLock { (PoolProgress.counts($0), $0.version) }
                    guard version != seen else { continue }
                    (seen, isOver) = (version, counts.isOver)
                    return counts
                }
                return nil
            }
        }

        public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(updates: self) }
    }
}
