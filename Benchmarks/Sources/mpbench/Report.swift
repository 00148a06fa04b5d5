internal import Glibc

/// The table on standard output: a block for each metric, as soon as it is measured.
enum Table {
    static func printHeader(_ facts: [(String, String)]) {
        print(facts.map { "\($0): \($1)" }.joined(separator: "\n"))
        if !Machine.isOptimized {
            print("\nThis is a debug build. Targets are for release builds: swift run -c release mpbench")
        }
        print()
    }

    static func print(_ measurement: Measurement) {
        let metric = measurement.metric
        Swift.print("\(metric.name): \(metric.summary) [\(metric.unit.rawValue)]")
        for (name, statistics) in measurement.series {
            let ratio = name == "ours" ? "" : "   ours is \(short(measurement.ours.median / statistics.median)) x"
            Swift.print(
                "    \(pad(name, 24)) median \(pad(short(statistics.median), 9, left: true))"
                    + "   p99 \(pad(short(statistics.p99), 9, left: true))   n \(pad("\(statistics.count)", 4, left: true))\(ratio)"
            )
        }
        for verdict in measurement.verdicts {
            let figure = verdict.figure.map { short($0, digits: 3) } ?? "-"
            let word = verdict.isReached.map { $0 ? "reached" : "NOT reached" } ?? "cannot be told"
            Swift.print("    target \(verdict.target.description(metric.unit)): ratio \(figure), \(word)")
        }
        for (name, value) in measurement.derived { Swift.print("    \(pad(name, 24)) \(short(value))") }
        if metric.targets.isEmpty { Swift.print("    no target: for information") }
        Swift.print()
        fflush(nil)
    }

    private static func print(_ text: String = "") { Swift.print(text) }

    private static func pad(_ text: String, _ width: Int, left: Bool = false) -> String {
        let spaces = String(repeating: " ", count: max(0, width - text.count))
        return left ? spaces + text : text + spaces
    }
}

/// The same as a file, for programs.
enum JSONReport {
    static func text(_ measurements: [Measurement], facts: [(String, String)]) -> String {
        let metrics = measurements.map(metric).joined(separator: ",\n")
        let machine = facts.map { "    \(quoted($0)): \(quoted($1))" }.joined(separator: ",\n")
        return "{\n  \"metrics\": [\n\(metrics)\n  ],\n  \"machine\": {\n\(machine)\n  }\n}\n"
    }

    private static func metric(_ measurement: Measurement) -> String {
        let metric = measurement.metric
        func object(_ value: (Statistics) -> Double) -> String {
            let fields = measurement.baselines.map { "\(quoted($0.name)): \(number(value($0.statistics)))" }
            return "{" + fields.joined(separator: ", ") + "}"
        }
        let fields: [(String, String)] = [
            ("name", quoted(metric.name)),
            ("summary", quoted(metric.summary)),
            ("unit", quoted(metric.unit.rawValue)),
            ("ours", number(measurement.ours.median)),
            ("p99", number(measurement.ours.p99)),
            ("samples", "\(measurement.ours.count)"),
            ("baselines", object { $0.median }),
            ("baselines_p99", object { $0.p99 }),
            (
                "derived",
                "{" + measurement.derived.map { "\(quoted($0.name)): \(number($0.value))" }.joined(separator: ", ")
                    + "}"
            ),
            ("targets", "[" + measurement.verdicts.map { verdict($0, metric.unit) }.joined(separator: ", ") + "]"),
        ]
        return "    {" + fields.map { "\(quoted($0)): \($1)" }.joined(separator: ", ") + "}"
    }

    private static func verdict(_ verdict: Measurement.Verdict, _ unit: Unit) -> String {
        let reached = verdict.isReached.map { "\($0)" } ?? "null"
        return "{\"target\": \(quoted(verdict.target.description(unit))), \"ratio\": "
            + "\(verdict.figure.map(number) ?? "null"), \"reached\": \(reached)}"
    }

    private static func number(_ value: Double) -> String {
        value.isFinite ? short(value, digits: 3) : "null"
    }

    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": result += "\\\(scalar)"
            case _ where scalar.value < 0x20: result += " "
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}

/// A number with a few decimals, without Foundation.
func short(_ value: Double, digits: Int = 2) -> String {
    guard value.isFinite, value.magnitude < 1e15 else { return "\(value)" }
    var scale = 1.0
    for _ in 0..<digits { scale *= 10 }
    let rounded = (value * scale).rounded() / scale
    let text = "\(rounded)"
    return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
}
