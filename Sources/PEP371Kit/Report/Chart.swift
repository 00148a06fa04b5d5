/// The frame that both charts share: size, plot area, grid, axis words.
struct ChartFrame {
    static let width = 380.0
    static let height = 236.0
    private static let left = 58.0
    private static let right = 14.0
    private static let upper = 12.0
    private static let lower = 30.0

    let axis: Axis
    let groups: [String]

    /// Width that one group of bars, or one point of a line, may take.
    var groupWidth: Double {
        (Self.width - Self.left - Self.right) / Double(max(1, groups.count))
    }

    func x(_ group: Int) -> Double {
        Self.left + (Double(group) + 0.5) * groupWidth
    }

    func y(_ value: Double) -> Double {
        let plot = Self.height - Self.upper - Self.lower
        return Self.height - Self.lower - plot * min(max(value / axis.top, 0), 1)
    }

    /// Wraps the marks of a chart; `title` is what a screen reader says.
    func svg(title: String, marks: String) -> String {
        var grid = ""
        for tick in axis.ticks {
            let y = svgNumber(y(tick))
            let end = svgNumber(Self.width - Self.right)
            grid += "<line class=\"grid\" x1=\"\(svgNumber(Self.left))\" x2=\"\(end)\" y1=\"\(y)\" y2=\"\(y)\"/>"
            grid +=
                "<text class=\"tick\" x=\"\(svgNumber(Self.left - 7))\" y=\"\(y)\" dy=\"0.32em\" text-anchor=\"end\">"
            grid += "\(escaped(axis.label(at: tick)))</text>"
        }
        for (index, group) in groups.enumerated() {
            grid += "<text class=\"tick\" x=\"\(svgNumber(x(index)))\" y=\"\(svgNumber(Self.height - 10))\" "
            grid += "text-anchor=\"middle\">\(escaped(group))</text>"
        }
        return """
            <svg viewBox="0 0 \(svgNumber(Self.width)) \(svgNumber(Self.height))" role="img" \
            aria-label="\(escaped(title))">\(grid)\(marks)</svg>
            """
    }
}

/// Bars side by side, one group per n.
struct BarChart {
    struct Bar {
        let style: String
        let value: Double
        /// A second figure, drawn as a thin stroke over the bar.
        let mark: Double?
        let tooltip: String
    }

    let title: String
    let groups: [(label: String, bars: [Bar])]

    var svg: String {
        let bars = groups.flatMap(\.bars)
        let largest = bars.map { max($0.value, $0.mark ?? 0) }.filter(\.isFinite).max() ?? 1
        let frame = ChartFrame(axis: .times(upTo: largest), groups: groups.map(\.label))
        var marks = ""
        for (index, group) in groups.enumerated() {
            let room = frame.groupWidth * 0.76
            let slot = min(room / Double(max(1, group.bars.count)), 30)
            let start = frame.x(index) - slot * Double(group.bars.count) / 2
            for (position, bar) in group.bars.enumerated() {
                let left = start + slot * Double(position) + 1
                marks += draw(bar, left: left, width: slot - 2, frame: frame)
            }
        }
        return frame.svg(title: title, marks: marks)
    }

    private func draw(_ bar: Bar, left: Double, width: Double, frame: ChartFrame) -> String {
        // A bar of almost nothing still shows that something was measured.
        let top = min(frame.y(bar.value), frame.y(0) - 1.5)
        var text = "<g><title>\(escaped(bar.tooltip))</title>"
        text +=
            "<rect class=\"\(bar.style)\" x=\"\(svgNumber(left))\" y=\"\(svgNumber(top))\" width=\"\(svgNumber(width))\" "
        text += "height=\"\(svgNumber(frame.y(0) - top))\" rx=\"2\"/>"
        if let mark = bar.mark {
            let y = svgNumber(frame.y(mark))
            text +=
                "<line class=\"median\" x1=\"\(svgNumber(left))\" x2=\"\(svgNumber(left + width))\" y1=\"\(y)\" y2=\"\(y)\"/>"
        }
        return text + "</g>"
    }
}

/// Lines over n.
struct LineChart {
    struct Line {
        let style: String
        let name: String
        /// One value per group; nil where nothing was measured.
        let values: [Double?]
        var dots = true
    }

    let title: String
    let groups: [String]
    let lines: [Line]
    let axis: (Double) -> Axis
    let format: (Double) -> String

    var svg: String {
        let largest = lines.flatMap(\.values).compactMap(\.self).filter(\.isFinite).max() ?? 1
        let frame = ChartFrame(axis: axis(largest), groups: groups)
        return frame.svg(title: title, marks: lines.map { draw($0, frame) }.joined())
    }

    private func draw(_ line: Line, _ frame: ChartFrame) -> String {
        let points = line.values.enumerated().compactMap { index, value in
            value.map { (x: frame.x(index), y: frame.y($0), value: $0, group: groups[index]) }
        }
        let path = points.map { "\(svgNumber($0.x)),\(svgNumber($0.y))" }.joined(separator: " ")
        var text = "<polyline class=\"line \(line.style)\" points=\"\(path)\"/>"
        guard line.dots else { return text }
        for point in points {
            text +=
                "<circle class=\"dot \(line.style)\" cx=\"\(svgNumber(point.x))\" cy=\"\(svgNumber(point.y))\" r=\"3.5\">"
            text += "<title>\(escaped("\(line.name), \(point.group): \(format(point.value))"))</title></circle>"
        }
        return text
    }
}

/// A coordinate: one decimal is finer than any screen.
private func svgNumber(_ value: Double) -> String {
    fixed(value, 1)
}

/// Text made safe for HTML, in elements and in attributes.
func escaped(_ text: String) -> String {
    var result = ""
    for character in text {
        switch character {
        case "&": result += "&amp;"
        case "<": result += "&lt;"
        case ">": result += "&gt;"
        case "\"": result += "&quot;"
        default: result.append(character)
        }
    }
    return result
}
