/// A number with so many decimals, rounded; without a locale.
package func fixed(_ value: Double, _ decimals: Int) -> String {
    guard value.isFinite else { return "-" }
    var scale = 1.0
    for _ in 0..<decimals { scale *= 10 }
    let units = (value.magnitude * scale).rounded()
    // Beyond this a count of units is no longer exact, and no time or ratio gets there.
    guard units < 9e15 else { return "\(value)" }
    let digits = String(Int(units))
    let padded = String(repeating: "0", count: max(0, decimals + 1 - digits.count)) + digits
    let sign = value < 0 && units > 0 ? "-" : ""
    return decimals == 0 ? sign + padded : sign + padded.dropLast(decimals) + "." + padded.suffix(decimals)
}

/// A time in the unit that suits it, with three significant digits or so.
package func duration(_ seconds: Double) -> String {
    switch seconds {
    case ..<0.000_001: "\(fixed(seconds * 1e9, 0)) ns"
    case ..<0.001: "\(threeDigits(seconds * 1e6)) µs"
    case ..<1: "\(threeDigits(seconds * 1e3)) ms"
    default: "\(threeDigits(seconds)) s"
    }
}

/// A whole number with commas between its thousands.
package func grouped(_ number: Int) -> String {
    var text = ""
    for (index, digit) in String(number.magnitude).reversed().enumerated() {
        if index > 0 && index % 3 == 0 { text.append(",") }
        text.append(digit)
    }
    return (number < 0 ? "-" : "") + String(text.reversed())
}

private func threeDigits(_ value: Double) -> String {
    fixed(value, value < 10 ? 2 : value < 100 ? 1 : 0)
}
