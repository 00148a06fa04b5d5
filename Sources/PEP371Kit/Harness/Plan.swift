/// What the user asked to be measured.
package struct Plan: Sendable {
    package var workloads: [Workload]
    package var counts: [Int]
    package var quick: Bool
    /// Exactly so many repeats, or nil for each workload's own number within a time budget.
    package var repeats: Int?

    package static let standardCounts = [1, 2, 4, 8]
    package static let quickCounts = [1, 2, 4]
    private static let mostCopies = 1_024

    /// Checks and completes what came from the command line.
    package init(
        workloads names: [String] = [],
        counts: [Int] = [],
        repeats: Int? = nil,
        quick: Bool = false
    ) throws(BenchmarkError) {
        workloads = names.isEmpty ? Workload.allCases : []
        for name in names {
            let workload = try Self.workload(named: name)
            if !workloads.contains(workload) { workloads.append(workload) }
        }
        if let wrong = counts.first(where: { !(1...Self.mostCopies).contains($0) }) {
            throw BenchmarkError(.badArgument, "--n \(wrong): must be from 1 to \(Self.mostCopies)")
        }
        if let repeats, repeats < 1 {
            throw BenchmarkError(.badArgument, "--repeats \(repeats): must be at least 1")
        }
        self.counts = counts.isEmpty ? (quick ? Self.quickCounts : Self.standardCounts) : Set(counts).sorted()
        self.repeats = repeats
        self.quick = quick
    }

    private static func workload(named name: String) throws(BenchmarkError) -> Workload {
        if let workload = Workload(rawValue: name) { return workload }
        let known = Workload.allCases.map(\.rawValue).joined(separator: ", ")
        throw BenchmarkError(.badArgument, "there is no workload '\(name)'; there are \(known)")
    }

    /// How often each case of a workload runs.
    package func repetition(of workload: Workload) -> Repetition {
        if let repeats { return Repetition(most: repeats, least: repeats, budgetSeconds: 0) }
        if quick { return Repetition(most: workload.standardRepeats, least: 1, budgetSeconds: 0.2) }
        return Repetition(most: workload.standardRepeats, least: 3, budgetSeconds: 2)
    }
}
