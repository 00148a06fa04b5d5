/// How often a case is run.
package struct Repetition: Codable, Sendable, Hashable {
    /// Runs at most.
    package var most: Int
    /// Runs at least, however long they take.
    package var least: Int
    /// Between the two, no further run begins after so many seconds.
    package var budgetSeconds: Double

    package init(most: Int, least: Int, budgetSeconds: Double) {
        self.most = most
        self.least = min(least, most)
        self.budgetSeconds = budgetSeconds
    }

    func wantsMore(done: Int, seconds: Double) -> Bool {
        done < least || (done < most && seconds < budgetSeconds)
    }

    private enum CodingKeys: String, CodingKey {
        case most, least
        case budgetSeconds = "budget_s"
    }
}

/// The times of one case, in seconds.
package struct Timing: Sendable, Hashable {
    package private(set) var seconds: [Double] = []

    package init(seconds: [Double] = []) {
        self.seconds = seconds
    }

    package var best: Double {
        seconds.min() ?? .nan
    }

    package var median: Double {
        let sorted = seconds.sorted()
        guard let upper = sorted.dropFirst(sorted.count / 2).first else { return .nan }
        return sorted.count.isMultiple(of: 2) ? (sorted[sorted.count / 2 - 1] + upper) / 2 : upper
    }

    /// Runs `body` as often as `repetition` asks; `willRun` hears the number of each run, outside the measured time.
    package static func measure(
        _ repetition: Repetition,
        willRun: (Int) -> Void = { _ in },
        body: () throws -> Void
    ) rethrows -> Timing {
        let clock = ContinuousClock()
        let begin = clock.now
        var timing = Timing()
        repeat {
            willRun(timing.seconds.count + 1)
            let time = try clock.measure { try body() }
            timing.seconds.append(time / .seconds(1))
        } while repetition.wantsMore(done: timing.seconds.count, seconds: (clock.now - begin) / .seconds(1))
        return timing
    }
}
