internal import MultiprocessingSystem
internal import Synchronization

/// The protocol of a barrier: how parties come, how a round is decided, how they leave. Documentation/Layouts/Barrier.md.
///
/// One word decides: ``BarrierState``, changed by compare-and-swap alone, so that whoever passes, breaks or resets a round does
/// it in one step and without a lock. Arrivals take turns under a guard, each in the slot with its number. A slot says who
/// waits in it, so that the others can find it dead; and it gets a mark with the outcome before the next round opens, for
/// those who sleep longer than that. Rounds alternate between two rows of slots, so that nobody is held up by them either.
struct BarrierCore: Sendable {
    private static let version: UInt32 = 1
    private static let guardOffset = 0
    private static let countOffset = 8
    private static let stateOffset = 64
    private static let partiesOffset = 128
    private static let timeoutOffset = 136
    private static let slotsOffset = 192

    static let mostParties = 65_536
    static let broken = SharedStateError(.broken, "The barrier is broken")

    let block: SharedBlock
    let parties: Int
    let timeout: Duration?
    private let guardian: OwnerWord

    /// One party in one round.
    struct Party {
        var round: UInt64
        var index: Int
        var isLast: Bool
    }

    // MARK: Making

    init(parties: Int, timeout: Duration?) throws {
        guard (1...Self.mostParties).contains(parties) else {
            throw SharedStateError(
                .invalidArgument,
                "A barrier has from 1 to \(Self.mostParties) parties, not \(parties)"
            )
        }
        block = try SharedBlock(.barrier, version: Self.version, byteCount: Self.byteCount(parties))
        self.parties = parties
        self.timeout = timeout
        guardian = OwnerWord(block.word(Self.guardOffset))
        block.word(Self.partiesOffset).pointee.store(UInt64(parties), ordering: .relaxed)
        // One more than the nanoseconds, so that zero is none.
        let nanoseconds = timeout.map { UInt64($0 / .nanoseconds(1)) + 1 } ?? 0
        block.word(Self.timeoutOffset).pointee.store(nanoseconds, ordering: .releasing)
    }

    init(from decoder: any Decoder) throws {
        block = try SharedBlock(from: decoder, .barrier, version: Self.version)
        let malformed = SharedStateError(.malformed, "A barrier arrived that makes no sense")
        guard block.byteCount >= Self.slotsOffset else { throw malformed }
        // Read once: what others do to them later does not matter.
        let parties = block.word(Self.partiesOffset).pointee.load(ordering: .acquiring)
        let nanoseconds = block.word(Self.timeoutOffset).pointee.load(ordering: .relaxed)
        guard (1...UInt64(Self.mostParties)).contains(parties), block.byteCount == Self.byteCount(Int(parties)) else {
            throw malformed
        }
        self.parties = Int(parties)
        timeout = nanoseconds == 0 ? nil : .nanoseconds(Int64(min(nanoseconds - 1, UInt64(Int64.max))))
        guardian = OwnerWord(block.word(Self.guardOffset))
    }

    private static func byteCount(_ parties: Int) -> Int {
        slotsOffset + 2 * parties * 8
    }

    // MARK: The words

    private typealias Word = UnsafeMutablePointer<Atomic<UInt64>>

    private var stateWord: Word { block.word(Self.stateOffset) }
    private var countWord: Word { block.word(Self.countOffset) }

    var state: BarrierState { BarrierState(rawValue: stateWord.pointee.load(ordering: .acquiring)) }

    /// How many have come in the round that is filling.
    var count: Int { Int(min(countWord.pointee.load(ordering: .acquiring), UInt64(parties))) }

    private func slot(_ round: UInt64, _ index: Int) -> Word {
        block.word(Self.slotsOffset + (Int(round & 1) * parties + index) * 8)
    }

