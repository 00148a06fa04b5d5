/// A vertical axis from zero: its top, its ticks, and the words at them.
struct Axis {
    let top: Double
    let ticks: [Double]
    private let label: (Double) -> String

    /// An axis for times in seconds, labelled in the unit that suits the largest.
    static func times(upTo largest: Double) -> Axis {
        let (unit, scale) = largest < 0.001 ? ("µs", 1e6) : largest < 1 ? ("ms", 1e3) : ("s", 1.0)
        return Axis(upTo: largest * scale, scale: scale) { $0 == 0 ? "0" : "\(trimmed($0)) \(unit)" }
    }

    /// An axis for ratios such as 2×.
    static func ratios(upTo largest: Double) -> Axis {
        Axis(upTo: largest, scale: 1) { "\(trimmed($0))×" }
    }

    private init(upTo largest: Double, scale: Double, label: @escaping (Double) -> String) {
        let step = Self.niceStep(for: largest.isFinite && largest > 0 ? largest : 1)
        let count = max(1, Int((largest / step).rounded(.up)))
        top = step * Double(count) / scale
        ticks = (0...count).map { step * Double($0) / scale }
        self.label = { label($0 * scale) }
    }

    func label(at value: Double) -> String {
        label(value)
    }

    /// A step of 1, 2 or 5 times a power of ten that gives three to six ticks.
    private static func niceStep(for largest: Double) -> Double {
        var power = 1.0
        while power * 10 <= largest / 3 { power *= 10 }
        while power > largest / 3 { power /= 10 }
        return [5, 2, 1].map { $0 * power }.first { $0 <= largest / 3 } ?? power
    }
}

/// Up to three decimals, without trailing zeros.
private func trimmed(_ value: Double) -> String {
    var text = fixed(value, 3)
    while text.hasSuffix("0") { text.removeLast() }
    if text.hasSuffix(".") { text.removeLast() }
    return text
}
