import Multiprocessing
import Synchronization
import Testing

/// What an observer was told, in order.
private final class Log: Sendable {
    private let kept = Mutex<[PoolEvent]>([])
    var events: [PoolEvent] { kept.withLock { $0 } }
    @Sendable func note(_ event: PoolEvent) { kept.withLock { $0.append(event) } }

    func count(_ isMeant: (PoolEvent.Kind) -> Bool) -> Int { events.count { isMeant($0.kind) } }
}

extension ProcessTests {
    @Suite(.timeLimit(.minutes(2)))
    struct PoolObserverTests {
        /// Each task is submitted, sent and ended in that order and ended once, whatever ends workers meanwhile.
        @Test func everythingAddsUp() async throws {
            let log = Log()
            var options = PoolOptions()
            options.observers = [log.note]
            options.tasksPerWorker = 5
            try await withPool(processes: 2, options: options) { pool async throws in
                let tasks = try (0..<40).map { number in
                    try pool.submit { () -> Int in
                        if number % 10 == 3 { fatalError("on purpose") }
                        if number % 10 == 4 { throw CheckFailure(text: "on purpose", place: "") }
                        return number
                    }
                }
                let slow = try pool.submit(timeout: .milliseconds(100)) { () -> Int in while true {} }
                let cancelled = try pool.submit { 1 }
                cancelled.cancel()
                for task in tasks { _ = try await task.wait() }
                _ = try await slow.wait()
            }
            var (submitted, sent, ended): (Set<Int>, Set<Int>, [Int: PoolEvent.Outcome]) = ([], [], [:])
            var workers: Set<Int> = []
            for event in log.events {
                switch event.kind {
                case .submitted(let task): #expect(submitted.insert(task.id).inserted)
                case .sent(let task, let worker):
                    #expect(submitted.contains(task.id) && ended[task.id] == nil && workers.contains(worker.id))
                    sent.insert(task.id)
                case .ended(let task, let ending):
                    #expect(submitted.contains(task.id) && ended[task.id] == nil)
                    ended[task.id] = ending.outcome
                    #expect(ending.waiting <= ending.total && ending.waiting >= .zero)
                    #expect((ending.running != nil) == (ending.outcome == .value))
                case .workerStarted(let worker, _): #expect(workers.insert(worker.id).inserted)
                case .workerEnded(let worker, _): #expect(workers.remove(worker.id) != nil)
                case .poolEnded: #expect(workers.isEmpty && event.unresolvedTasks == 0)
                default: break
                }
            }
            #expect(submitted.count == 42 && ended.count == 42)
            #expect(ended.values.count { $0 == .crash } == 4)
            #expect(ended.values.count { $0 == .error } == 4)
            #expect(ended.values.count { $0 == .timedOut } == 1)
            #expect(ended.values.count { $0 == .value } + ended.values.count { $0 == .cancelled } == 33)
            let crashes = log.events.compactMap { event -> ProcessCrash? in
                if case .workerEnded(_, let crash) = event.kind { crash } else { nil }
            }
            #expect(crashes.count == 4)
            #expect(log.count { if case .workerStarted(_, isReplacement: true) = $0 { true } else { false } } >= 4)
            if case .poolEnded? = log.events.last?.kind {} else { Issue.record("the pool's end is not the last event") }
        }

        @Test func anObserverMayUseThePool() async throws {
            let first = Mutex<Pool?>(nil)
            let further = Mutex<PoolTask<Int>?>(nil)
            var options = PoolOptions()
            options.backend = .threads
            options.observers = [
                { event in
                    guard case .ended(let task, _) = event.kind, task.id == 0 else { return }
                    let added = try? first.withLock { $0 }?.submit { 2 }
                    further.withLock { $0 = added }
                }
            ]
            let pool = try Pool(processes: 1, options: options)
            first.withLock { $0 = pool }
            #expect(try await pool.apply { 1 } == 1)
            let added = try #require(further.withLock { $0 })
            #expect(try await added.value == 2)
            first.withLock { $0 = nil }
            pool.close()
            #expect(try await pool.join(timeout: .seconds(20)))
        }
    }

    @Suite(.timeLimit(.minutes(2)))
    struct PoolProgressTests {
        @Test func aMapIsCounted() async throws {
            try await withPool(processes: 2) { pool async throws in
                let progress = PoolProgress()
                let values = try await progress.track { try await pool.map(0..<1000) { $0 + 1 } }
                #expect(values.count == 1000)
                let counts = progress.counts
                #expect(counts.total == 1000 && counts.finished == 1000 && counts.failed == 0)
                #expect(counts.underWay == 0 && counts.waiting == 0 && counts.isOver && counts.fraction == 1)
            }
        }

        @Test func failuresAreCounted() async throws {
            try await withPool(processes: 2) { pool async throws in
                let progress = PoolProgress()
                var failed = 0
                try await progress.track {
                    let results = try pool.imap(0..<50, chunkSize: 1) { number -> Int in
                        if number == 7 { fatalError("on purpose") }
                        return number
                    }
                    for try await outcome in results.outcomes {
                        if case .failure = outcome.result { failed += 1 }
                    }
                }
                #expect(failed == 1)
                #expect(progress.counts.finished == 49 && progress.counts.failed == 1 && progress.counts.isOver)
            }
        }

        @Test func aWholePoolIsCountedAndWatched() async throws {
            let progress = PoolProgress()
            var options = PoolOptions()
            options.observers = [progress.observe]
            let watched = Task {
                var all: [PoolProgress.Counts] = []
                for await counts in progress.updates(every: .milliseconds(5)) { all.append(counts) }
                return all
            }
            try await withPool(processes: 2, options: options) { pool async throws in
                let tasks = try (0..<30).map { number in
                    try pool.submit { () -> Int in
                        if number == 3 { fatalError("on purpose") }
                        return number
                    }
                }
                for task in tasks { _ = try await task.wait() }
            }
            let all = await watched.value
            let last = try #require(all.last)
            #expect(last.finished == 29 && last.failed == 1 && last.total == 30 && last.isOver)
            #expect(zip(all, all.dropFirst()).allSatisfy { $0.done <= $1.done })
        }
    }
}
