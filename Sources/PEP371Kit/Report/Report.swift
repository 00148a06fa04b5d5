/// Everything that a run found out; the JSON file is this, encoded.
package struct Report: Codable, Sendable {
    package var machine: Machine
    package var implementations: [Implementation]
    package var results: [Measurement]

    package init(machine: Machine, implementations: [Implementation], results: [Measurement] = []) {
        self.machine = machine
        self.implementations = implementations
        self.results = results
    }

    /// The result of one case, if it was measured.
    package func result(_ language: Language, _ workload: Workload, _ mode: Mode, _ n: Int) -> Measurement? {
        results.first { $0.implementation == language && $0.workload == workload && $0.mode == mode && $0.n == n }
    }

    /// How many times faster the mode did the same work than the linear mode did.
    ///
    /// Nil if one of them is missing, and for the empty function: against no work at all there is nothing to speed up.
    package func speedUp(_ language: Language, _ workload: Workload, _ mode: Mode, _ n: Int) -> Double? {
        guard
            workload != .emptyFunc,
            let linear = result(language, workload, .linear, n),
            let other = result(language, workload, mode, n), other.best > 0
        else { return nil }
        return linear.best / other.best
    }

    package func implementation(_ language: Language) -> Implementation? {
        implementations.first { $0.name == language }
    }

    /// The workloads that were measured, in the PEP's order.
    package var workloads: [Workload] {
        Workload.allCases.filter { workload in results.contains { $0.workload == workload } }
    }

    /// The numbers of copies that a workload was measured with, ascending.
    package func counts(of workload: Workload) -> [Int] {
        Set(results.filter { $0.workload == workload }.map(\.n)).sorted()
    }
}

/// Which of the two programs did the work.
package enum Language: String, Codable, Sendable, CaseIterable, Hashable {
    case swift, cpython
}

/// One of the programs that were measured.
package struct Implementation: Codable, Sendable, Hashable {
    package var name: Language
    /// For people, such as "CPython 3.13.0".
    package var description: String
    /// How it makes processes, such as "forkserver".
    package var startMethod: String
    /// The first process ever, in seconds, measured once before the cases: it may have to bring up a fork server.
    package var firstProcess: Double

    package init(name: Language, description: String, startMethod: String, firstProcess: Double) {
        self.name = name
        self.description = description
        self.startMethod = startMethod
        self.firstProcess = firstProcess
    }

    private enum CodingKeys: String, CodingKey {
        case name, description
        case startMethod = "start_method"
        case firstProcess = "first_process_s"
    }
}

/// One case: n copies of a workload in one mode.
package struct Measurement: Codable, Sendable, Hashable {
    package var workload: Workload
    package var mode: Mode
    package var n: Int
    package var best: Double
    package var median: Double
    package var repeats: Int
    package var implementation: Language

    package init(
        workload: Workload,
        mode: Mode,
        n: Int,
        best: Double,
        median: Double,
        repeats: Int,
        implementation: Language
    ) {
        self.workload = workload
        self.mode = mode
        self.n = n
        self.best = best
        self.median = median
        self.repeats = repeats
        self.implementation = implementation
    }

    private enum CodingKeys: String, CodingKey {
        case workload, mode, n, repeats, implementation
        case best = "best_s"
        case median = "median_s"
    }
}
