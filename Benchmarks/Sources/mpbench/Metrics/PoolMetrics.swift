internal import CBaselines
internal import Multiprocessing

/// What a pool of processes costs: for tiny items and large ones, to begin with and for a round trip.
let poolMetrics: [Metric] = [
    Metric(
        name: "pool_map_tiny",
        summary: "map of \(tinyItems) Ints to their successors, by as many workers as there are processors",
        unit: .milliseconds,
        target: .atMost(1.0 / 5, times: "cpython")
    ) { context in
        let pool = try benchmarkPool()
        return [
            Series("ours") { try mapTime(pool, count: tinyItems) },
            Series("serial") { serialTime() },
            Series("task_group", every: 3) { try taskGroupTime() },
        ] + poolPython(context, "map \(tinyItems)", in: .milliseconds, every: 2)
    },
    roundTrips("pool_apply_roundtrip", percent: 50, "median"),
    roundTrips("pool_apply_roundtrip_p99", percent: 99, "99th percentile"),
    Metric(
        name: "pool_imap_unordered",
        summary: "imap, unordered and one item for a task, of \(imapItems) Ints to their successors, for each",
        unit: .nanoseconds,
        target: .atMost(1.0 / 20, times: "cpython")
    ) { context in
        let pool = try benchmarkPool()
        let python = poolPython(context, "imap \(imapItems / 10)", in: .nanoseconds, every: 2).map { series in
            Series(series.name, every: series.every) { try series.sample() / Double(imapItems / 10) }
        }
        return [Series("ours") { try imapTime(pool) }] + python
    },
    Metric(
        name: "pool_64mib",
        summary: "64 MiB of bytes to a worker and back again",
        unit: .milliseconds,
        target: .atMost(4, times: "c_copy_fresh"),
        pause: .milliseconds(10)
    ) { _ in
        let pool = try benchmarkPool()
        let bytes = [UInt8](repeating: 7, count: 64 << 20)
        return [
            Series("ours") { try thereAndBackTime(pool, bytes) },
            Series("c_copy_fresh") {
                try bytes.withUnsafeBytes {
                    milliseconds(try nanoseconds(mpb_copy_twice($0.baseAddress, $0.count))) / 2
                }
            },
        ]
    },
    Metric(
        name: "pool_up",
        summary: "from before a pool of 8 is made to its first result",
        unit: .milliseconds,
        target: .atMost(1.0 / 10, times: "cpython_fork"),
        pause: .milliseconds(20)
    ) { context in
        [Series("ours") { try upTime() }]
            + [("fork", 2), ("forkserver", 6), ("spawn", 10)].flatMap { method, every in
                poolPython(context, "up \(method)", in: .milliseconds, every: every).map {
                    Series("cpython_\(method)", every: $0.every, $0.sample)
                }
            }
    },
]

private let tinyItems = 1_000_000
private let imapItems = 20_000
private let trips = 1000

/// A pool of as many workers as there are processors, which have all run something.
func benchmarkPool(processes: Int = Machine.processorCount) throws -> Pool {
    let pool = try Pool(processes: processes)
    // So long that each worker gets one.
    for task in try (0..<processes).map({ _ in try pool.submit { mpb_sleep(20_000_000) } }) {
        try task.waitForValue(timeout: .seconds(30))
    }
    return pool
}

private func poolPython(_ context: Context, _ request: String, in unit: Unit, every: Int) -> [Series] {
    guard let python = context.poolPython else { return [] }
    return [Series("cpython", every: every) { unit.from(nanoseconds: try python.measure(request)) }]
}

@discardableResult
func mapTime(_ pool: Pool, count: Int, chunkSize: Int? = nil) throws -> Double {
    let begin = mpb_now()
    let values = try pool.map(0..<count, chunkSize: chunkSize) { $0 + 1 }
    let time = mpb_now() - begin
    guard values.count == count, values.last == count else { throw BenchmarkError("a map lacks values") }
    return milliseconds(time)
}

