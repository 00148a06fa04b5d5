/// The whole comparison: every workload, n and mode, in Swift and, if asked, in CPython.
package struct Benchmark {
    private let plan: Plan
    private let scratch: ScratchDirectory
    private let python: CPython?
    private let progress: Progress
    /// Grows as cases are measured.
    package private(set) var report: Report

    /// Looks at the machine, starts a first process, and asks the Python interpreter, if any, who it is.
    package init(plan: Plan, scratch: ScratchDirectory, python: CPython?, progress: Progress) throws {
        self.plan = plan
        self.scratch = scratch
        self.python = python
        self.progress = progress
        let machine = Machine.current()
        progress.show("starting a first process")
        let first = try Timing.measure(Repetition(most: 1, least: 1, budgetSeconds: 0)) {
            try Mode.processes.run(.emptyFunc, copies: 1)
        }
        let swift = Implementation(
            name: .swift,
            description: machine.build,
            startMethod: swiftStartMethod,
            firstProcess: first.best
        )
        report = Report(machine: machine, implementations: [swift])
        if let python { report.implementations.append(try python.introduceItself()) }
        progress.clear()
    }

    /// Measures everything; `finished` hears of each workload as soon as its figures are complete.
    package mutating func run(finished: (Report, Workload) -> Void) throws {
        defer { progress.clear() }
        for workload in plan.workloads {
            try run(workload)
            progress.clear()
            finished(report, workload)
        }
    }

    private mutating func run(_ workload: Workload) throws {
        let prepared = try workload.prepare(scratch: scratch)
        let repetition = plan.repetition(of: workload)
        for n in plan.counts {
            for mode in Mode.allCases {
                let timing = try Timing.measure(repetition) { run in
                    progress.show("\(workload.rawValue)  \(mode.label(n))  run \(run)")
                } body: {
                    try mode.run(prepared.job, copies: n)
                }
                report.results.append(
                    Measurement(
                        workload: workload,
                        mode: mode,
                        n: n,
                        best: timing.best,
                        median: timing.median,
                        repeats: timing.seconds.count,
                        implementation: .swift
                    )
                )
            }
        }
        if let python {
            // The same lorem.txt, the same server: only the program differs.
            report.results += try python.measure(prepared.job, counts: plan.counts, repetition) { mode, n, run in
                progress.show("\(workload.rawValue)  CPython  \(mode.label(n))  run \(run)")
            }
        }
        try prepared.finish()
    }
}
