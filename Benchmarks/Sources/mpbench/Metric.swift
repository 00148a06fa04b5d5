/// One thing that is measured: ours, and what it is compared with, in the same unit.
struct Metric: Sendable {
    var name: String
    /// What is measured, in a line.
    var summary: String
    var unit: Unit
    var target: Target?
    /// Further figures to be reached.
    var moreTargets: [Target] = []
    /// The pause before each sample, the same for every series: what the last sample left to be done is done by then, and
    /// all begin from the same idle state of the processors.
    var pause: Duration = .milliseconds(2)
    /// Further figures that follow from the medians of all series.
    var derived: @Sendable ([String: Double]) -> [(name: String, value: Double)] = { _ in [] }
    /// Further series are named after what they measure; the first is ours.
    var series: @Sendable (Context) throws -> [Series]

    var targets: [Target] { [target].compactMap { $0 } + moreTargets }

    static let all: [Metric] =
        startMetrics + [firstInstruction, idleMemory, spareMemory] + workloadMetrics + transferMetrics
        + [crashMetric, burstMetric] + queueMetrics + connectionMetrics + lockMetrics + sharingMetrics
        + poolMetrics + poolFailureMetrics + poolWorkMetrics
}

/// One way of doing what a metric measures.
struct Series: Sendable {
    var name: String
    /// Takes part in every round, or, if it is slow, only in some.
    var every = 1
    /// Does it once; the result is in the metric's unit.
    var sample: @Sendable () throws -> Double

    init(_ name: String, every: Int = 1, _ sample: @escaping @Sendable () throws -> Double) {
        self.name = name
        self.every = every
        self.sample = sample
    }
}

enum Unit: String, Sendable {
    case nanoseconds = "ns"
    case microseconds = "us"
    case milliseconds = "ms"
    case mebibytes = "MiB"

    func from(nanoseconds: Int64) -> Double {
        switch self {
        case .nanoseconds: Double(nanoseconds)
        case .microseconds: Double(nanoseconds) / 1e3
        case .milliseconds: Double(nanoseconds) / 1e6
        case .mebibytes: .nan
        }
    }
}

/// What is to be reached, and how a measured median is compared with it.
enum Target: Sendable {
    /// Ours is at most so many times a baseline; below 1, it is so much faster.
    case atMost(Double, times: String)
    /// Ours is at most an amount.
    case amount(atMost: Double)
    /// Ours is faster than a baseline by at least this fraction of the number of processors.
    case speedUp(atLeast: Double, over: String)

    /// The figure that the target is about; nil without its baseline.
    func figure(ours: Double, baselines: [String: Double]) -> Double? {
        switch self {
        case .atMost(_, let baseline): baselines[baseline].map { ours / $0 }
        case .amount(let amount): ours / amount
        case .speedUp(_, let baseline): baselines[baseline].map { $0 / ours / Double(Machine.processorCount) }
        }
    }

    func isReached(by figure: Double) -> Bool {
        switch self {
        case .atMost(let factor, _): figure <= factor
        case .amount: figure <= 1
        case .speedUp(let fraction, _): figure >= fraction
        }
    }

    func description(_ unit: Unit) -> String {
        switch self {
        case .atMost(let factor, let baseline): "<= \(short(factor)) x \(baseline)"
        case .amount(let amount): "<= \(short(amount)) \(unit.rawValue)"
        case .speedUp(let fraction, let baseline): ">= \(short(fraction)) x cores of \(baseline)"
        }
    }
}
