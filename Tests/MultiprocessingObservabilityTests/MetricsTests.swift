import CoreMetrics
import MetricsTestKit
import Multiprocessing
import MultiprocessingObservability
import Testing

@Suite(.timeLimit(.minutes(2)))
struct MetricsTests {
    @Test func whatAPoolDoesIsCounted() async throws {
        let backend = TestMetrics()
        var options = PoolOptions()
        let metrics = PoolMetrics(pool: "tested", factory: backend)
        options.observers = [metrics.observe]
        try await withPool(processes: 2, options: options) { pool async throws in
            let tasks = try (0..<20).map { number in
                try pool.submit { () -> Int in
                    if number == 7 { fatalError("on purpose") }
                    return number
                }
            }
            for task in tasks { _ = try await task.wait() }
        }
        let prefix = "multiprocessing.pool."
        let pool = [("pool", "tested")]
        #expect(try backend.expectCounter(prefix + "tasks.submitted", pool).totalValue == 20)
        let values = try backend.expectCounter(prefix + "tasks.ended", pool + [("outcome", "value")])
        let crashed = try backend.expectCounter(prefix + "tasks.ended", pool + [("outcome", "crash")])
        #expect(values.totalValue == 19 && crashed.totalValue == 1)
        let crashes = backend.counters(label: prefix + "workers.crashes")
        #expect(crashes.count == 1 && crashes.first?.totalValue == 1)
        #expect(crashes.first?.dimensions.contains { $0 == ("reason", "trap") } == true)
        #expect(try backend.expectCounter(prefix + "workers.restarts", pool).totalValue == 1)
        #expect(try backend.expectMeter(prefix + "tasks.unresolved", pool).lastValue == 0)
        #expect(try backend.expectMeter(prefix + "workers", pool).lastValue == 0)
        #expect(try backend.expectTimer(prefix + "task.wait", pool).values.count == 20)
        let runs = try backend.expectTimer(prefix + "task.run", pool).values
        #expect(runs.count == 19 && runs.allSatisfy { $0 >= 0 })
        #expect(try backend.expectRecorder(prefix + "task.result.size", pool).values.count == 19)
    }

    @Test func workersThatAreLostAreCounted() async throws {
        let backend = TestMetrics()
        var stream = StreamWorkers()
        stream.launcher = .none
        var options = PoolOptions()
        options.backend = .stream(stream)
        options.observers = [PoolMetrics(pool: "tested", factory: backend).observe]
        let pool = try Pool(processes: 1, options: options)
        let invitation = try #require(pool.invitation)
        let worker = try ChildProcess(arguments: invitation) { try PoolWorkerProgram.serve($0) }
        try worker.start()
        #expect(try await pool.apply { 1 } == 1)
        try worker.kill()
        try await worker.join()
        let label = "multiprocessing.pool.workers.lost"
        let end = ContinuousClock.now + .seconds(20)
        while backend.counters(label: label).isEmpty, ContinuousClock.now < end {
            try await Task.sleep(for: .milliseconds(5))
        }
        pool.terminate()
        try await pool.join(timeout: .seconds(30))
        let losses = backend.counters(label: label)
        #expect(losses.count == 1 && losses.first?.totalValue == 1)
        #expect(losses.first?.dimensions.contains { $0 == ("reason", "connection lost") } == true)
    }
}
