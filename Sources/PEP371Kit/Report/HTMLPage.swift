/// The report as one HTML page that needs nothing else: charts are inline SVG, and there is no script.
package struct HTMLPage {
    let report: Report

    package init(_ report: Report) {
        self.report = report
    }

    package var text: String {
        """
        <!DOCTYPE html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>PEP 371, measured</title>
        <style>
        \(HTMLStyle.text)
        </style>
        </head>
        <body>
        <main>
        \(head)
        \(tiles)
        \(legend)
        \(report.workloads.map { WorkloadCard(report: report, workload: $0).html }.joined(separator: "\n"))
        \(foot)
        </main>
        </body>
        </html>

        """
    }

    private var head: String {
        let machine = report.machine
        var facts = [
            ("Machine", "\(machine.processor), \(machine.processors) processors, \(machine.memory)"),
            ("System", "\(machine.system), \(machine.kernel), \(machine.architecture)"),
        ]
        for implementation in report.implementations {
            facts.append(("", "\(implementation.description), processes by \(implementation.startMethod)"))
        }
        facts.append(("Load before", fixed(machine.loadAverage, 2)))
        facts.append(("Date", machine.date))
        let items = facts.map { "<li>\($0.0.isEmpty ? "" : "<b>\($0.0)</b> ")\(escaped($0.1))</li>" }.joined()
        return """
            <p class="eyebrow">PEP 371 · performance comparison</p>
            <h1>One after another, in threads, in processes</h1>
            <p class="lead">The workloads of the proposal that gave Python its multiprocessing package, run here by \
            swift-multiprocessing\(report.implementation(.cpython) == nil ? "" : " and, side by side, by CPython"). \
            Each runs n times over; the work grows with n, so with enough processors the time of n workers stays that of \
            one.</p>
            <ul class="facts">\(items)</ul>
            """
    }

    private var tiles: String {
        let tiles = report.workloads.compactMap { workload in
            workload == .emptyFunc ? startTile : workTile(workload)
        }
        return "<section class=\"tiles\">\(tiles.joined())</section>"
    }

    private var startTile: String? {
        guard
            let n = report.counts(of: .emptyFunc).last,
            let process = report.result(.swift, .emptyFunc, .processes, n)
        else { return nil }
        let other = report.result(.cpython, .emptyFunc, .processes, n)
        let python = other.map { "; CPython \(duration($0.best / Double(n)))" } ?? ""
        return tile("empty_func", duration(process.best / Double(n)), "to start and join a process\(python)")
    }

    private func workTile(_ workload: Workload) -> String? {
        guard
            let n = report.verdictCount(of: workload),
            let processes = report.speedUp(.swift, workload, .processes, n)
        else { return nil }
        let threads = report.speedUp(.swift, workload, .threads, n).map { "; threads \(fixed($0, 2))×" } ?? ""
        let other = report.speedUp(.cpython, workload, .processes, n)
        let python = other.map { "; CPython processes \(fixed($0, 2))×" } ?? ""
        return tile(workload.rawValue, "\(fixed(processes, 2))×", "with \(n) processes\(threads)\(python)")
    }

    private func tile(_ name: String, _ figure: String, _ note: String) -> String {
        "<div class=\"tile\"><p class=\"name\">\(name)</p><p class=\"figure\">\(escaped(figure))</p>"
            + "<p class=\"note\">\(escaped(note))</p></div>"
    }

    private var legend: String {
        func stroke(_ style: String) -> String {
            "<svg viewBox=\"0 0 30 10\" aria-hidden=\"true\"><polyline class=\"line \(style)\" points=\"0,5 30,5\"/></svg>"
        }
        var items = Mode.allCases.map { "<span><i class=\"\($0.rawValue)\"></i>\($0.rawValue)</span>" }
        items.append("<span>bar: best run, stroke across it: median</span>")
        items.append("<span>\(stroke("solid"))Swift</span>")
        if report.implementation(.cpython) != nil { items.append("<span>\(stroke("cpython"))CPython</span>") }
        items.append("<span>\(stroke("pep"))the PEP in 2008</span>")
        items.append("<span>\(stroke("ideal"))most that the processors allow</span>")
        return "<div class=\"legend\">\(items.joined())</div>"
    }

    private var foot: String {
        let first = report.implementations
            .map { "\(escaped($0.description)) \(duration($0.firstProcess))" }
            .joined(separator: ", ")
        return """
            <footer>
            <p>Creating, starting and joining the workers is inside the measured time, as in the PEP. Every result is checked, in \
            the workers too. The very first process of each program was started once before the cases: \(first).</p>
            <p>The PEP's own figures come from another age: \(escaped(PEP2008.machine)), best of 100. Its queue test is not here \
            yet. Source: <a href="https://peps.python.org/pep-0371/">PEP 371</a>.</p>
            </footer>
            """
    }
}