@inline(never)
private func successor(_ number: Int) -> Int { number + 1 }

private func serialTime() -> Double {
    let begin = mpb_now()
    let values = (0..<tinyItems).map(successor)
    let time = mpb_now() - begin
    precondition(values.last == tinyItems)
    return milliseconds(time)
}

/// A child task for each item: what one would write for threads.
private func taskGroupTime() throws -> Double {
    try blocking {
        let begin = mpb_now()
        let values = await withTaskGroup(of: (Int, Int).self) { group in
            for item in 0..<tinyItems { group.addTask { (item, successor(item)) } }
            var values = [Int](repeating: 0, count: tinyItems)
            for await (item, value) in group { values[item] = value }
            return values
        }
        let time = mpb_now() - begin
        guard values.last == tinyItems else { throw BenchmarkError("a task group lost a value") }
        return milliseconds(time)
    }
}

private func roundTrips(_ name: String, percent: Int, _ statistic: String) -> Metric {
    Metric(
        name: name,
        summary: "apply of a closure with an Int in it, the \(statistic) of \(trips), one after the other",
        unit: .microseconds,
        target: .atMost(3, times: "connection")
    ) { context in
        let pool = try benchmarkPool()
        let partner = try Echo()
        return [
            Series("ours") {
                try percentile(percent) { round in
                    guard try pool.apply({ round + 1 }) == round + 1 else { throw BenchmarkError("a wrong result") }
                }
            },
            Series("async") {
                try blocking {
                    var times: [Int64] = []
                    for round in 0..<trips {
                        let begin = mpb_now()
                        _ = try await pool.apply { round + 1 }
                        times.append(mpb_now() - begin)
                    }
                    return microseconds(times.sorted()[(trips - 1) * percent / 100])
                }
            },
            Series("connection") { try percentile(percent) { try partner.roundTrip($0) } },
        ] + poolPython(context, "apply \(trips / 4) \(percent)", in: .microseconds, every: 2)
    }
}

private func percentile(_ percent: Int, of trip: (Int) throws -> Void) throws -> Double {
    var times: [Int64] = []
    times.reserveCapacity(trips)
    for round in 0..<trips {
        let begin = mpb_now()
        try trip(round)
        times.append(mpb_now() - begin)
    }
    return microseconds(times.sorted()[(trips - 1) * percent / 100])
}

private func imapTime(_ pool: Pool) throws -> Double {
    try blocking {
        let begin = mpb_now()
        var sum = 0
        for try await value in try pool.imap(0..<imapItems, ordered: false, chunkSize: 1, { $0 + 1 }) { sum += value }
        let time = mpb_now() - begin
        guard sum == imapItems * (imapItems + 1) / 2 else { throw BenchmarkError("imap lost values") }
        return Double(time) / Double(imapItems)
    }
}

private func thereAndBackTime(_ pool: Pool, _ bytes: [UInt8]) throws -> Double {
    let begin = mpb_now()
    let back = try pool.apply { bytes }
    let time = mpb_now() - begin
    guard touched(back) == bytes.count else { throw BenchmarkError("bytes are missing") }
    return milliseconds(time)
}

private func upTime() throws -> Double {
    let begin = mpb_now()
    let pool = try Pool(processes: 8)
    let result = try pool.apply { 7 }
    let time = mpb_now() - begin
    guard result == 7 else { throw BenchmarkError("a wrong result") }
    pool.terminate()
    try pool.join(timeout: .seconds(10))
    return milliseconds(time)
}

/// Has a Swift task run `body`, and blocks this thread meanwhile, which is none of the concurrency runtime's.
func blocking<Value: Sendable>(_ body: @escaping @Sendable () async throws -> Value) throws -> Value {
    let done = ThreadQueue<Result<Value, any Error>>()
    Task.detached {
        do {
            done.put(.success(try await body()))
        } catch {
            done.put(.failure(error))
        }
    }
    return try done.get().get()
}
