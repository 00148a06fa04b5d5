internal import MultiprocessingSystem

/// What an ``OwnerWord`` holds, and what may become of it: the rules, without memory, clocks or sleep.
///
/// Bits, besides the stamp's: 31, somebody sleeps on the word; 22–29, how many turns are reserved for those who slept. Free is
/// a word without a stamp.
package struct OwnerWordState: RawRepresentable, Hashable, Sendable {
    package var rawValue: UInt64

    package init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    private static let sleepersBit: UInt64 = 1 << 31
    private static let turnsShift: UInt64 = 22
    private static let turnsMask: UInt64 = 0xff << turnsShift

    /// The most turns that are reserved at once.
    package static let mostTurns = 255

    /// The owner's stamp; zero if it is free.
    package var owner: UInt64 { rawValue & ProcessStamp.mask }
    package var isFree: Bool { owner == 0 }
    package var hasSleepers: Bool { rawValue & Self.sleepersBit != 0 }
    package var reservedTurns: Int { Int(rawValue >> Self.turnsShift & 0xff) }

    /// Free, with turns reserved.
    package static func free(reservedTurns: Int) -> OwnerWordState {
        OwnerWordState(rawValue: UInt64(reservedTurns) << turnsShift)
    }

    /// What one who wants the word does about it.
    package enum Step: Equatable {
        /// Takes it: puts this in its place.
        case take(OwnerWordState)
        /// Goes without, after putting this in its place (the same, if there is nothing to say).
        case wait(OwnerWordState)
    }

    /// - Parameters:
    ///   - me: the caller's stamp.
    ///   - ownerIsDead: whether the caller knows that of the owner.
    package func step(of me: UInt64, _ progress: WaitProgress, ownerIsDead: Bool) -> Step {
        let hasSlept = progress.sleeps > 0
        if isFree, reservedTurns == 0 || hasSlept || progress.isStarving {
            // The release that woke one sleeper dropped the mark; others may sleep, of whom only those who slept can know.
            let mark = hasSlept ? Self.sleepersBit : rawValue & Self.sleepersBit
            // If nothing happened for milliseconds and it is free, whoever the turns were for has died.
            let left = progress.isOverdue ? 0 : max(0, reservedTurns - 1)
            return .take(OwnerWordState(rawValue: me | mark | turns(left)))
        }
        if ownerIsDead {
            return .take(OwnerWordState(rawValue: me | Self.sleepersBit | turns(reservedTurns)))
        }
        var next = rawValue
        if progress.isLook, isFree {
            // Nobody may come for a reserved turn: who it was for may have died. A look cannot wait for that to show, so each
            // uses up one turn.
            next = next & ~Self.turnsMask | turns(reservedTurns - 1)
        }
        if progress.isAboutToSleep || hasSlept { next |= Self.sleepersBit }
        if progress.isLast, hasSlept {
            // Turns that nobody comes for keep newcomers waiting. Others who starve reserve theirs when they lose again.
            if !isFree { next &= ~Self.turnsMask }
        } else if progress.starved > 0 {
            // Who loses goes to the end of the queue, behind sleepers of unknown number. If the reserved turns do not reach it,
            // they will be twice as many the next time.
            let wanted = min(Self.mostTurns, 1 << min(progress.starved, 8))
            if wanted > reservedTurns { next = next & ~Self.turnsMask | turns(wanted) }
        }
        return .wait(OwnerWordState(rawValue: next))
    }

    /// What the owner leaves behind.
    ///
    /// Reserved turns stay until they are used, also if nobody sleeps at this moment: a starving one may be on its way to sleep,
    /// or from it. Without the mark there is nobody.
    package var released: OwnerWordState {
        .free(reservedTurns: hasSleepers ? reservedTurns : 0)
    }

    private func turns(_ count: Int) -> UInt64 { UInt64(count) << Self.turnsShift }
}
