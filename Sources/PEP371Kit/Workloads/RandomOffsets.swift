/// A generator that Swift and the Python script write alike, so that both read the same places of the file.
package struct RandomOffsets: Sendable {
    private var state: UInt64

    package init(seed: UInt64) {
        state = seed
    }

    /// A number from 0 up to, not including, `bound`.
    package mutating func next(below bound: Int) -> Int {
        // Knuth's MMIX constants; the low bits of such a generator are poor, hence the shift.
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int(state >> 33) % bound
    }
}
