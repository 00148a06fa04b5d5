internal import CBaselines
internal import Glibc
internal import Multiprocessing

/// Shared arrays, conditions, and what waiting costs while nothing happens.
let sharingMetrics: [Metric] = [
    Metric(
        name: "array_1gib_to_child",
        summary:
            "starting a child with a shared array of 1 GiB, of which it reads the last element; beside one of 1 MiB",
        unit: .microseconds,
        target: .atMost(1.5, times: "one_mib"),
        pause: .milliseconds(10)
    ) { _ in
        let (large, small) = (try SharedArray<Int>(count: 1 << 27), try SharedArray<Int>(count: 1 << 17))
        return [
            Series("ours") { try childReadsLast(of: large) },
            Series("one_mib") { try childReadsLast(of: small) },
        ]
    },
    Metric(
        name: "array_index",
        summary: "an element of a shared array, read \(reads) times",
        unit: .nanoseconds
    ) { context in
        let array = try SharedArray<Int>(count: 10)
        return [
            Series("ours") {
                let begin = mpb_now()
                var sum = 0
                for _ in 0..<reads { sum &+= array[5] }
                guard sum == 0 else { throw BenchmarkError("the array does not hold zeros") }
                return Double(mpb_now() - begin) / Double(reads)
            }
        ] + python(context, "index \(reads / 100)", per: reads / 100, every: 3)
    },
    Metric(
        name: "condition_turns",
        summary: "two processes notify each other and wait, in turn",
        unit: .microseconds
    ) { context in
        [Series("ours") { try conditionTime() / 1000 }]
            + python(context, "condition \(turns)", per: turns, every: 3).map { series in
                Series(series.name, every: series.every) { try series.sample() / 1000 }
            }
    },
    Metric(
        name: "idle_waiters_processor_time",
        summary: "processor time that 8 children use in a second in which they wait for a queue",
        unit: .milliseconds,
        target: .amount(atMost: 1),
        pause: .milliseconds(0)
    ) { _ in [Series("ours") { try idleTime(waiters: 8) }] },
]

private let reads = 1_000_000
private let turns = 300

private func childReadsLast(of array: SharedArray<Int>) throws -> Double {
    let begin = mpb_now()
    let child = try ChildProcess { array[array.count - 1] }
    try child.start()
    guard try child.waitForValue() == 0 else { throw BenchmarkError("the array does not hold zeros") }
    return microseconds(mpb_now() - begin)
}

/// Nanoseconds for a turn of both.
private func conditionTime() throws -> Double {
    let condition = try Condition()
    let child = try ChildProcess {
        try condition.withLock {
            for _ in 0..<turns {
                try condition.notify()
                _ = try condition.wait(timeout: .seconds(10))
            }
            try condition.notify()
        }
    }
    var time: Int64 = 0
    try condition.withLock {
        try child.start()
        _ = try condition.wait(timeout: .seconds(10))
        let begin = mpb_now()
        for _ in 0..<turns {
            try condition.notify()
            guard try condition.wait(timeout: .seconds(10)) else { throw BenchmarkError("nobody notified") }
        }
        time = mpb_now() - begin
    }
    try child.waitForValue()
    return Double(time) / Double(turns)
}

private func idleTime(waiters: Int) throws -> Double {
    let queue = try Queue<Int>()
    let children = try (0..<waiters).map { _ in
        try ChildProcess { _ = try? queue.get(timeout: .seconds(60)) }
    }
    for child in children { try child.start() }
    // Until they are asleep, and have grown used to it.
    mpb_sleep(1_500_000_000)
    let pids = children.compactMap(\.processIdentifier)
    let before = try pids.map(processorTime).reduce(0, +)
    mpb_sleep(1_000_000_000)
    let after = try pids.map(processorTime).reduce(0, +)
    try queue.shutdown(immediate: true)
    for child in children { try child.waitForValue() }
    return Double(after - before) / 1e6
}

/// Nanoseconds that a process has run, all threads together.
private func processorTime(of pid: Int32) throws -> Int64 {
    // Field 1 of schedstat is exact, unlike the ticks of stat.
    guard let directory = opendir("/proc/\(pid)/task") else { throw BenchmarkError("child \(pid) is gone") }
    defer { closedir(directory) }
    var sum: Int64 = 0
    while let entry = readdir(directory) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
            String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self))
        }
        guard Int(name) != nil, let text = Machine.text("/proc/\(pid)/task/\(name)/schedstat") else { continue }
        sum += Int64(text.split(separator: " ").first ?? "0") ?? 0
    }
    return sum
}
