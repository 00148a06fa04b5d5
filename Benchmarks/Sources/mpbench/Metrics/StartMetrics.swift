internal import CBaselines
internal import Multiprocessing

/// Start and join of a process with an empty synchronous body, by each method.
let startMetrics = [
    Metric(
        name: "start_join_forkserver",
        summary: "start and join of an empty body, by the fork server, each from rest",
        unit: .microseconds,
        target: .atMost(3, times: "c_fork")
    ) { context in
        [Series("ours") { try startAndJoin(.forkServer) }, cThread] + context.forkSeries() + context.pythonSeries
    },
    Metric(
        name: "start_join_in_a_row",
        summary: "start and join of 20 empty bodies one after the other, by the fork server, for each",
        unit: .microseconds,
        target: .atMost(3, times: "c_fork")
    ) { context in
        ([Series("ours") { try startAndJoin(.forkServer) }, cThread] + context.forkSeries()).map { $0.inARow(20) }
    },
    Metric(
        name: "start_join_spawn",
        summary: "start and join of an empty body, by executing this program anew",
        unit: .microseconds,
        target: .atMost(1.5, times: "spawn_self_bare")
    ) { context in
        [
            Series("ours") { try startAndJoin(.spawn) },
            Series("spawn_self_bare") { microseconds(try nanoseconds(mpb_spawn_self_wait())) },
            Series("c_spawn_true") { microseconds(try nanoseconds(mpb_spawn_wait("/bin/true"))) },
        ] + context.pythonSeries
    },
    Metric(
        name: "start_join_fork",
        summary: "start and join of an empty body, by a fork of this process",
        unit: .microseconds
    ) { context in
        [Series("ours") { try startAndJoin(.fork) }, cThread] + context.forkSeries() + context.pythonSeries
    },
]

/// From before `start()` to the first instruction of the body, with a process kept ready.
let firstInstruction = Metric(
    name: "start_first_instruction",
    summary: "from before start() to the first instruction of the body, a process being kept ready",
    unit: .microseconds,
    target: .atMost(2, times: "c_pthread"),
    // Long enough for the fork server to have replaced the process that the last sample took.
    pause: .milliseconds(5)
) { _ in
    [
        Series("ours") {
            let child = try clockChild(.forkServer)
            let begin = mpb_now()
            try child.start()
            let first = try child.waitForValue()
            return microseconds(Int64(first) - begin)
        },
        Series("c_pthread") { microseconds(try nanoseconds(mpb_thread_first_instruction())) },
    ]
}

private func startAndJoin(_ method: StartMethod) throws -> Double {
    let begin = mpb_now()
    let child = try emptyChild(method)
    try child.start()
    try child.join()
    let time = mpb_now() - begin
    guard child.exitStatus == .exited(0) else { throw BenchmarkError("an empty body ended with \(child)") }
    return microseconds(time)
}

extension Series {
    /// A sample is the average of so many, without a pause between them.
    fileprivate func inARow(_ count: Int) -> Series {
        Series(name) {
            var sum = 0.0
            for _ in 0..<count { sum += try sample() }
            return sum / Double(count)
        }
    }
}

private let cThread = Series("c_pthread") { microseconds(try nanoseconds(mpb_thread_join())) }
