internal import CBaselines
internal import Glibc
internal import Multiprocessing

/// From the start of a body that calls `fatalError` to the error in the parent.
let crashMetric = Metric(
    name: "crash_to_error",
    summary: "from start() of a body that traps to the ProcessCrash in the parent, by the fork server",
    unit: .milliseconds
) { _ in
    [
        Series("ours") { try crash(.forkServer) },
        Series("spawn_backtrace") { try crash(.spawn) },
        Series("spawn_no_backtrace") {
            setenv("SWIFT_BACKTRACE", "enable=no", 1)
            defer { unsetenv("SWIFT_BACKTRACE") }
            return try crash(.spawn)
        },
    ]
}

private func crash(_ method: StartMethod) throws -> Double {
    // What the child says as it dies is passed on to our standard error, and would fill the screen.
    let saved = mpb_silence_stderr()
    defer { mpb_restore_stderr(saved) }
    let begin = mpb_now()
    let child = try trappingChild(method)
    try child.start()
    do {
        _ = try child.waitForValue()
    } catch is ProcessCrash {
        return milliseconds(mpb_now() - begin)
    }
    throw BenchmarkError("a trap did not become a crash")
}

/// Many starts before the first join.
let burstMetric = Metric(
    name: "burst",
    summary: "100 starts of an empty body, then 100 joins, for each",
    unit: .microseconds,
    pause: .milliseconds(20)
) { context in
    [
        Series("ours") {
            let begin = mpb_now()
            let children = try (0..<burstSize).map { _ in
                let child = try emptyChild(.forkServer)
                try child.start()
                return child
            }
            for child in children { try child.join() }
            return microseconds(mpb_now() - begin) / Double(burstSize)
        }
    ] + context.forkSeries(burstSize)
}

private let burstSize = 100
