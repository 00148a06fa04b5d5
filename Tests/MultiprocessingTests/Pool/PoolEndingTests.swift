import Glibc
import MultiprocessingTestKit
import Synchronization
import Testing

@testable import Multiprocessing

private final class EndCounter: Sendable {
    let ends = Mutex(0)
    let isOver = Atomic(false)
}

extension ProcessTests {
    /// Signals, and the end of the pool in the middle of everything.
    @Suite(.timeLimit(.minutes(2)))
    struct PoolEndingTests {
        /// The time is over, and then a second signal comes: what was not done is told all the same.
        @Test func whatWasNotDrainedIsNotForgotten() async throws {
            let pool = try Pool(processes: 1)
            let task = try pool.submit { () -> Int in sleepForever() }
            for _ in 0..<2 { pool.core.giveUpDraining() }
            #expect(pool.core.state.withLock { $0.undrained.count } == 1)
            try await check(pool: .terminated) { try await task.value }
            #expect(try await pool.join(timeout: .seconds(30)))
        }

        @Test func aSignalDrainsThePool() async throws {
            let (ours, theirs) = try Connection.pair()
            let program = try ChildProcess(startMethod: .spawn) { () -> [String] in
                let reports = OneShot<DrainReport>()
                var options = PoolOptions()
                options.drain = SignalDrain(within: .seconds(1)) { reports.set($0) }
                let pool = try Pool(processes: 2, options: options)
                let endless = try pool.submit { () -> Int in while true {} }
                let quick = try (0..<3).map { number in
                    try pool.submit { () -> Int in
                        pause(.milliseconds(100))
                        return number
                    }
                }
                try check(try await eventually { endless.state == .running })
                try await theirs.send(pool.processIdentifiers)
                let report = try await reports.wait(timeout: .seconds(30))
                for (number, task) in quick.enumerated() { try check(try await task.value, is: number) }
                try await check(pool: .terminated) { try await endless.value }
                try await check(pool: .closed) { try pool.submit { 1 } }
                try check(report?.signal, is: SIGTERM)
                return report?.unfinishedTasks ?? []
            }
            try program.start()
            let workers = try await ours.receive([Int32].self, timeout: .seconds(60))
            kill(try #require(program.processIdentifier), SIGTERM)
            let unfinished = try await program.value
            #expect(unfinished.count == 1 && unfinished.first?.hasPrefix("the task at ") == true)
            #expect(workers.count == 2 && workers.allSatisfy { kill($0, 0) != 0 })
        }

        @Test func aSecondSignalEndsTheDrain() async throws {
            let (ours, theirs) = try Connection.pair()
            let program = try ChildProcess(startMethod: .spawn) { () -> Int in
                let reports = OneShot<DrainReport>()
                var options = PoolOptions()
                options.drain = SignalDrain(on: [SIGINT], within: .seconds(600)) { reports.set($0) }
                let pool = try Pool(processes: 1, options: options)
                let endless = try pool.submit { () -> Int in while true {} }
                try await theirs.send(1)
                try check(try await eventually(within: .seconds(30)) { (try? pool.submit { 1 }) == nil })
                try await theirs.send(2)
                try await check(pool: .terminated) { try await endless.value }
                return try await reports.wait(timeout: .seconds(30))?.unfinishedTasks.count ?? 0
            }
            try program.start()
            for _ in 0..<2 {
                _ = try await ours.receive(Int.self, timeout: .seconds(60))
                kill(try #require(program.processIdentifier), SIGINT)
            }
            #expect(try await program.value >= 1)
        }

        @Test func signalsAreThePrograms() async throws {
            // Before a pool with a drain, and after it.
            let program = try ChildProcess(startMethod: .spawn) {
                var options = PoolOptions()
                options.drain = SignalDrain(on: [SIGINT, SIGUSR1])
                for _ in 0..<3 {
                    let pool = try Pool(processes: 1, options: options)
                    let other = try Pool(processes: 1, options: options)
                    try check(try await pool.apply { 1 }, is: 1)
                    other.terminate()
                    try await other.join()
                    kill(getpid(), SIGUSR1)
                    try check(try await eventually(within: .seconds(30)) { (try? pool.submit { 1 }) == nil })
                    try check(try await pool.join(timeout: .seconds(30)))
                }
                // The task that watches lets go in a moment.
                try await Task.sleep(for: .milliseconds(500))
                kill(getpid(), SIGINT)
                try await Task.sleep(for: .seconds(30))
            }
            try program.start()
            try await program.join(timeout: .seconds(60))
            #expect(program.exitStatus == .signalled(SIGINT))
        }

        @Test(arguments: [SIGINT, SIGTERM, SIGKILL])
        func aProgramThatDiesOfASignalLeavesNothing(signal: Int32) async throws {
            let (ours, theirs) = try Connection.pair()
            let program = try ChildProcess(startMethod: .spawn) {
                let pool = try Pool(processes: 3)
                for _ in 0..<10 { _ = try pool.submit { () -> Int in while true {} } }
                while pool.processIdentifiers.count < 3 { try await Task.sleep(for: .milliseconds(5)) }
                try await theirs.send(pool.processIdentifiers)
                try await Task.sleep(for: .seconds(60))
            }
            try program.start()
            let workers = try await ours.receive([Int32].self, timeout: .seconds(60))
            // As a terminal does: the whole group.
            kill(-(try #require(program.processIdentifier)), signal)
            try await program.join(timeout: .seconds(30))
            #expect(try await eventually(within: .seconds(20)) { workers.allSatisfy { kill($0, 0) != 0 } })
        }

        /// Everything at once, and every result exactly once.
        @Test(arguments: 0..<12)
        func everythingRacesWithTheEnd(round: Int) async throws {
            let pool = try Pool(processes: 1 + round % 3)
            let tally = EndCounter()
            let submitted = try await withThrowingTaskGroup(of: Int.self) { group async throws in
                for side in 0..<3 {
                    group.addTask {
                        var count = 0
                        while !tally.isOver.load(ordering: .acquiring) {
                            guard
                                let task = try? pool.submit(
                                    retries: side,
                                    { () -> Int in
                                        if side == 1 { pause(.microseconds(500)) }
                                        return side
                                    }
                                )
                            else { break }
                            task.observe { tally.ends.withLock { $0 += 1 } }
                            count += 1
                            if count % 7 == side { task.cancel() }
                            if count % 50 == 0 { await Task.yield() }
                            if count % 200 == 0 { _ = try? await task.value }
                        }
                        return count
                    }
                }
                group.addTask {
                    while !tally.isOver.load(ordering: .acquiring) {
                        if let victim = pool.processIdentifiers.randomElement() { kill(victim, SIGKILL) }
                        try? pool.resize(to: Int.random(in: 1...3))
                        try await Task.sleep(for: .milliseconds(3))
                    }
                    return 0
                }
                try await Task.sleep(for: .milliseconds(20 + round * 10))
                if round.isMultiple(of: 2) { pool.terminate() } else { pool.close(cancellingWaiting: true) }
                tally.isOver.store(true, ordering: .releasing)
                return try await group.reduce(0, +)
            }
            #expect(try await pool.join(timeout: .seconds(30)))
            #expect(pool.unresolvedCount == 0)
            // The last one is told of its end just after the pool's.
            #expect(try await eventually { tally.ends.withLock { $0 } >= submitted })
            #expect(tally.ends.withLock { $0 } == submitted)
        }

        /// Its tasks are done, and its observers told of its end, although nobody has it any more.
        @Test(arguments: [true, false], Backend.poolWorkers)
        func aPoolThatIsDropped(isClosed: Bool, backend: Backend) async throws {
            let done = try SharedAtomic(0)
            let tally = EndCounter()
            var options = backend.poolOptions
            options.observers = [
                { event in
                    switch event.kind {
                    case .workerEnded: tally.ends.withLock { $0 += 1 }
                    case .poolEnded: tally.isOver.store(true, ordering: .releasing)
                    default: break
                    }
                }
            ]
            var pool: Pool? = try Pool(processes: 2, options: options)
            for _ in 0..<20 {
                _ = try pool!.submit {
                    pause(.milliseconds(5))
                    done.wrappingAdd(1)
                }
            }
            if isClosed { pool!.close() }
            pool = nil
            #expect(try await eventually(within: .seconds(30)) { tally.isOver.load(ordering: .acquiring) })
            #expect(tally.ends.withLock { $0 } == 2)
            if isClosed { #expect(done.load() == 20) }
        }

        @Test func aPoolThatOnlyItsMapHas() async throws {
            // The map keeps the pool; its end is the map's.
            let values = try await Pool(processes: 2).map(0..<100) { $0 }
            #expect(values.count == 100)
        }

        @Test func poolsAndTasksDoNotTravel() async throws {
            for options in [PoolOptions(), Backend.threads.poolOptions] {
                try await withPool(processes: 1, options: options) { pool async throws in
                    let task = try pool.submit { 1 }
                    try await check(pool: .cannotTravel) { try await pool.map(0..<3) { $0 + pool.processCount } }
                    try await check(pool: .cannotTravel) {
                        try await pool.apply { try pool.submit { 2 }.waitForValue() }
                    }
                    try await check(pool: .cannotTravel) { try await pool.apply { try task.waitForValue() } }
                    #expect(try await task.value == 1)
                }
            }
        }
    }
}
