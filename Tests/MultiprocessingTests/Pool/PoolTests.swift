import Multiprocessing
import Testing

extension ProcessTests {
    @Suite(.timeLimit(.minutes(1)))
    struct PoolTests {
        @Test func valuesComeBack() async throws {
            try await withPool(processes: 2) { pool in
                let base = 40
                #expect(try await pool.apply { base + 2 } == 42)
                let tasks = try (0..<200).map { number in try pool.submit { number * number } }
                for (number, task) in tasks.enumerated() { #expect(try await task.value == number * number) }
            }
        }

        @Test func aCrashFailsItsTaskOnly() async throws {
            try await withPool(processes: 2) { pool in
                let tasks = try (0..<20).map { number in
                    try pool.submit { () -> Int in
                        if number == 7 { fatalError("on purpose") }
                        return number
                    }
                }
                for (number, task) in tasks.enumerated() {
                    if number == 7 {
                        let crash = await #expect(throws: ProcessCrash.self) { try await task.value }
                        #expect(crash?.message?.contains("on purpose") == true)
                    } else {
                        #expect(try await task.value == number)
                    }
                }
            }
        }

        @Test func aTaskThatTakesTooLongIsEnded() async throws {
            try await withPool(processes: 1) { pool in
                let slow = try pool.submit(timeout: .milliseconds(200)) { () -> Int in
                    while true {}
                }
                let error = await #expect(throws: PoolError.self) { try await slow.value }
                #expect(error?.code == .timedOut)
                #expect(try await pool.apply { 1 } == 1)
            }
        }

        @Test func aFailingInitializerEndsThePool() async throws {
            struct Broken: Error, Codable {}
            let pool = try Pool(processes: 2) { throw Broken() }
            let error = await #expect(throws: PoolError.self) { try await pool.apply { 1 } }
            #expect(error?.code == .workersFail)
            #expect(try await pool.join(timeout: .seconds(10)))
        }

        @Test func cancellingTheSwiftTaskEndsTheWork() async throws {
            try await withPool(processes: 1) { pool in
                let waiting = Task { try await pool.apply { () -> Int in while true {} } }
                try await Task.sleep(for: .milliseconds(200))
                waiting.cancel()
                await #expect(throws: CancellationError.self) { try await waiting.value }
                #expect(try await pool.apply { 2 } == 2)
            }
        }

        @Test func terminateResolvesEverything() async throws {
            let pool = try Pool(processes: 2)
            let tasks = try (0..<10).map { _ in try pool.submit { () -> Int in while true {} } }
            try await Task.sleep(for: .milliseconds(100))
            pool.terminate()
            #expect(try await pool.join(timeout: .seconds(10)))
            for task in tasks {
                let error = await #expect(throws: PoolError.self) { try await task.value }
                #expect(error?.code == .terminated)
            }
        }

        @Test func aPoolThatIsClosedWhileItsWorkersComeUpEnds() async throws {
            for _ in 0..<20 {
                let pool = try Pool(processes: 3)
                pool.close()
                #expect(try await pool.join(timeout: .seconds(20)))
            }
        }

        @Test func mapKeepsTheOrder() async throws {
            try await withPool(processes: 3) { pool in
                let squares = try await pool.map(0..<20_000) { $0 * $0 }
                #expect(squares == (0..<20_000).map { $0 * $0 })
                let none = try await pool.map([Int]()) { $0 }
                #expect(none.isEmpty)
            }
        }

        @Test func mapThrowsTheItemsError() async throws {
            struct Odd: Error, Codable, Equatable { var number: Int }
            try await withPool(processes: 2) { pool in
                await #expect(throws: Odd(number: 501)) {
                    try await pool.map(0..<1000, chunkSize: 10) { number in
                        if number == 501 { throw Odd(number: number) }
                        return number
                    }
                }
                let one = try await pool.apply { 1 }
                #expect(one == 1)
            }
        }

