internal import CBaselines
internal import Glibc
internal import Multiprocessing

/// How soon a pool is over the death of a worker.
let poolFailureMetrics: [Metric] = [
    Metric(
        name: "pool_kill_to_error",
        summary: "from the SIGKILL of a worker to the error of the task that it ran",
        unit: .milliseconds,
        target: .amount(atMost: 5),
        pause: .milliseconds(20)
    ) { _ in
        let pool = try benchmarkPool(processes: 1)
        return [
            Series("ours") {
                let task = try runningTask(pool)
                let begin = try killWorker(of: pool)
                guard case .failure(is ProcessCrash)? = try result(of: task) else {
                    throw BenchmarkError("a killed worker's task did not crash")
                }
                return milliseconds(mpb_now() - begin)
            }
        ]
    },
    Metric(
        name: "pool_kill_to_replacement",
        summary: "from the SIGKILL of a worker to the first instruction of the next task in its replacement",
        unit: .milliseconds,
        target: .amount(atMost: 10),
        pause: .milliseconds(20)
    ) { _ in
        let pool = try benchmarkPool(processes: 1)
        return [
            Series("ours") {
                let task = try runningTask(pool)
                let next = try pool.submit { mpb_now() }
                let begin = try killWorker(of: pool)
                let end = try next.waitForValue(timeout: .seconds(10))
                _ = try result(of: task)
                return milliseconds(end - begin)
            }
        ]
    },
]

/// A task that has begun, and does not end by itself before long.
private func runningTask(_ pool: Pool) throws -> PoolTask<Void> {
    let task = try pool.submit { mpb_sleep(60_000_000_000) }
    while task.state == .waiting { mpb_sleep(200_000) }
    // Its worker has said that it begins; now it sleeps.
    mpb_sleep(2_000_000)
    return task
}

/// The time just before.
private func killWorker(of pool: Pool) throws -> Int64 {
    guard let pid = pool.processIdentifiers.first else { throw BenchmarkError("the pool has no worker") }
    let begin = mpb_now()
    kill(pid, SIGKILL)
    return begin
}

private func result(of task: PoolTask<Void>) throws -> Result<Void, any Error>? {
    guard task.wait(timeout: .seconds(10)) else { throw BenchmarkError("a killed worker's task did not resolve") }
    return task.result
}
