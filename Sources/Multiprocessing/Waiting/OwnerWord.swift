internal import MultiprocessingSystem
internal import Synchronization

/// Mutual exclusion in one 64-bit word of shared memory: who holds it, and whether somebody waits.
///
/// The word is the holder's ``ProcessStamp``, so that taking it and saying who took it is one step: there is no moment at
/// which it is taken by nobody known. Owners are processes: any thread of the holder may release it. A holder that died is
/// found out by whoever has waited for some milliseconds, and one of those takes the word over and is told.
///
/// ``OwnerWordState`` has the rules. The futex is the low half.
///
/// Fairness: a newcomer may take a free word before a sleeper that was just woken gets to run, which keeps the word busy. One
/// that has waited a millisecond and loses once more reserves the next turns for those who slept, and newcomers have to queue
/// up with them: 2 turns at first, then 4, 8, … as it goes on losing. Sleepers are woken in the order in which they fell
/// asleep, so the turns reach it unless processes that release are held up again and again before they wake somebody.
///
/// Costs one compare-and-swap to take and one to release while nobody waits: no system call.
///
/// Memory order. *Taking* acquires and *releasing* releases, so what an owner did is seen by the next. Those who mark the
/// word in between do so by read-modify-write, which continues the releaser's release sequence: who reads their mark
/// has read the release. A *dead* owner never released. What it had stored is in memory all the same: it ran on a processor
/// that stopped it between two instructions, and whoever calls it dead learned so from the kernel after that. Only the
/// compiler may have exchanged its stores; so a store that has to be found in front of another one by a successor (a commit
/// after its data) has to be a releasing one. The *kernel* compares and queues a sleeper under the lock that a waker takes,
/// with full barriers: whoever changes the word and then wakes either finds the sleeper, or the sleeper finds the change.
struct OwnerWord: @unchecked Sendable {
    // Unchecked: an address that is only used by atomic operations. No lock.

    private let word: UnsafeMutablePointer<Atomic<UInt64>>

    /// The word at an address in shared memory, zero at first.
    init(_ word: UnsafeMutablePointer<Atomic<UInt64>>) {
        self.word = word
    }

    /// What those sleep on who wait for it.
    @inline(__always)
    var futex: FutexWord { FutexWord(lowHalfOf: word) }

    enum Outcome {
        /// Taken; from a dead owner, if there is one: then what the word protects may be halfway.
        case taken(from: ProcessStamp?)
        /// Somebody else has it: sleep while the futex holds the value.
        case busy(FutexWord, UInt32)
    }

    /// The process that holds it; ``ProcessStamp/nobody`` if it is free.
    ///
    /// Relaxed: an answer about a moment. Where it is this process, it was this process that stored it, and nobody else changes
    /// it meanwhile.
    var owner: ProcessStamp { ProcessStamp(rawValue: word.pointee.load(ordering: .relaxed)) }

    /// Takes it if that costs nothing: if it is free and nobody ever waited.
    @inline(__always)
    func takeIfUncontended() -> Bool {
        let me = ProcessStamp.current.rawValue
        let (won, _) = word.pointee.compareExchange(expected: 0, desired: me, ordering: .acquiring)
        if won { chaosStep("word.taken") }
        return won
    }

    /// Takes it if it is free, or if its owner is dead. Does not wait.
    ///
    /// - Parameter progress: how long the caller has been at it; the owner's life is looked into when that is long.
    @inline(__always)
    func take(_ progress: WaitProgress = .first) -> Outcome {
        if progress.sleeps == 0, takeIfUncontended() { return .taken(from: nil) }
        return takeContended(progress)
    }

    @inline(never)
    private func takeContended(_ progress: WaitProgress) -> Outcome {
        let me = ProcessStamp.current.rawValue
        var current = OwnerWordState(rawValue: word.pointee.load(ordering: .relaxed))
        while true {
            let owner = ProcessStamp(rawValue: current.rawValue)
            let isDead = progress.isOverdue && owner != .nobody && !owner.isAlive
            switch current.step(of: me, progress, ownerIsDead: isDead) {
            case .take(let next):
                let (won, now) = exchange(current, next)
                if won {
                    chaosStep("word.taken")
                    return .taken(from: isDead ? owner : nil)
                }
                current = now
            case .wait(let next):
                if next != current {
                    let (won, now) = exchange(current, next)
                    guard won else {
                        current = now
                        continue
                    }
                }
                chaosStep("word.waiting")
                return .busy(FutexWord(lowHalfOf: word), UInt32(truncatingIfNeeded: next.rawValue))
            }
        }
    }

    // Acquiring for those that take; those that mark need no order, but may have it.
    private func exchange(_ old: OwnerWordState, _ new: OwnerWordState) -> (Bool, OwnerWordState) {
        let (won, now) = word.pointee.compareExchange(
            expected: old.rawValue,
            desired: new.rawValue,
            ordering: .acquiring
        )
        return (won, OwnerWordState(rawValue: now))
    }

    /// Gives it up; false, and nothing done, if this process does not hold it. One exchange; a system call if somebody sleeps.
    @inline(__always)
    @discardableResult
    func release() -> Bool {
        let me = ProcessStamp.current.rawValue
        let (won, _) = word.pointee.compareExchange(expected: me, desired: 0, ordering: .releasing)
        if won { chaosStep("word.released") }
        return won || releaseContended(me)
    }

    @inline(never)
    private func releaseContended(_ me: UInt64) -> Bool {
        var current = OwnerWordState(rawValue: word.pointee.load(ordering: .relaxed))
        repeat {
            guard current.owner == me else { return false }
            chaosStep("word.releasing")
            let (won, now) = word.pointee.compareExchange(
                expected: current.rawValue,
                desired: current.released.rawValue,
                ordering: .releasing
            )
            if won { break }
            current = OwnerWordState(rawValue: now)
        } while true
        chaosStep("word.released")
        guard current.hasSleepers else { return true }
        let left = current.released
        if FutexWord(lowHalfOf: word).wake() == 0, !current.isFreshlyMarked, left.reservedTurns > 0 {
            // Nobody sleeps, and nobody is about to: turns that stay reserved would keep the next newcomer waiting. Relaxed: it
            // continues the release sequence, its own or that of a later owner who left the same behind.
            _ = word.pointee.compareExchange(expected: left.rawValue, desired: 0, ordering: .relaxed)
        }
        return true
    }
}