    /// Makes a step if there is one to make, and wakes those who sleep on the state; returns whether there was one.
    @discardableResult
    func change(_ step: (BarrierState) -> BarrierState?) -> Bool {
        var current = state
        while let next = step(current) {
            chaosStep("barrier.deciding")
            let (won, now) = stateWord.pointee.compareExchange(
                expected: current.rawValue,
                desired: next.rawValue,
                ordering: .acquiringAndReleasing
            )
            if won {
                chaosStep("barrier.decided")
                if current.hasSleepers { FutexWord(lowHalfOf: stateWord).wakeAll() }
                chaosStep("barrier.woken")
                return true
            }
            current = BarrierState(rawValue: now)
        }
        return false
    }

    /// To sleep until the state is another one; nil if it is already.
    private func sleep<Value>(_ current: BarrierState) -> Attempt<Value>? {
        if current.marked != current {
            let (won, _) = stateWord.pointee.compareExchange(
                expected: current.rawValue,
                desired: current.marked.rawValue,
                ordering: .relaxed
            )
            guard won else { return nil }
        }
        chaosStep("barrier.sleeping")
        return .wait(FutexWord(lowHalfOf: stateWord), while: UInt32(truncatingIfNeeded: current.marked.rawValue))
    }

    // MARK: Coming

    /// Takes the next place in the round.
    ///
    /// - Parameter isHindered: whether nothing but another process's step was in the way.
    /// - Throws: `broken`.
    func enter(_ progress: WaitProgress, _ isHindered: inout Bool) throws -> Attempt<Party> {
        isHindered = false
        if state.isBroken { throw Self.broken }
        // Whoever died with the guard leaves nothing halfway: a place is taken by the store of the count, and the rest of
        // what is done under the guard can be done again.
        if case .busy(let word, let value) = guardian.take(progress) {
            isHindered = true
            return .wait(word, while: value)
        }
        defer { guardian.release() }
        chaosStep("barrier.guarded")
        while true {
            let now = state
            switch now.phase {
            case .broken, .passedThenBroken:
                throw Self.broken
            case .passed, .resetting:
                openNextRound(after: now)
            case .filling:
                let index = count
                if index == parties {
                    // The last party runs its action. It is in the last slot, or died before it was all the way there.
                    if progress.isOverdue, isDead(now.round, parties - 1) {
                        change { $0.breaking(now.round) }
                    } else if let sleep: Attempt<Party> = sleep(now) {
                        return sleep
                    }
                } else if let obstacle: Attempt<Party> = occupy(slot(now.round, index), progress) {
                    return obstacle
                } else {
                    chaosStep("barrier.occupied")
                    countWord.pointee.store(UInt64(index + 1), ordering: .releasing)
                    chaosStep("barrier.counted")
                    return .done(Party(round: now.round, index: index, isLast: index == parties - 1))
                }
            }
        }
    }

    /// Puts this process into a slot; or says what to wait for, if somebody has not left it since the round before the last.
    private func occupy<Value>(_ slot: Word, _ progress: WaitProgress) -> Attempt<Value>? {
        let mine = Slot(.current, .waiting).rawValue
        var current = Slot(rawValue: slot.pointee.load(ordering: .acquiring))
        while true {
            // A place that is not counted, and yet waited in, is of somebody who died before it was counted.
            let isFree = current.mark == .none || current.mark == .waiting
            if isFree || (progress.isOverdue && !current.owner.isAlive) {
                slot.pointee.store(mine, ordering: .releasing)
                return nil
            }
            let (won, now) = slot.pointee.compareExchange(
                expected: current.rawValue,
                desired: current.marked.rawValue,
                ordering: .acquiring
            )
            if won {
                return .wait(FutexWord(lowHalfOf: slot), while: UInt32(truncatingIfNeeded: current.marked.rawValue))
            }
            current = Slot(rawValue: now)
        }
    }