        @Test(arguments: [true, false])
        func imapIsLazy(ordered: Bool) async throws {
            try await withPool(processes: 2) { pool in
                // Without end: it must not be read ahead without limit.
                var sum = 0
                var seen: [Int] = []
                struct Endless: Sequence, Sendable {
                    func makeIterator() -> some IteratorProtocol<Int> { (0...).makeIterator() }
                }
                for try await value in try pool.imap(Endless(), ordered: ordered, { $0 * 2 }) {
                    sum += value
                    seen.append(value)
                    if seen.count == 500 { break }
                }
                if ordered { #expect(seen == (0..<500).map { $0 * 2 }) } else { #expect(Set(seen).count == 500) }
                #expect(try await pool.apply { 1 } == 1)
            }
        }

        @Test func starMapTakesTuplesApart() async throws {
            try await withPool(processes: 2) { pool in
                let sums = try await pool.starMap(zip(0..<1000, (0..<1000).map { "\($0)" })) { number, text in
                    number + (Int(text) ?? 0)
                }
                #expect(sums == (0..<1000).map { $0 * 2 })
            }
        }

        @Test func asynchronousFunctions() async throws {
            try await withPool(processes: 2) { pool in
                let values = try await pool.map(0..<100) { number in
                    try await Task.sleep(for: .microseconds(10))
                    return number + 1
                }
                #expect(values == Array(1...100))
                let two = try await pool.apply {
                    await Task.yield()
                    return 2
                }
                #expect(two == 2)
            }
        }

        @Test func threadsHaveTheSameInterface() async throws {
            var options = PoolOptions()
            options.backend = .threads
            try await withPool(processes: 2, options: options) { pool in
                let values = try await pool.map(0..<1000) { $0 + 1 }
                #expect(values == Array(1...1000))
                #expect(pool.processIdentifiers.isEmpty)
            }
        }

        @Test func aCrashNamesItsTask() async throws {
            try await withPool(processes: 1) { pool in
                let crash = await #expect(throws: ProcessCrash.self) {
                    try await pool.map(0..<10, chunkSize: 1) { number -> Int in
                        if number == 3 { fatalError("three") }
                        return number
                    }
                }
                #expect(crash?.item == 3)
                #expect(crash?.task?.hasPrefix("item 3 of map at MultiprocessingTests/PoolTests.swift:") == true)
            }
        }

        @Test(.enabled(if: CrashTests.hasBacktracer)) func aCrashIsExplained() async throws {
            try await withPool(processes: 2) { pool in
                // As it is built, it is on the thread that reads messages, or among the runtime's threads.
                let tasks = [
                    try pool.submit { trapOnOverflow(.max) },
                    try pool.submit {
                        await Task.yield()
                        return trapOnOverflow(.max)
                    },
                ]
                for task in tasks {
                    let crash = await #expect(throws: ProcessCrash.self) { try await task.value }
                    #expect(crash?.reason == .trap)
                    #expect(crash?.message == "Swift runtime failure: arithmetic overflow")
                    #expect(crash?.backtrace.contains { $0.contains("trapOnOverflow") } == true)
                }
            }
        }

        @Test func graceLetsATaskEndByItself() async throws {
            var options = PoolOptions()
            options.grace = .seconds(20)
            try await withPool(processes: 1, options: options) { pool in
                let before = try await pool.apply { ChildProcess<Void>.current.processIdentifier }
                let slow = try pool.submit(timeout: .milliseconds(100)) { () -> Int in
                    while !Task.isCancelled { try await Task.sleep(for: .seconds(30)) }
                    return 0
                }
                let error = await #expect(throws: PoolError.self) { try await slow.value }
                #expect(error?.code == .timedOut)
                // The same worker goes on.
                #expect(try await pool.apply { ChildProcess<Void>.current.processIdentifier } == before)
            }
        }
    }
}

/// Not inlined, so that it is a frame of its own.
@inline(never) private func trapOnOverflow(_ number: Int) -> Int { number + 1 }
