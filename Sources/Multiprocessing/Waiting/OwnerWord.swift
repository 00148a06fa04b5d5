internal import MultiprocessingSystem
internal import Synchronization

/// Mutual exclusion in one 64-bit word of shared memory: who holds it, and whether somebody waits.
///
/// The word is the holder's ``ProcessStamp``, so that taking it and saying who took it is one step: there is no moment at
/// which it is taken by nobody known. Owners are processes: any thread of the holder may release it. A holder that died is
/// found out by whoever has waited for some milliseconds, and one of those takes the word over and is told.
///
/// Bits, besides the stamp's: 31, somebody sleeps on the low half; 30, the next turn is for one who slept.
/// Free is zero, or bit 30 (and perhaps 31) without a stamp. The low half is the futex.
///
/// Fairness: a newcomer may take a free word before a sleeper that was just woken gets to run, which keeps the word busy. A
/// sleeper that has waited a millisecond sets bit 30; then a release leaves the word to those who slept, and newcomers join
/// them. Sleepers are woken in the order in which they fell asleep. So nobody waits behind an unbounded number of newcomers.
///
/// Costs one compare-and-swap to take and one exchange to release while nobody waits: no system call.
struct OwnerWord: @unchecked Sendable {
    // Unchecked: an address that is only used by atomic operations. No lock.

    private let word: UnsafeMutablePointer<Atomic<UInt64>>

    private static let sleepers: UInt64 = 1 << 31
    private static let reserved: UInt64 = 1 << 30

    /// The word at an address in shared memory, zero at first.
    init(_ word: UnsafeMutablePointer<Atomic<UInt64>>) {
        self.word = word
    }

    enum Outcome {
        /// Taken; from a dead owner, if there is one: then what the word protects may be halfway.
        case taken(from: ProcessStamp?)
        /// Somebody else has it: sleep while the futex holds the value.
        case busy(FutexWord, UInt32)
    }

    /// The process that holds it; ``ProcessStamp/nobody`` if it is free.
    var owner: ProcessStamp { ProcessStamp(rawValue: word.pointee.load(ordering: .relaxed)) }

    /// Takes it if it is free, or if its owner is dead. Does not wait.
    ///
    /// - Parameter progress: how long the caller has been at it; the owner's life is looked into when that is long.
    @inline(__always)
    func take(_ progress: WaitProgress = .first) -> Outcome {
        let me = ProcessStamp.current.rawValue
        if progress.sleeps == 0 {
            let (won, _) = word.pointee.compareExchange(expected: 0, desired: me, ordering: .acquiring)
            if won { return .taken(from: nil) }
        }
        return takeContended(me, progress)
    }

    @inline(never)
    private func takeContended(_ me: UInt64, _ progress: WaitProgress) -> Outcome {
        var current = word.pointee.load(ordering: .relaxed)
        while true {
            let owner = ProcessStamp(rawValue: current)
            let isFree = owner == .nobody
            let mayTake = isFree && (current & Self.reserved == 0 || progress.sleeps > 0 || progress.isOverdue)
            let isDead = !isFree && progress.isOverdue && !owner.isAlive
            if mayTake || isDead {
                // Others may sleep that nobody else knows of: whoever slept wakes one when it releases.
                let flags = progress.sleeps > 0 || isDead ? Self.sleepers : current & Self.sleepers
                let (won, now) = exchange(current, me | flags)
                if won {
                    chaosStep("word.taken")
                    return .taken(from: isDead ? owner : nil)
                }
                current = now
                continue
            }
            let marked = current | Self.sleepers | (progress.isStarving && !isFree ? Self.reserved : 0)
            if marked != current {
                let (won, now) = exchange(current, marked)
                guard won else {
                    current = now
                    continue
                }
            }
            chaosStep("word.waiting")
            return .busy(FutexWord(lowHalfOf: word), UInt32(truncatingIfNeeded: marked))
        }
    }

    private func exchange(_ expected: UInt64, _ desired: UInt64) -> (Bool, UInt64) {
        let (won, now) = word.pointee.compareExchange(expected: expected, desired: desired, ordering: .acquiring)
        return (won, now)
    }

    /// Gives it up; false, and nothing done, if this process does not hold it. One exchange; a system call if somebody sleeps.
    @inline(__always)
    @discardableResult
    func release() -> Bool {
        let me = ProcessStamp.current.rawValue
        let (won, _) = word.pointee.compareExchange(expected: me, desired: 0, ordering: .releasing)
        return won || releaseContended(me)
    }

    @inline(never)
    private func releaseContended(_ me: UInt64) -> Bool {
        var current = word.pointee.load(ordering: .relaxed)
        repeat {
            guard current & ProcessStamp.mask == me else { return false }
            chaosStep("word.releasing")
            // What is reserved stays so until somebody who slept has it.
            let (won, now) = word.pointee.compareExchange(
                expected: current,
                desired: current & Self.reserved,
                ordering: .releasing
            )
            if won { break }
            current = now
        } while true
        chaosStep("word.released")
        guard current & Self.sleepers != 0 else { return true }
        if FutexWord(lowHalfOf: word).wake() == 0, current & Self.reserved != 0 {
            // Nobody slept after all (a sleeper gave up, or died): nothing to reserve it for.
            _ = word.pointee.compareExchange(expected: Self.reserved, desired: 0, ordering: .relaxed)
        }
        return true
    }
}
