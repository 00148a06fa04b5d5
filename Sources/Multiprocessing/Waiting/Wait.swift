internal import MultiprocessingSystem

/// How far a wait has come; attempts look at it to decide how far they go.
struct WaitProgress {
    /// How often the caller has slept.
    var sleeps = 0
    /// Whether nothing has happened for some milliseconds: time to look whether those waited for are alive.
    var isOverdue = false
    /// Whether the caller has waited so long that newcomers should let it pass.
    var isStarving = false
    /// Whether looking was in vain and a sleep follows unless this attempt succeeds: the moment to say so where others look
    /// before they wake anybody.
    var isAboutToSleep = false

    /// Before any waiting.
    static let first = WaitProgress()
}

/// What an attempt at an operation came to.
enum Attempt<Value> {
    case done(Value)
    /// Not yet: try again when the word no longer holds the value, or when woken.
    case wait(FutexWord, while: UInt32)
}

/// The one way of waiting: attempt, sleep until something changed, attempt again.
///
/// No sleep is without end. Whoever changes shared state changes a word and then wakes its sleepers, and may be killed in
/// between; so sleepers look again by themselves, after 4 ms at first and at doubling intervals up to half a second, and find
/// out then about owners that died. A wait that ends without success (deadline, cancellation) has made a last attempt after its
/// last sleep, so a wake-up that was meant for it is used, or was in vain for everybody. An attempt precedes every sleep and
/// knows that it does.
enum Wait {
    /// Blocks the thread until an attempt succeeds; nil when the deadline passed first.
    ///
    /// - Parameter deadline: `never`, or when to give up; one that has passed means a single attempt.
    static func blocking<Value>(
        deadline: Deadline,
        spin: borrowing AdaptiveSpin,
        _ attempt: (WaitProgress) throws -> Attempt<Value>
    ) throws -> Value? {
        var pace = Pace()
        while true {
            let word: FutexWord
            let value: UInt32
            switch try attempt(pace.progress) {
            case .done(let result): return result
            case .wait(let on, let content): (word, value) = (on, content)
            }
            if deadline.hasPassed { return nil }
            if !pace.progress.isAboutToSleep {
                pace.progress.isAboutToSleep = !spin.sees(word, changeFrom: value)
                continue
            }
            pace.slept(word.wait(while: value, deadline: deadline.earlier(pace.slice)))
        }
    }

    /// Suspends until an attempt succeeds; nil when the deadline passed first. Blocks no thread.
    ///
    /// - Parameter heedsCancellation: false for what has to be had whatever happens, as a lock that was given up for a time.
    /// - Throws: `CancellationError` if the task was cancelled and a last attempt failed; what an attempt throws.
    static func suspending<Value>(
        deadline: Deadline,
        heedsCancellation: Bool = true,
        _ attempt: (WaitProgress) throws -> Attempt<Value>
    ) async throws -> Value? {
        var pace = Pace()
        while true {
            // Tasks do not look: their thread has others to run.
            pace.progress.isAboutToSleep = true
            let word: FutexWord
            let value: UInt32
            let isCancelled = Task.isCancelled
            switch try attempt(pace.progress) {
            case .done(let result): return result
            case .wait(let on, let content): (word, value) = (on, content)
            }
            if isCancelled, heedsCancellation { throw CancellationError() }
            if deadline.hasPassed { return nil }
            let (reactor, end) = (Runtime.current.futexReactor, deadline.earlier(pace.slice))
            if isCancelled {
                // Whoever is cancelled gets no sleep, so another task sleeps in its stead.
                pace.slept(await Task { await reactor.wait(word, while: value, deadline: end) }.value)
            } else {
                pace.slept(await reactor.wait(word, while: value, deadline: end))
            }
        }
    }

    /// When to look again although nobody called.
    private struct Pace {
        var progress = WaitProgress.first
        var slice = Self.first
        private var began: ContinuousClock.Instant?

        private static let first: Duration = .milliseconds(4)
        private static let longest: Duration = .milliseconds(500)
        private static let patience: Duration = .milliseconds(1)

        mutating func slept(_ outcome: FutexWord.Outcome) {
            let now = ContinuousClock.now
            progress.sleeps += 1
            progress.isAboutToSleep = false
            progress.isOverdue = outcome == .timedOut
            slice = outcome == .timedOut ? min(slice * 2, Self.longest) : Self.first
            // The first sleep's length is not known; it counts as none, which costs a starving waiter one more turn.
            if let began { progress.isStarving = now - began >= Self.patience } else { began = now }
        }
    }
}
