/// A workload's part of the page: verdict, charts, table.
struct WorkloadCard {
    let report: Report
    let workload: Workload

    private var counts: [Int] { report.counts(of: workload) }

    var html: String {
        var charts = report.implementations.map { timeChart($0.name) }
        charts.append(workload == .emptyFunc ? costChart : speedUpChart)
        return """
            <section class="card">
            <h2>\(workload.rawValue)</h2>
            <p class="what">\(escaped(workload.summary))</p>
            <div class="verdict">\(verdict)</div>
            <div class="charts">\(charts.map { "<div>\($0)</div>" }.joined())</div>
            <details><summary>All figures, in seconds</summary><div class="scroll">\(table)</div></details>
            </section>
            """
    }

    private var verdict: String {
        let own = report.verdict(workload, .swift) ?? "nothing to compare; measure n = 1 and one more"
        let other = report.verdict(workload, .cpython)
        return "<p>\(escaped(own.prefix(1).uppercased() + own.dropFirst())).</p>"
            + (other.map { "<p>CPython: \(escaped($0)).</p>" } ?? "")
    }

    private func timeChart(_ language: Language) -> String {
        let title = language == .swift ? "Swift" : report.implementation(.cpython)?.description ?? "CPython"
        let groups = counts.map { n in
            let bars = Mode.allCases.compactMap { mode in
                report.result(language, workload, mode, n).map { result in
                    BarChart.Bar(
                        style: mode.rawValue,
                        value: result.best,
                        mark: result.median,
                        tooltip: "\(mode.label(n)): best \(duration(result.best)), median \(duration(result.median)), "
                            + "of \(result.repeats)"
                    )
                }
            }
            return (label: "n = \(n)", bars: bars)
        }
        let chart = BarChart(title: "\(workload.rawValue), \(title): time by n and mode", groups: groups)
        return "<h3>\(escaped(title)) <small>time, less is better</small></h3>" + chart.svg
    }

    private var speedUpChart: String {
        var lines = [ideal]
        lines += series("PEP 371 in 2008", "pep", dots: false) { PEP2008.speedUp(workload, $0, $1) }
        lines += series("CPython", "cpython") { report.speedUp(.cpython, workload, $0, $1) }
        lines += series("Swift", "swift") { report.speedUp(.swift, workload, $0, $1) }
        let chart = LineChart(
            title: "\(workload.rawValue): speed-up over linear by n",
            groups: counts.map { "n = \($0)" },
            lines: lines,
            axis: Axis.ratios,
            format: { "\(fixed($0, 2))×" }
        )
        return "<h3>Speed-up <small>over linear with the same n, more is better</small></h3>" + chart.svg
    }

    /// For the empty function a speed-up means nothing; what one worker costs does.
    private var costChart: String {
        var lines = series("PEP 371 in 2008", "pep", dots: false) { mode, n in
            PEP2008.seconds(workload, mode, n).map { $0 / Double(n) }
        }
        for (language, name) in [(Language.cpython, "CPython"), (.swift, "Swift")] {
            lines += series(name, language.rawValue) { mode, n in
                report.result(language, workload, mode, n).map { $0.best / Double(n) }
            }
        }
        let chart = LineChart(
            title: "\(workload.rawValue): time per worker by n",
            groups: counts.map { "n = \($0)" },
            lines: lines,
            axis: Axis.times,
            format: duration
        )
        return "<h3>Each worker <small>create, start, join; less is better</small></h3>" + chart.svg
    }

    private var ideal: LineChart.Line {
        let values = counts.map { Double(min($0, report.machine.processors)) }
        return LineChart.Line(style: "ideal", name: "processors", values: values, dots: false)
    }

    private func series(
        _ name: String,
        _ style: String,
        dots: Bool = true,
        value: (Mode, Int) -> Double?
    ) -> [LineChart.Line] {
        [Mode.threads, .processes].compactMap { mode in
            let values = counts.map { value(mode, $0) }
            guard values.contains(where: { $0 != nil }) else { return nil }
            let word = mode.rawValue
            return LineChart.Line(style: "\(style) \(word)", name: "\(name) \(word)", values: values, dots: dots)
        }
    }

    private var table: String {
        let compared = report.implementation(.cpython) != nil
        let hasSpeedUp = workload != .emptyFunc
        var head = ["", "Swift best", "median", "runs"] + (hasSpeedUp ? ["speed-up"] : [])
        if compared { head += ["CPython best", "median", "runs"] + (hasSpeedUp ? ["speed-up"] : []) }
        head += ["PEP 371, 2008"]
        var rows = ""
        for n in counts {
            for mode in Mode.allCases {
                var cells = cells(.swift, mode, n, hasSpeedUp)
                if compared { cells += self.cells(.cpython, mode, n, hasSpeedUp) }
                cells.append(PEP2008.seconds(workload, mode, n).map { fixed($0, 6) } ?? "–")
                rows += mode == .linear ? "<tr class=\"first\">" : "<tr>"
                rows += "<td><i class=\"\(mode.rawValue)\"></i>\(mode.label(n))</td>"
                rows += cells.map { "<td>\($0)</td>" }.joined() + "</tr>"
            }
        }
        let header = head.map { "<th>\($0)</th>" }.joined()
        return "<table><thead><tr>\(header)</tr></thead><tbody>\(rows)</tbody></table>"
    }

    private func cells(_ language: Language, _ mode: Mode, _ n: Int, _ hasSpeedUp: Bool) -> [String] {
        let result = report.result(language, workload, mode, n)
        var cells = [
            result.map { fixed($0.best, 6) }, result.map { fixed($0.median, 6) }, result.map { "\($0.repeats)" },
        ]
        if hasSpeedUp { cells.append(report.speedUp(language, workload, mode, n).map { "\(fixed($0, 2))×" }) }
        return cells.map { $0 ?? "–" }
    }
}
