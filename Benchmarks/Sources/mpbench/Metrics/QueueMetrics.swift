internal import CBaselines
internal import CShared
internal import Multiprocessing

/// What one item costs on its way from one process to another.
let queueMetrics: [Metric] = [
    Metric(
        name: "queue_small",
        summary: "an Int through a queue from a child, for each of \(smallItems)",
        unit: .nanoseconds,
        target: .atMost(1.0 / 30, times: "cpython"),
        moreTargets: [.atMost(1, times: "thread_queue"), .atMost(1, times: "zeromq"), .atMost(1, times: "boost")]
    ) { context in
        [
            Series("ours") { try queueTime(of: 7, count: smallItems) },
            Series("thread_queue") { try threadQueueTime(count: smallItems) },
        ] + messageQueues(size: 8, count: smallItems)
            + python(context, "queue \(smallItems / 20) 0", per: smallItems / 20, every: 5)
    },
    Metric(
        name: "queue_two_to_two",
        summary:
            "an Int through a queue from two children to two others, for each of \(smallItems), starts and joins included",
        unit: .nanoseconds,
        target: .atMost(1.0 / 10, times: "cpython")
    ) { context in
        [Series("ours") { try manyQueueTime(count: smallItems) }]
            + python(context, "many \(smallItems / 20)", per: smallItems / 20, every: 5)
    },
    large("queue_1k", size: 1024, count: 20_000),
    large("queue_64k", size: 64 << 10, count: 1000),
    large("queue_1m", size: 1 << 20, count: 100),
]

private let smallItems = 100_000

private func large(_ name: String, size: Int, count: Int) -> Metric {
    Metric(
        name: name,
        summary: "an array of \(size) bytes through a queue from a child",
        unit: .microseconds,
        target: size >= 64 << 10 ? .atMost(2, times: "c_copy_fresh") : .atMost(1.0 / 10, times: "cpython"),
        moreTargets: (size >= 64 << 10 ? [.atMost(2, times: "c_copy")] : [])
            + [.atMost(1, times: "zeromq"), .atMost(1, times: "boost")]
    ) { context in
        let bytes = [UInt8](repeating: 7, count: size)
        let messages = messageQueues(size: size, count: count).map { series in
            Series(series.name) { try series.sample() / 1000 }
        }
        return [
            Series("ours") { try queueTime(of: bytes, count: count) / 1000 },
            Series("c_ring") { microseconds(try nanoseconds(mpb_ring_copies(size, Int32(count)))) / Double(count) },
            Series("c_copy") { microseconds(try nanoseconds(mpb_copies(size, Int32(count)))) / Double(count) },
            Series("c_copy_fresh") {
                microseconds(try bytes.withUnsafeBytes { try nanoseconds(mpb_copy_twice($0.baseAddress, $0.count)) })
                    / 2
            },
        ] + messages
            + python(context, "queue \(count / 10) \(size)", per: count / 10, every: 3).map { series in
                Series(series.name, every: series.every) { try series.sample() / 1000 }
            }
    }
}

/// Nanoseconds for an item: a child puts, this process gets. The first item is the child's start, and not counted.
private func queueTime<Item: Codable & Sendable>(of item: Item, count: Int) throws -> Double {
    let queue = try Queue<Item>()
    let child = try ChildProcess(arguments: item, count + 1) { (item: Item, count: Int) in
        for _ in 0..<count { try queue.put(item) }
    }
    try child.start()
    _ = try queue.get(timeout: .seconds(10))
    let begin = mpb_now()
    for _ in 0..<count { _ = try queue.get(timeout: .seconds(10)) }
    let time = mpb_now() - begin
    try child.waitForValue()
    return Double(time) / Double(count)
}

private func manyQueueTime(count: Int) throws -> Double {
    let queue = try Queue<Int>()
    let half = count / 2
    let begin = mpb_now()
    let producers = try (0..<2).map { _ in
        try ChildProcess { for _ in 0..<half { try queue.put(7) } }
    }
    let consumers = try (0..<2).map { _ in
        try ChildProcess { for _ in 0..<half { _ = try queue.get(timeout: .seconds(10)) } }
    }
    for child in producers + consumers { try child.start() }
    for child in producers + consumers { try child.waitForValue() }
    return Double(mpb_now() - begin) / Double(count)
}

private func threadQueueTime(count: Int) throws -> Double {
    let queue = ThreadQueue<Int>()
    let join = try startThread {
        for _ in 0...count { queue.put(7) }
    }
    _ = queue.get()
    let begin = mpb_now()
    for _ in 0..<count { _ = queue.get() }
    let time = mpb_now() - begin
    join()
    return Double(time) / Double(count)
}

/// The queues of C and C++ programs, where they are installed.
private func messageQueues(size: Int, count: Int) -> [Series] {
    [("zeromq", mpb_zeromq), ("boost", mpb_boost_queue)].compactMap { name, measure in
        guard measure(size, 1) >= 0 else { return nil }
        return Series(name, every: 2) { Double(try nanoseconds(measure(size, Int32(count)))) / Double(count) }
    }
}

/// CPython's figure for a request, in nanoseconds for each of `count`.
func python(_ context: Context, _ request: String, per count: Int, every: Int) -> [Series] {
    guard let python = context.sharedPython else { return [] }
    return [Series("cpython", every: every) { Double(try python.measure(request)) / Double(count) }]
}
