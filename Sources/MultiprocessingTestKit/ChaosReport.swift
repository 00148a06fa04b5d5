/// What ``killAtEveryStep(startMethod:timeout:setup:operation:survivors:)`` went through.
public struct ChaosReport: Sendable, CustomStringConvertible {
    /// The names of the steps at which a process died (or stopped), in their order. A name may be there several times.
    public internal(set) var steps: [String] = []
    /// Why nothing was tried, if so; nil otherwise.
    public internal(set) var note: String?

    public var description: String {
        if let note { return note }
        var counts: [(name: String, count: Int)] = []
        for step in steps {
            if let known = counts.firstIndex(where: { $0.name == step }) {
                counts[known].count += 1
            } else {
                counts.append((step, 1))
            }
        }
        return "\(steps.count) steps: "
            + counts.map { $0.count == 1 ? $0.name : "\($0.name) × \($0.count)" }.joined(separator: ", ")
    }
}

/// A death that the operation or the survivors did not take as they should.
public struct ChaosError: Error, CustomStringConvertible {
    /// The index of the step; the operation ran with nothing happening to it if that is one more than the last.
    public let index: Int
    /// The step's name; nil if none was reached.
    public let step: String?
    /// What went wrong.
    public let problem: String
    /// What was thrown, if anything was.
    public let underlyingError: (any Error)?

    public var description: String {
        let place = step.map { "step \(index), \($0)" } ?? "step \(index), which was not reached"
        return "\(place): \(problem)" + (underlyingError.map { ": \($0)" } ?? "")
    }
}
