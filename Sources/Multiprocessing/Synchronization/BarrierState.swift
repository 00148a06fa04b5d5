/// The word that decides a barrier's rounds, as a value: which round it is, and what became of it.
///
/// Bits 0–2: the phase. Bit 3: somebody sleeps on the low half, or did. The others: the round's number.
struct BarrierState: RawRepresentable, Hashable {
    var rawValue: UInt64

    /// What becomes of a round. Every step goes from `filling` to one of the others, or to the next round.
    enum Phase: UInt64 {
        /// Parties arrive, or the last one runs its action. Zero, as fresh memory is.
        case filling = 0
        /// All arrived. Those who waited return as soon as they see it, or the mark in their slot.
        case passed
        /// Somebody timed out, aborted or died. Stays until it is reset.
        case broken
        /// Reset: those who waited fail, and the next to come opens a new round.
        case resetting
        /// Passed, and aborted before the next round was opened: those who waited return, newcomers fail.
        case passedThenBroken
    }

    private static let sleepers: UInt64 = 8

    init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    init(round: UInt64, phase: Phase, hasSleepers: Bool = false) {
        rawValue = round << 4 | phase.rawValue | (hasSleepers ? Self.sleepers : 0)
    }

    var round: UInt64 { rawValue >> 4 }

    /// What no phase has as its number was not written by this library: trust nothing then.
    var phase: Phase { Phase(rawValue: rawValue & 7) ?? .broken }

    var hasSleepers: Bool { rawValue & Self.sleepers != 0 }

    /// Whether newcomers fail.
    var isBroken: Bool { phase == .broken || phase == .passedThenBroken }

    /// Whether a round that was waited for has passed; nil if that is not decided, or if this is about another round.
    func outcome(of waited: UInt64) -> Bool? {
        guard round == waited else { return nil }
        switch phase {
        case .filling: return nil
        case .passed, .passedThenBroken: return true
        case .broken, .resetting: return false
        }
    }

    // MARK: Steps; nil where there is none to make.

    var marked: BarrierState { BarrierState(rawValue: rawValue | Self.sleepers) }

    /// All parties of `waited` are there.
    func passing(_ waited: UInt64) -> BarrierState? {
        round == waited && phase == .filling ? BarrierState(round: round, phase: .passed) : nil
    }

    /// A party of `waited` will not come, or not wait any longer.
    func breaking(_ waited: UInt64) -> BarrierState? {
        round == waited && phase == .filling ? BarrierState(round: round, phase: .broken) : nil
    }

    var aborted: BarrierState? {
        switch phase {
        case .filling, .resetting: BarrierState(round: round, phase: .broken)
        case .passed: BarrierState(round: round, phase: .passedThenBroken)
        case .broken, .passedThenBroken: nil
        }
    }

    func reset(hasWaiters: Bool) -> BarrierState? {
        switch phase {
        case .filling: hasWaiters ? BarrierState(round: round, phase: .resetting) : nil
        case .broken: BarrierState(round: round, phase: .resetting)
        case .passedThenBroken: BarrierState(round: round, phase: .passed)
        case .passed, .resetting: nil
        }
    }

    /// The next round; only once everybody who waits for this one has its mark.
    var next: BarrierState? {
        phase == .passed || phase == .resetting ? BarrierState(round: round &+ 1, phase: .filling) : nil
    }
}
