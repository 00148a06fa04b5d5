internal import MultiprocessingSystem

/// What an attempt at an operation came to.
enum Attempt<Value> {
    case done(Value)
    /// Not yet: try again when the word no longer holds the value, or when woken.
    case wait(FutexWord, while: UInt32)
    /// Not known yet: the structure's own guard, taken with ``WaitProgress/atGuard``, is somebody else's for a moment. Try again,
    /// even if the time is over by then: what needs no waiting must not fail because two came at once.
    case guarded(FutexWord, while: UInt32)
}

/// The one way of waiting: attempt, sleep until something changed, attempt again.
///
/// No sleep is without end. Whoever changes shared state changes a word and then wakes its sleepers, and may be killed in
/// between; so sleepers look again by themselves, after 4 ms at first and at doubling intervals up to half a second, and find
/// out then about owners that died. A wait that ends without success (deadline, cancellation) has made a last attempt after its
/// last sleep, so a wake-up that was meant for it is used, or was in vain for everybody. An attempt precedes every sleep and
/// knows that it does.
///
/// A wait whose time is over from the start is a single attempt, which looks into the life of those in its way at once.
enum Wait {
    /// Blocks the thread until an attempt succeeds; nil when the deadline passed first.
    ///
    /// - Parameter deadline: `never`, or when to give up; one that has passed means a single attempt.
    static func blocking<Value>(
        deadline: Deadline,
        spin: borrowing AdaptiveSpin,
        _ attempt: (WaitProgress) throws -> Attempt<Value>
    ) throws -> Value? {
        var pace = Pace(deadline, spins: true)
        while true {
            let word: FutexWord
            let value: UInt32
            let isGuard: Bool
            let isOver = deadline.hasPassed
            pace.progress.isLast = isOver
            switch try attempt(pace.progress) {
            case .done(let result): return result
            case .wait(let on, let content): (word, value, isGuard) = (on, content, false)
            case .guarded(let on, let content): (word, value, isGuard) = (on, content, true)
            }
            if isOver, !isGuard || !pace.mayOverrun { return nil }
            if pace.spinsLeft > 0 {
                pace.spinsLeft -= 1
                if spin.sees(word, changeFrom: value) {
                    if pace.spinsLeft == 0 { pace.progress.isAboutToSleep = true }
                    continue
                }
                pace.spinsLeft = 0
                if !pace.progress.isAboutToSleep {
                    // Only now is it certain that it sleeps: one more attempt, to leave a mark.
                    pace.progress.isAboutToSleep = true
                    continue
                }
            }
            pace.slept(word.wait(while: value, deadline: pace.nextLook(isOver ? .never : deadline)), onGuard: isGuard)
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
        var pace = Pace(deadline, spins: false)
        while true {
            let word: FutexWord
            let value: UInt32
            let isGuard: Bool
            let wasCancelled = Task.isCancelled
            let isCancelled = wasCancelled && heedsCancellation
            let isOver = deadline.hasPassed
            pace.progress.isLast = isOver || isCancelled
            switch try attempt(pace.progress) {
            case .done(let result): return result
            case .wait(let on, let content): (word, value, isGuard) = (on, content, false)
            case .guarded(let on, let content): (word, value, isGuard) = (on, content, true)
            }
            if isOver || isCancelled, !isGuard || !pace.mayOverrun {
                if isCancelled { throw CancellationError() }
                return nil
            }
            let outcome = await Runtime.current.futexReactor.wait(
                word,
                while: value,
                deadline: pace.nextLook(isOver ? .never : deadline),
                endsWhenCancelled: !wasCancelled
            )
            pace.slept(outcome, onGuard: isGuard)
        }
    }

    /// When to look again although nobody called.
    private struct Pace {
        var progress = WaitProgress.first
        /// How often it may still look at a word for a while instead of sleeping. A spinner that never slept has no claim to
        /// a turn, so it must not lose for ever.
        var spinsLeft: Int
        private let spins: Int
        private var slice = Self.first
        private var began: ContinuousClock.Instant?
        private var overrun: Deadline?

        private static let first: Duration = .milliseconds(4)
        private static let longest: Duration = .milliseconds(500)
        private static let patience: Duration = .milliseconds(1)
        /// How long a guard may keep a wait beyond its end. Guards are held for less than a microsecond, or some milliseconds
        /// when a holder was killed or lost its processor; one whose holder is stopped is given up.
        private static let longestOverrun: Duration = .seconds(1)

        init(_ deadline: Deadline, spins: Bool) {
            self.spins = spins ? 4 : 0
            spinsLeft = self.spins
            progress.isAboutToSleep = !spins
            progress.isLook = deadline.hasPassed
            progress.isOverdue = progress.isLook
        }

        /// Whether there is time left for a guard to become free, from the first time this is asked.
        var mayOverrun: Bool {
            mutating get {
                if overrun == nil { overrun = Deadline(after: Self.longestOverrun) }
                return !overrun!.hasPassed
            }
        }

        func nextLook(_ deadline: Deadline) -> Deadline { deadline.earlier(slice) }

        mutating func slept(_ outcome: FutexWord.Outcome, onGuard: Bool) {
            progress.isOverdue = outcome == .timedOut || progress.isLook
            slice = outcome == .timedOut ? min(slice * 2, Self.longest) : Self.first
            spinsLeft = spins
            progress.isAboutToSleep = spins == 0
            // Who did not sleep because the word had changed has not queued up either, and has no claim from that.
            let hasSlept = outcome != .changed
            if onGuard {
                if hasSlept { progress.guardSleeps += 1 }
                return
            }
            if hasSlept { progress.sleeps += 1 }
            progress.guardSleeps = 0
            let now = ContinuousClock.now
            // The first sleep's length is not known; it counts as none, which costs a starving waiter one more try.
            if let began {
                if now - began >= Self.patience { progress.starved += 1 }
            } else {
                began = now
            }
        }
    }
}
