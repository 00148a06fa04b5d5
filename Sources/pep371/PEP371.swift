internal import ArgumentParser
internal import Glibc
internal import PEP371Kit

/// `pep371`: the performance comparison of PEP 371, on this machine.
@main
struct PEP371: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pep371",
        abstract: "Measures what PEP 371 measured: the same work one after another, in threads, and in processes.",
        discussion: """
            Each workload runs n times over: linear (one after another), in n threads, and in n processes. Creating, \
            starting and joining the workers is part of the time; every result is checked, in the workers too.

            Workloads: \(Workload.allCases.map(\.rawValue).joined(separator: ", ")).
            """
    )

    @Option(
        name: .customLong("workload"),
        help: ArgumentHelp("Only this workload; may be repeated.", valueName: "name")
    )
    var workloads: [String] = []

    @Option(
        name: .customLong("n"),
        parsing: .upToNextOption,
        help: ArgumentHelp("How many copies at once, such as: --n 1 2 4 8 (the default).", valueName: "count")
    )
    var counts: [Int] = []

    @Option(
        help: """
            Exactly so many repeats of each case. Default: 100 of empty_func and 20 of the others, fewer where they would \
            take more than 2 seconds, but at least 3. (The PEP: 100.)
            """
    )
    var repeats: Int?

    @Flag(help: "Be done within half a minute: n = 1, 2, 4 and few repeats.")
    var quick = false

    @Option(
        help: ArgumentHelp("Run the same in this Python 3 interpreter, results side by side.", valueName: "python3")
    )
    var compare: String?

    @Option(help: ArgumentHelp("Write the results as JSON to this file.", valueName: "file"))
    var json: String?

    @Option(help: ArgumentHelp("Write a page with charts to this file.", valueName: "file"))
    var html: String?

    @Flag(help: "List the workloads and stop.")
    var list = false

    // Errors found here come with the usage, and exit code 64.
    func validate() throws {
        do {
            _ = try plan()
        } catch {
            throw ValidationError(error.description)
        }
    }

    private func plan() throws(BenchmarkError) -> Plan {
        try Plan(workloads: workloads, counts: counts, repeats: repeats, quick: quick)
    }

    func run() throws {
        if list {
            printList()
            return
        }
        do {
            try measure(try plan())
        } catch {
            Interruption.waitIfStopping()
            throw error
        }
    }

    private func measure(_ plan: Plan) throws {
        // Hours of measuring must not end in "no such directory".
        for path in [json, html].compactMap(\.self) { try requireWritable(path) }

        let scratch = try ScratchDirectory()
        defer { scratch.remove() }
        let python = try compare.map { try CPython(interpreter: $0, scratch: scratch) }
        let progress = Progress()
        try Interruption.onStop {
            python?.kill()
            scratch.remove()
            progress.clear()
        }

        var benchmark = try Benchmark(plan: plan, scratch: scratch, python: python, progress: progress)
        printHead(benchmark.report)
        try benchmark.run { report, workload in
            print(report.table(workload))
            print(report.verdict(workload) + "\n")
            fflush(nil)
        }
        if let json { try writeFile(benchmark.report.json(), to: json) }
        if let html { try writeFile(HTMLPage(benchmark.report).text.utf8, to: html) }
    }

    private func printList() {
        for workload in Workload.allCases {
            print("\(workload.rawValue): \(workload.summary)")
        }
    }

    private func printHead(_ report: Report) {
        print(report.machine.summary)
        for implementation in report.implementations {
            print(
                "\(implementation.description), processes by \(implementation.startMethod), "
                    + "the first one in \(duration(implementation.firstProcess))"
            )
        }
        if Machine.isDebugBuild {
            print("This is a debug build: its figures say little. Use: swift run -c release pep371")
        }
        print("PEP 371 column, in seconds: \(PEP2008.machine), best of 100.\n")
        fflush(nil)
    }

    /// Finds out now whether a file can be written later; leaves no empty one behind.
    private func requireWritable(_ path: String) throws {
        let existed = access(path, F_OK) == 0
        guard let file = fopen(path, "ae") else {
            throw BenchmarkError.errno("write \(path)")
        }
        fclose(file)
        if !existed { unlink(path) }
    }
}
