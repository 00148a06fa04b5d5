/// The word that says all about a hold: a place for an item that has left the line but whose bytes are still needed.
///
/// Bits: 0–2, the phase; 3–9, how often the item was delivered; 10–29, how often the hold was used or an item in it came back (modulo
/// 2^20), so that one who comes late does not mistake a later use for his; 30–63, how many items in it were done with (modulo 2^34):
/// part of what `join` counts.
struct HoldState: Equatable {
    var rawValue: UInt64

    enum Phase: UInt64 {
        case free = 0
        /// Taken by `get`, being decoded in place.
        case taken
        /// Leased, being decoded in place: not moved as long as the lease lasts.
        case leasing
        /// Leased.
        case leased
        /// To be delivered again, before what is in line.
        case returned
        /// Delivered as often as may be.
        case dead
    }

    static let mostDeliveries = 127

    /// Nil only if the memory was damaged.
    var phase: Phase? { Phase(rawValue: rawValue & 7) }
    var isFree: Bool { rawValue & 7 == 0 }
    var deliveries: Int { Int(rawValue >> 3 & 127) }
    /// How many items were done with here, modulo 2^34.
    var completions: UInt64 { rawValue >> 30 }
    private static let completionsMask: UInt64 = 1 << 34 - 1

    /// How many items were done with here.
    ///
    /// - Parameter earlier: how many there were at some moment before, 2^34 ago at most.
    func completions(after earlier: UInt64) -> UInt64 {
        earlier &+ (completions &- earlier) & Self.completionsMask
    }

    private static let useMask: UInt64 = 0xf_ffff << 10

    private init(_ phase: Phase, deliveries: Int, uses: UInt64, completions: UInt64) {
        rawValue = phase.rawValue | UInt64(deliveries) << 3 | uses & Self.useMask | completions << 30
    }

    init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    /// In another phase of the same use.
    func becoming(_ phase: Phase) -> HoldState {
        HoldState(phase, deliveries: deliveries, uses: rawValue, completions: completions)
    }

    /// Delivered once more.
    func delivering(_ phase: Phase) -> HoldState {
        let count = isFree ? 1 : min(deliveries + 1, Self.mostDeliveries)
        return HoldState(phase, deliveries: count, uses: rawValue, completions: completions)
    }

    /// Free for the next use.
    func ending(isDone: Bool) -> HoldState {
        HoldState(
            .free,
            deliveries: 0,
            uses: rawValue &+ 1 << 10,
            completions: completions &+ (isDone ? 1 : 0)
        )
    }

    /// What becomes of a lease that ended without success.
    ///
    /// A dead letter counts as done: nobody is going to work on it, and `join` must not wait for it.
    func returning(maximumDeliveries: Int) -> HoldState {
        let isDead = deliveries >= maximumDeliveries
        return HoldState(
            isDead ? .dead : .returned,
            deliveries: deliveries,
            // Deliveries without a limit are not counted for ever: the next lease has to differ from this one all the same.
            uses: rawValue &+ 1 << 10,
            completions: completions &+ (isDead ? 1 : 0)
        )
    }
}
