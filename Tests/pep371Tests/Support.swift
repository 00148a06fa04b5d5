import Foundation
import PEP371Kit

/// Runs the body with a private directory, and removes it.
func withScratch<Result>(_ body: (ScratchDirectory) throws -> Result) throws -> Result {
    let scratch = try ScratchDirectory()
    defer { scratch.remove() }
    return try body(scratch)
}

/// A small job of each kind that needs no server.
let smallFibonacci = Fibonacci(steps: 1_000, expectedBits: 694, expectedTail: 849_228_875)
let smallPrimes = CrunchPrimes(limit: 1_000, expectedSum: 76_127)

/// A report with made-up figures, for what is only formatting.
func madeUpReport(compared: Bool, processors: Int = 4) -> Report {
    let machine = Machine(
        processor: "Imagined <b>CPU</b> & \"Co\"",
        processors: processors,
        memoryBytes: 8 << 30,
        system: "Test OS",
        kernel: "Linux 6",
        architecture: "x86_64",
        build: "Swift 6.3, release build",
        loadAverage: 0.25,
        date: "2026-01-02T03:04:05Z"
    )
    var report = Report(
        machine: machine,
        implementations: [
            Implementation(name: .swift, description: machine.build, startMethod: "forkserver", firstProcess: 0.004)
        ]
    )
    if compared {
        report.implementations.append(
            Implementation(name: .cpython, description: "CPython 3.14.0", startMethod: "forkserver", firstProcess: 0.05)
        )
    }
    for language in compared ? [Language.swift, .cpython] : [.swift] {
        for workload in Workload.allCases {
            for n in [1, 2, 4, 8] {
                let linear = 0.1 * Double(n)
                let times: [(Mode, Double)] = [
                    (.linear, linear),
                    (.threads, language == .swift ? linear / Double(min(n, 4)) + 0.001 : linear * 1.1),
                    (.processes, linear / Double(min(n, 4)) + 0.003),
                ]
                for (mode, best) in times {
                    report.results.append(
                        Measurement(
                            workload: workload,
                            mode: mode,
                            n: n,
                            best: best,
                            median: best * 1.05,
                            repeats: 20,
                            implementation: language
                        )
                    )
                }
            }
        }
    }
    return report
}