    /// Tells those who still sleep how their round ended, and opens the next one. Under the guard.
    private func openNextRound(after old: BarrierState) {
        let mark: Slot.Mark = old.phase == .passed ? .passed : .broken
        for index in 0..<parties {
            let slot = slot(old.round, index)
            let current = Slot(rawValue: slot.pointee.load(ordering: .acquiring))
            guard current.mark == .waiting else { continue }
            // Fails only if the party has seen for itself, and left.
            _ = slot.pointee.compareExchange(
                expected: current.rawValue,
                desired: Slot(current.owner, mark).rawValue,
                ordering: .releasing
            )
            chaosStep("barrier.told")
        }
        countWord.pointee.store(0, ordering: .releasing)
        chaosStep("barrier.emptied")
        change { $0.round == old.round ? $0.next : nil }
    }

    // MARK: Waiting

    /// Whether the party's round has passed; or what to sleep on.
    func look(_ party: Party, _ progress: WaitProgress) -> Attempt<Bool> {
        while true {
            if let outcome = outcome(of: party) { return .done(outcome) }
            let now = state
            if progress.isOverdue, hasDead(party, progress) {
                change { $0.breaking(party.round) }
            } else if now.round == party.round, now.phase == .filling, let sleep: Attempt<Bool> = sleep(now) {
                return sleep
            }
        }
    }

    /// Whether the party's round has passed; nil if that is not decided.
    private func outcome(of party: Party) -> Bool? {
        let now = state
        guard now.round != party.round else { return now.outcome(of: party.round) }
        return Slot(rawValue: slot(party.round, party.index).pointee.load(ordering: .acquiring)).mark == .passed
    }

    /// Whether a party of a round that is filling is dead.
    ///
    /// Each looks at the one who came after it, the last at the first: whoever is dead, it is behind somebody who is not, if
    /// anybody is alive. And at another one each time, in case the one who would look is stopped.
    private func hasDead(_ party: Party, _ progress: WaitProgress) -> Bool {
        let count = count
        guard count > 1 else { return false }
        let next = (party.index + 1) % count
        let other = (party.index + 1 + progress.sleeps) % count
        return isDead(party.round, next) || (other != next && isDead(party.round, other))
    }

    private func isDead(_ round: UInt64, _ index: Int) -> Bool {
        let found = Slot(rawValue: slot(round, index).pointee.load(ordering: .acquiring))
        return found.mark == .waiting && !found.owner.isAlive
    }

    // MARK: Leaving

    /// Lets the party's round pass; false if it is broken or was reset meanwhile.
    func pass(_ party: Party) -> Bool {
        change { $0.passing(party.round) }
    }

    /// Breaks the party's round; nil if that was done, otherwise how it was decided before.
    func giveUp(_ party: Party) -> Bool? {
        change { $0.breaking(party.round) } ? nil : outcome(of: party)
    }

    /// Leaves the slot. The round is decided.
    func leave(_ party: Party) {
        let slot = slot(party.round, party.index)
        chaosStep("barrier.leaving")
        let last = Slot(rawValue: slot.pointee.exchange(0, ordering: .acquiringAndReleasing))
        chaosStep("barrier.left")
        if last.hasSleepers { FutexWord(lowHalfOf: slot).wakeAll() }
    }

    /// Who waits in a slot, and how its round ended.
    ///
    /// A process's stamp; bits 22–23, the mark; bit 31, somebody sleeps on the low half until the slot is left.
    private struct Slot: RawRepresentable {
        var rawValue: UInt64

        enum Mark: UInt64 {
            case none = 0
            case waiting, passed, broken
        }

        init(rawValue: UInt64) {
            self.rawValue = rawValue
        }

        init(_ owner: ProcessStamp, _ mark: Mark) {
            rawValue = owner.rawValue | mark.rawValue << 22
        }

        var owner: ProcessStamp { ProcessStamp(rawValue: rawValue) }
        var mark: Mark { Mark(rawValue: rawValue >> 22 & 3)! }
        var hasSleepers: Bool { rawValue >> 31 & 1 != 0 }
        var marked: Slot { Slot(rawValue: rawValue | 1 << 31) }
    }
}
