/// The text of a progress bar, for so many columns.
struct ProgressLine {
    var title: String
    var counts: PoolProgress.Counts
    /// Whether failures are red.
    var isColoured = false

    /// The line for a terminal, not wider than so many columns.
    func bar(columns: Int) -> String {
        let head = title.isEmpty ? "" : title + " "
        let tail = details
        let room = columns - head.count - tail.count - 3
        guard let fraction = counts.fraction, room >= 8 else { return Self.cut(head + tail, columns) }
        let length = min(room, 40)
        let filled = Int(Double(length) * fraction)
        let bar = String(repeating: "#", count: filled) + String(repeating: "-", count: length - filled)
        return head + "[" + bar + "] " + coloured(tail)
    }

    /// The line for what is no terminal.
    var plain: String { (title.isEmpty ? "" : title + ": ") + details }

    private var details: String {
        var parts: [String] = []
        if let total = counts.total {
            parts.append("\(Int((counts.fraction ?? 0) * 100)) %, \(counts.done)/\(total)")
        } else {
            parts.append("\(counts.done) done")
        }
        if counts.failed > 0 { parts.append(failures) }
        if counts.rate > 0 { parts.append("\(Self.rate(counts.rate))/s") }
        if counts.isOver || counts.total == nil {
            parts.append(Self.time(counts.elapsed))
        } else if let left = counts.timeLeft {
            parts.append("\(Self.time(left)) left")
        }
        return parts.joined(separator: ", ")
    }

    private var failures: String { "\(counts.failed) failed" }

    private func coloured(_ text: String) -> String {
        guard isColoured, counts.failed > 0, let place = text.firstRange(of: failures) else { return text }
        return text[..<place.lowerBound] + "\u{1B}[31m" + failures + "\u{1B}[0m" + text[place.upperBound...]
    }

    private static func cut(_ text: String, _ columns: Int) -> String { String(text.prefix(max(0, columns))) }

    /// Two digits that matter.
    static func rate(_ rate: Double) -> String {
        rate >= 10 ? "\(Int(rate.rounded()))" : "\((rate * 10).rounded() / 10)"
    }

    static func time(_ time: Duration) -> String {
        let seconds = Int(time.components.seconds)
        switch seconds {
        case ..<60: return "\(seconds) s"
        case ..<3600: return "\(seconds / 60) min \(seconds % 60) s"
        default: return "\(seconds / 3600) h \(seconds / 60 % 60) min"
        }
    }
}
