internal import CBaselines
internal import CShared
internal import Multiprocessing

/// Taking a lock and giving it up: alone, and with others who want it at the same time.
let lockMetrics: [Metric] = [
    Metric(
        name: "lock_pair",
        summary: "acquire and release of a Lock that nobody else wants",
        unit: .nanoseconds,
        target: .atMost(1.5, times: "c_robust_mutex")
    ) { context in
        let lock = try Lock()
        return [
            Series("ours") {
                try perPair(alonePairs) {
                    for _ in 0..<alonePairs {
                        try lock.acquire()
                        try lock.release()
                    }
                }
            },
            Series("c_robust_mutex") {
                Double(try nanoseconds(mpb_mutex_pairs(Int32(alonePairs)))) / Double(alonePairs)
            },
        ] + python(context, "lock \(alonePairs / 10)", per: alonePairs / 10, every: 3)
    },
    Metric(
        name: "recursive_lock_pair",
        summary: "acquire and release of a RecursiveLock that nobody else wants",
        unit: .nanoseconds
    ) { context in
        let lock = try RecursiveLock()
        return [
            Series("ours") {
                try perPair(alonePairs) {
                    for _ in 0..<alonePairs {
                        try lock.acquire()
                        try lock.release()
                    }
                }
            }
        ] + python(context, "rlock \(alonePairs / 10)", per: alonePairs / 10, every: 3)
    },
    Metric(
        name: "semaphore_pair",
        summary: "acquire and release of a CountingSemaphore with a permit to spare",
        unit: .nanoseconds
    ) { _ in
        let semaphore = try CountingSemaphore(value: 2)
        return [
            Series("ours") {
                try perPair(alonePairs) {
                    for _ in 0..<alonePairs {
                        try semaphore.acquire()
                        try semaphore.release()
                    }
                }
            }
        ]
    },
    contended("lock_two_processes", processes: 2),
    contended("lock_eight_processes", processes: 8),
]

private let alonePairs = 100_000
private let contendedPairs = 50_000

private func perPair(_ count: Int, _ body: () throws -> Void) throws -> Double {
    let begin = mpb_now()
    try body()
    return Double(mpb_now() - begin) / Double(count)
}

private func contended(_ name: String, processes: Int) -> Metric {
    Metric(
        name: name,
        summary: "the same with \(processes) processes that do nothing else, \(contendedPairs) times each",
        unit: .nanoseconds,
        target: .atMost(1.5, times: "c_robust_mutex")
    ) { _ in
        [
            Series("ours") { try contendedTime(processes) },
            Series("c_robust_mutex") {
                Double(try nanoseconds(mpb_mutex_contended(Int32(contendedPairs), Int32(processes))))
                    / Double(contendedPairs * processes)
            },
        ]
    }
}

/// From the common start to the end of the last, for each pair.
private func contendedTime(_ processes: Int) throws -> Double {
    let lock = try Lock()
    let ready = try CountingSemaphore(value: 0, returnsPermits: false)
    let go = try Event()
    let children = try (0..<processes).map { _ in
        try ChildProcess { () -> Int64 in
            try ready.release()
            guard try go.wait(timeout: .seconds(10)) else { throw BenchmarkError("nobody gave the start") }
            for _ in 0..<contendedPairs {
                try lock.acquire()
                try lock.release()
            }
            return mpb_now()
        }
    }
    for child in children { try child.start() }
    for _ in children {
        guard try ready.acquire(timeout: .seconds(10)) else { throw BenchmarkError("a child did not get ready") }
    }
    let begin = mpb_now()
    go.set()
    let ends = try children.map { try $0.waitForValue() }
    return Double(ends.max()! - begin) / Double(contendedPairs * processes)
}
