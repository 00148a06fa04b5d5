import Foundation

/// Keeps the optimizer from dropping what is measured.
@inline(never)
func use<Value>(_ value: Value) {}

/// One contender of a comparison, and its times in nanoseconds.
struct Contender {
    let name: String
    let body: () throws -> Void
    var times: [Double] = []

    init(_ name: String, _ body: @escaping () throws -> Void) {
        self.name = name
        self.body = body
    }

    var minimum: Double { times.min() ?? 0 }

    var median: Double {
        let sorted = times.sorted()
        return sorted[sorted.count / 2]
    }
}

/// Runs the contenders in turns, so that what else the machine does hits all alike, and prints medians and minima.
func compare(_ title: String, repeats: Int, inner: Int = 1, _ contenders: [Contender]) throws -> [String: (
    median: Double, minimum: Double
)] {
    var contenders = contenders
    for round in 0..<(repeats + 2) {
        for index in contenders.indices {
            let start = ContinuousClock.now
            for _ in 0..<inner { try contenders[index].body() }
            let elapsed = ContinuousClock.now - start
            let nanoseconds = Double(elapsed.components.seconds) * 1e9 + Double(elapsed.components.attoseconds) / 1e9
            // The first rounds warm up.
            if round >= 2 { contenders[index].times.append(nanoseconds / Double(inner)) }
        }
    }
    print(title)
    var medians: [String: (median: Double, minimum: Double)] = [:]
    for contender in contenders {
        medians[contender.name] = (contender.median, contender.minimum)
        let name = contender.name.padding(toLength: 34, withPad: " ", startingAt: 0)
        let numbers = String(format: "median %12.0f ns   min %12.0f ns", contender.median, contender.minimum)
        print("  \(name) \(numbers)")
    }
    return medians
}
