/// The word whose change commits an operation at one end of a queue: how many items went through that end since it was made.
///
/// Whatever else belongs to the state of that end lies twice in memory; the word's parity says which of the two is valid. An
/// operation writes the other one and then this word: before the store nothing has happened, after it everything has.
///
/// Bits: 0, the parity; 1, nothing more is put; 2, what is there is discarded; 3–7, the nudge, which anybody may change to
/// have sleepers look again; 8–63, the number of items. The low half is a futex, and differs after every change.
struct CommitWord: Equatable {
    var rawValue: UInt64

    private static let parityBit: UInt64 = 1
    private static let nudgeUnit: UInt64 = 1 << 3
    private static let nudgeMask: UInt64 = 31 << 3

    static let shutDown: UInt64 = 1 << 1
    static let discarding: UInt64 = 1 << 2

    /// How many items went through.
    var sequence: UInt64 { rawValue >> 8 }
    /// Which copy of the rest of the state is valid: 0 or 1.
    var copy: Int { Int(rawValue & Self.parityBit) }
    var isShutDown: Bool { rawValue & Self.shutDown != 0 }
    var isDiscarding: Bool { rawValue & Self.discarding != 0 }
    /// What sleepers compare.
    var low: UInt32 { UInt32(truncatingIfNeeded: rawValue) }

    /// After `count` more items, the other copy valid.
    func committing(_ count: UInt64) -> CommitWord {
        CommitWord(rawValue: (rawValue &+ count << 8) ^ Self.parityBit)
    }

    /// The same state, different to the eye of a sleeper.
    var nudged: CommitWord {
        CommitWord(rawValue: rawValue & ~Self.nudgeMask | (rawValue &+ Self.nudgeUnit) & Self.nudgeMask)
    }

    /// Whether the two stand for the same items and the same copy.
    func agrees(with other: CommitWord) -> Bool {
        (rawValue ^ other.rawValue) & ~(Self.nudgeMask | Self.shutDown | Self.discarding) == 0
    }
}
