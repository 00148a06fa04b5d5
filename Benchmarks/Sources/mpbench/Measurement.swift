internal import CBaselines

/// What a metric came to.
struct Measurement {
    var metric: Metric
    /// In the order of the series; ours is the first.
    var series: [(name: String, statistics: Statistics)]

    var ours: Statistics { series[0].statistics }
    var baselines: ArraySlice<(name: String, statistics: Statistics)> { series.dropFirst() }

    /// The figures that follow from the medians.
    var derived: [(name: String, value: Double)] {
        metric.derived(Dictionary(uniqueKeysWithValues: series.map { ($0.name, $0.statistics.median) }))
    }

    /// A target, the figure that it is about (nil without its baseline), and whether it is reached.
    struct Verdict {
        var target: Target
        var figure: Double?
        var isReached: Bool? { figure.map { target.isReached(by: $0) } }
    }

    /// In the order of the metric's targets.
    var verdicts: [Verdict] {
        let medians = Dictionary(uniqueKeysWithValues: baselines.map { ($0.name, $0.statistics.median) })
        return metric.targets.map {
            Verdict(target: $0, figure: $0.figure(ours: ours.median, baselines: medians))
        }
    }
}

/// How long a metric is measured.
struct Effort {
    var time: Duration
    var atMost: Int
    /// Even if that takes longer.
    var atLeast: Int

    static let full = Effort(time: .seconds(12), atMost: 2000, atLeast: 7)
    static let quick = Effort(time: .milliseconds(1500), atMost: 300, atLeast: 3)
}

extension Metric {
    /// Takes the samples in turns (A B C A B C …), so that drift of the machine's speed hits all series alike.
    func measure(_ context: Context) throws -> Measurement {
        let series = try series(context)
        let effort = context.effort
        // Not counted: the fork server starts, pages are touched for the first time.
        for one in series { _ = try sample(one) }
        var samples = [[Double]](repeating: [], count: series.count)
        let clock = ContinuousClock()
        let end = clock.now + effort.time
        var round = 0
        while round < effort.atLeast || (clock.now < end && round < effort.atMost) {
            for (index, one) in series.enumerated() where round.isMultiple(of: one.every) {
                samples[index].append(try sample(one))
            }
            round += 1
        }
        return Measurement(metric: self, series: zip(series, samples).map { ($0.name, Statistics($1)) })
    }

    private func sample(_ series: Series) throws -> Double {
        pauseFor(pause)
        return try series.sample()
    }
}

func pauseFor(_ duration: Duration) {
    let (seconds, attoseconds) = duration.components
    mpb_sleep(seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
}

/// The order statistics of a series: a median does not care for outliers, and the 99th percentile is about them.
struct Statistics {
    var median: Double
    var p99: Double
    var count: Int

    init(_ samples: [Double]) {
        let sorted = samples.sorted()
        func quantile(_ fraction: Double) -> Double {
            let position = fraction * Double(sorted.count - 1)
            let (below, above) = (Int(position), min(Int(position) + 1, sorted.count - 1))
            return sorted[below] + (sorted[above] - sorted[below]) * (position - Double(below))
        }
        median = quantile(0.5)
        p99 = quantile(0.99)
        count = sorted.count
    }
}
