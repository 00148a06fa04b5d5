internal import CBaselines
internal import Glibc
internal import Multiprocessing
internal import Synchronization

/// How well a pool shares work out, and how many workers one parent can feed.
let poolWorkMetrics: [Metric] = [
    shared(
        "pool_skewed",
        "\(skewedItems) items of which 1 in 50 takes 100 times as long as the others; ideal is the same in turn, by processors",
        atLeast: 0.9,
        { pool in try pool.map(0..<skewedItems, skewedItem).reduce(0, &+) },
        items: skewedItems,
        item: skewedItem
    ),
    shared(
        "pool_primes",
        "the sum of the primes below \(primesRanges * primesInRange) by trial division, \(primesInRange) numbers for an item",
        atLeast: 0.95,
        { pool in try pool.map(0..<primesRanges, primesItem).reduce(0, &+) },
        items: primesRanges,
        item: primesItem
    ),
    shared(
        "pool_mandelbrot",
        "a picture of the Mandelbrot set of \(pictureWidth) x \(pictureHeight) points, a row for an item",
        atLeast: 0.95,
        { pool in try pool.map(0..<pictureHeight, mandelbrotItem).reduce(0, &+) },
        items: pictureHeight,
        item: mandelbrotItem
    ),
    Metric(
        name: "pool_dispatch_cost",
        summary:
            "processor time of the pool's own process for each item, encoding and decoding included; map, a task for each",
        unit: .nanoseconds,
        derived: { medians in
            // So many workers use up one processor of the parent's, at a cost for an item, when an item takes so long.
            let costs = [("alone", "ours"), ("in_chunks", "in_chunks")]
            let lengths = [("1us", 1e3), ("100us", 1e5), ("10ms", 1e7)]
            return costs.flatMap { form, series in
                lengths.compactMap { name, length in medians[series].map { ("cores_fed_\(name)_\(form)", length / $0) }
                }
            }
        }
    ) { _ in
        let pool = try benchmarkPool()
        return [
            Series("ours") { try dispatchCost(dispatchedItems) { try mapTime(pool, count: $0, chunkSize: 1) } },
            Series("submit") {
                try dispatchCost(dispatchedItems) { count in
                    let tasks = try (0..<count).map { number in try pool.submit { number + 1 } }
                    for (number, task) in tasks.enumerated() where try task.waitForValue() != number + 1 {
                        throw BenchmarkError("a wrong result")
                    }
                }
            },
            Series("in_chunks") { try dispatchCost(chunkedItems) { try mapTime(pool, count: $0) } },
        ]
    },
]

private let skewedItems = 2000
private let primesRanges = 200
private let primesInRange = 10_000
private let pictureWidth = 480
private let pictureHeight = 320
private let dispatchedItems = 10_000
private let chunkedItems = 1_000_000

// MARK: Sharing work out

/// The same items by a pool, in turn, and by threads that take one item after the other.
private func shared(
    _ name: String,
    _ summary: String,
    atLeast share: Double,
    _ inPool: @escaping @Sendable (Pool) throws -> Int,
    items: Int,
    item: @escaping @Sendable (Int) -> Int
) -> Metric {
    Metric(
        name: name,
        summary: summary,
        unit: .milliseconds,
        target: .speedUp(atLeast: share, over: "linear")
    ) { _ in
        let pool = try benchmarkPool()
        let expected = (0..<items).reduce(0) { $0 &+ item($1) }
        @Sendable func timed(_ run: () throws -> Int) throws -> Double {
            let begin = mpb_now()
            guard try run() == expected else { throw BenchmarkError("\(name): a wrong result") }
            return milliseconds(mpb_now() - begin)
        }
        return [
            Series("ours") { try timed { try inPool(pool) } },
            Series("linear") { try timed { (0..<items).reduce(0) { $0 &+ item($1) } } },
            Series("threads") { try timed { try inThreads(items, item) } },
        ]
    }
}

private func inThreads(_ items: Int, _ item: @escaping @Sendable (Int) -> Int) throws -> Int {
    final class Shared: Sendable {
        let next = Atomic(0)
        let sum = Atomic(0)
    }
    let shared = Shared()
    let joins = try (0..<Machine.processorCount).map { _ in
        try startThread {
            var sum = 0
            while true {
                let number = shared.next.wrappingAdd(1, ordering: .relaxed).oldValue
                if number >= items { break }
                sum &+= item(number)
            }
            shared.sum.wrappingAdd(sum, ordering: .relaxed)
        }
    }
    for join in joins { join() }
    return shared.sum.load(ordering: .relaxed)
}

@Sendable private func skewedItem(_ number: Int) -> Int {
    // Spread without a pattern, and exactly one in fifty: 6700417 is a prime.
    let isLong = number * 6_700_417 % skewedItems < skewedItems / 50
    return churn(isLong ? 5_000_000 / 2 : 50_000 / 2, seed: number)
}

/// So many steps, each of which needs the one before.
@inline(never)
private func churn(_ steps: Int, seed: Int) -> Int {
    var state = UInt64(truncatingIfNeeded: seed) | 1
    for _ in 0..<steps { state = (state ^ state >> 7) &* 0x9e37_79b9_7f4a_7c15 }
    return Int(truncatingIfNeeded: state)
}

@Sendable private func primesItem(_ range: Int) -> Int {
    sumOfPrimes(in: range * primesInRange..<(range + 1) * primesInRange)
}

/// How many steps the points of a row take in all.
@inline(never)
@Sendable private func mandelbrotItem(_ row: Int) -> Int {
    var sum = 0
    let y = Double(row) / Double(pictureHeight) * 2.4 - 1.2
    for column in 0..<pictureWidth {
        let x = Double(column) / Double(pictureWidth) * 3.2 - 2.2
        var (re, im, steps) = (0.0, 0.0, 0)
        while steps < 2000, re * re + im * im <= 4 {
            (re, im) = (re * re - im * im + x, 2 * re * im + y)
            steps += 1
        }
        sum += steps
    }
    return sum
}

// MARK: The parent's share

/// Nanoseconds of this process's processor time, all threads together, for each of `count` items.
private func dispatchCost(_ count: Int, _ run: (Int) throws -> Void) throws -> Double {
    let before = processorTime()
    try run(count)
    return Double(processorTime() - before) / Double(count)
}

private func processorTime() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}
