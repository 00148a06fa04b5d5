import Foundation
import PEP371Kit
import Testing

@Suite struct ReportTests {
    @Test func tableHasThePEPsRows() {
        let lines = madeUpReport(compared: false).table(.fibonacci).split(separator: "\n")
        #expect(lines.count == 2 + 12)
        #expect(lines[2].hasPrefix("non_threaded (1 iters)  0.100000 seconds"))
        #expect(lines[4].hasPrefix("processes (1 procs)     0.103000 seconds"))
        #expect(lines[2].hasSuffix("0.195548"))
        #expect(lines.last?.hasPrefix("processes (8 procs)     0.203000 seconds") == true)
    }

    @Test(arguments: [false, true])
    func tableColumnsLineUp(compared: Bool) {
        let lines = madeUpReport(compared: compared).table(.crunchPrimes).split(separator: "\n").dropFirst()
        #expect(Set(lines.map(\.count)).count == 1, "\(lines.joined(separator: "\n"))")
    }

    @Test func verdicts() {
        let report = madeUpReport(compared: true)
        #expect(
            report.verdict(.fibonacci)
                == "fibonacci: 4 processes did the work of 4 in 1.03x the time of 1; threads 1.01x; "
                + "CPython: 4 processes did the work of 4 in 1.03x the time of 1; threads 4.40x"
        )
        #expect(report.verdict(.emptyFunc).contains("starting and joining 8 costs 25.4 ms per process"))
    }

    @Test func verdictsOfSmallMachinesAndSmallRuns() {
        var report = madeUpReport(compared: false, processors: 1)
        #expect(report.verdict(.fileIO).hasSuffix("(only 1 can run at once here)"))
        report.results.removeAll { $0.n != 1 }
        #expect(report.verdict(.fileIO) == "file_io: nothing to compare; measure n = 1 and one more")
        #expect(HTMLPage(report).text.contains("Nothing to compare"))
    }

    @Test func theEmptyFunctionHasNoSpeedUp() {
        let report = madeUpReport(compared: false)
        #expect(report.speedUp(.swift, .emptyFunc, .processes, 4) == nil)
        #expect(report.speedUp(.swift, .urlGet, .linear, 4) == 1)
    }

    @Test func jsonShape() throws {
        let data = try madeUpReport(compared: true).json()
        let object = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
        let results = try #require(object["results"] as? [[String: Any]])
        #expect(results.count == 2 * Workload.allCases.count * 4 * 3)
        for result in results {
            #expect(
                Set(result.keys)
                    == ["workload", "mode", "n", "best_s", "median_s", "repeats", "implementation"]
            )
            #expect(["linear", "threads", "processes"].contains(result["mode"] as? String))
            #expect(["swift", "cpython"].contains(result["implementation"] as? String))
        }
        #expect(Set(results.compactMap { $0["workload"] as? String }) == Set(Workload.allCases.map(\.rawValue)))
        let machine = try #require(object["machine"] as? [String: Any])
        #expect(machine["processors"] as? Int == 4)
        #expect(machine["memory_bytes"] as? Int == 8 << 30)
        #expect(try JSONDecoder().decode(Report.self, from: data).results == madeUpReport(compared: true).results)
    }

    @Test func thePEPsFigures() {
        #expect(PEP2008.seconds(.fibonacci, .processes, 8) == 0.417899)
        #expect(PEP2008.seconds(.emptyFunc, .linear, 1) == 0.000001)
        #expect(PEP2008.seconds(.urlGet, .threads, 3) == nil)
    }

    @Test func thisMachineIsDescribed() {
        let machine = Machine.current()
        #expect(machine.processors >= 1)
        #expect(machine.memoryBytes > 1 << 20)
        #expect(machine.kernel.hasPrefix("Linux "))
        #expect(machine.date.count == 20)
    }
}

@Suite struct HTMLTests {
    @Test(arguments: [false, true])
    func thePageNeedsNothingElse(compared: Bool) {
        let page = HTMLPage(madeUpReport(compared: compared)).text
        for sign in ["<script", "<link", "<img", "<iframe", "src=", "url(", "@import", "@font-face"] {
            #expect(!page.contains(sign), "\(sign)")
        }
        // The one address is a link to the PEP, which nothing loads by itself.
        #expect(page.components(separatedBy: "://").count == 2)
        #expect(page.contains("prefers-color-scheme: dark"))
    }

    @Test func whatComesFromTheMachineIsEscaped() {
        let page = HTMLPage(madeUpReport(compared: false)).text
        #expect(page.contains("Imagined &lt;b&gt;CPU&lt;/b&gt; &amp; &quot;Co&quot;"))
    }

    @Test func everyWorkloadHasItsChartsAndTable() {
        let workloads = Workload.allCases.count
        for (compared, charts) in [(false, 2), (true, 3)] {
            let page = HTMLPage(madeUpReport(compared: compared)).text
            #expect(page.components(separatedBy: "role=\"img\"").count - 1 == workloads * charts)
            #expect(page.components(separatedBy: "<table>").count - 1 == workloads)
            #expect(page.components(separatedBy: "<rect class=\"processes\"").count - 1 == workloads * 4 * (charts - 1))
        }
    }

    @Test func elementsAreClosed() throws {
        // The body is written so that an XML parser accepts it: that finds any unclosed element.
        let page = HTMLPage(madeUpReport(compared: true)).text
        let start = try #require(page.range(of: "<body>")).lowerBound
        let end = try #require(page.range(of: "</body>")).upperBound
        var open: [Substring] = []
        for piece in page[start..<end].split(separator: "<").filter({ !$0.isEmpty }) {
            let tag = piece.prefix { $0 != ">" }
            if tag.hasSuffix("/") || tag.trimmingCharacters(in: .whitespacesAndNewlines).isEmpty { continue }
            if tag.hasPrefix("/") {
                #expect(open.popLast() == tag.dropFirst(), "at </\(tag.dropFirst())>")
            } else {
                open.append(tag.prefix { $0 != " " })
            }
        }
        #expect(open.isEmpty)
    }

    @Test func valuesStayInsideTheChart() {
        var report = madeUpReport(compared: false)
        // Nothing measured at all, as a clock too coarse would say.
        for index in report.results.indices { report.results[index].best = 0 }
        let page = HTMLPage(report).text
        #expect(!page.contains("nan"))
        #expect(!page.contains("\"-"))
    }
}
