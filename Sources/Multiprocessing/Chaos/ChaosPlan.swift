internal import SystemPackage

extension Chaos {
    /// What is to happen, and at which steps. Travels to the process that it is meant for.
    package struct Plan: Sendable, Codable {
        /// Which steps are meant.
        package enum Trigger: Sendable, Codable {
            /// The one with this index, from zero.
            case step(Int)
            /// The one with this name, at its occurrence with this index, from zero.
            case named(String, occurrence: Int)
            /// Each with this probability, from 0 to 1; the same ones for the same seed.
            case random(seed: UInt64, probability: Double)
        }

        package var action: Action
        package var trigger: Trigger
        /// Whether the steps of all threads count, and not only those of the thread that arms.
        package var anyThread: Bool
        /// How long a delay is.
        package var pause: Duration
        /// Where the name of a step is written before something happens there.
        package var note: ChaosNote?

        package init(
            _ action: Action,
            _ trigger: Trigger,
            anyThread: Bool = false,
            pause: Duration = .milliseconds(20),
            note: ChaosNote? = nil
        ) {
            self.action = action
            self.trigger = trigger
            self.anyThread = anyThread
            self.pause = pause
            self.note = note
        }
    }
}

/// A pipe on which a process says at which step it is about to die: afterwards it cannot.
package struct ChaosNote: Sendable, Codable {
    private let number: CInt

    /// The write end, which has to have this number in the process that writes.
    package init(writingTo number: CInt) {
        self.number = number
    }

    func write(_ name: String) {
        // Nobody may read it any more; then nobody misses it.
        _ = try? FileDescriptor(rawValue: number).writeAll((name + "\n").utf8)
    }
}

/// A small generator of random numbers (Steele, Lea and Flood's SplitMix64) that gives the same ones for the same seed.
package struct SplitMix64: RandomNumberGenerator, Sendable {
    private var state: UInt64

    package init(seed: UInt64) {
        state = seed
    }

    package mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// From 0 to 1, without 1.
    package mutating func nextFraction() -> Double {
        Double(next() >> 11) / Double(1 << 53)
    }
}
