extension Report {
    /// A workload's table in the PEP's wording, with columns for the median, CPython and the PEP's own figures.
    package func table(_ workload: Workload) -> String {
        let compared = implementation(.cpython) != nil
        var lines = ["\(workload.rawValue): \(workload.summary)"]
        var head =
            pad("", 24) + pad("best of \(repeats(.swift, workload))", 18) + pad("median", 10) + right("speed-up", 9)
        if compared { head += "  " + right("CPython", 9) + right("speed-up", 10) }
        lines.append(head + "  " + right("PEP 371", 9))
        for n in counts(of: workload) {
            for mode in Mode.allCases {
                guard let swift = result(.swift, workload, mode, n) else { continue }
                var line = pad(mode.label(n), 24) + pad("\(fixed(swift.best, 6)) seconds", 18)
                line += pad(fixed(swift.median, 6), 10) + right(ratio(speedUp(.swift, workload, mode, n)), 9)
                if compared {
                    let other = result(.cpython, workload, mode, n)
                    line += "  " + right(other.map { fixed($0.best, 6) } ?? "-", 9)
                    line += right(ratio(speedUp(.cpython, workload, mode, n)), 10)
                }
                lines.append(line + "  " + right(PEP2008.seconds(workload, mode, n).map { fixed($0, 6) } ?? "-", 9))
            }
            lines.append("")
        }
        return lines.joined(separator: "\n")
    }

    /// "20", or "3 to 20" where the time budget ended some cases earlier.
    package func repeats(_ language: Language, _ workload: Workload) -> String {
        let all = results.filter { $0.implementation == language && $0.workload == workload }.map(\.repeats)
        guard let least = all.min(), let most = all.max() else { return "-" }
        return least == most ? "\(least)" : "\(least)-\(most)"
    }

    private func ratio(_ value: Double?) -> String {
        value.map { "\(fixed($0, 2))x" } ?? "-"
    }
}

private func pad(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(1, width - text.count))
}

private func right(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
}
