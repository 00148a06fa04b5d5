import Glibc
import Multiprocessing
import MultiprocessingTestKit
import Synchronization
import Testing

/// Neither Codable nor Sendable: it must never leave its worker.
private final class Parser {
    var count = 0
    let base: Int
    init(base: Int = 0) { self.base = base }
    func parse(_ text: String) -> Int {
        count += 1
        return base + text.utf8.count
    }
}

private struct Ledger {
    var count = 0
    var sum = 0
    mutating func add(_ number: Int) -> Int {
        count += 1
        sum += number
        return number * 2
    }
}

private struct HookFailed: Error, Codable, Equatable {
    var count: Int
}

extension ProcessTests {
    @Suite(.timeLimit(.minutes(2)))
    struct StatefulPoolTests {
        @Test(arguments: Backend.poolWorkersAnywhere) func stateWhereverTheWorkerIs(backend: Backend) async throws {
            let make: @Sendable () throws -> Parser = { Parser(base: 100) }
            try await withPool(processes: 2, options: backend.poolOptions, state: make) { pool async throws in
                let sizes = try await pool.map(["", "x", "xx"], chunkSize: 1) { parser, text in parser.parse(text) }
                #expect(sizes == [100, 101, 102])
            }
        }

        @Test(arguments: Backend.poolWorkers) func eachWorkerHasAState(backend: Backend) async throws {
            let made = try CountingSemaphore(value: 0)
            let base = 100
            let make: @Sendable () throws -> Parser = {
                try made.release()
                return Parser(base: base)
            }
            try await withPool(processes: 2, options: backend.poolOptions, state: make) { pool async throws in
                let texts = (0..<200).map { String(repeating: "x", count: $0) }
                let results = try await pool.map(texts, chunkSize: 1) { parser, text in
                    [parser.parse(text), parser.count]
                }
                #expect(results.map { $0[0] } == (100..<300).map { $0 })
                // One of the two had half of them at least, whoever was faster.
                #expect((100...200).contains(results.map { $0[1] }.max() ?? 0))
                #expect((0...200).contains(try await pool.apply { parser in parser.count }))
                // What needs no state goes beside it.
                #expect(try await pool.map(0..<10) { $0 + 1 } == Array(1...10))
                #expect(try await pool.apply { base } == 100)
            }
            var count = 0
            while try await made.acquire(timeout: .zero) { count += 1 }
            #expect(count == 2)
        }

        @Test(arguments: Backend.poolWorkersAnywhere) func everyForm(backend: Backend) async throws {
            try await withPool(processes: 1, options: backend.poolOptions, state: { Ledger() }) { pool async throws in
                let doubled = (0..<20).map { $0 * 2 }
                #expect(try await pool.map(0..<20) { ledger, number in ledger.add(number) } == doubled)
                let slow = try await pool.map(0..<20) { ledger, number in
                    await Task.yield()
                    return ledger.add(number)
                }
                #expect(slow == doubled)
                #expect(try await onThread { try pool.map(0..<20) { $0.add($1) } } == doubled)

                var seen: [Int] = []
                for try await value in try pool.imap(0..<20, { $0.add($1) }) { seen.append(value) }
                for try await value in try pool.imap(
                    0..<20,
                    ordered: false,
                    { ledger, number in
                        await Task.yield()
                        return ledger.add(number)
                    }
                ) {
                    seen.append(value)
                }
                #expect(seen.prefix(20) == doubled[...] && seen.suffix(20).sorted() == doubled)

                let numbers = AsyncStream { continuation in
                    for number in 0..<20 { continuation.yield(number) }
                    continuation.finish()
                }
                seen = []
                for try await value in try pool.imap(numbers, { $0.add($1) }) { seen.append(value) }
                #expect(seen == doubled)

                let pairs = Array(zip(0..<20, (0..<20).map { "\($0)" }))
                let added = try await pool.starMap(pairs) { (ledger: inout Ledger, number: Int, _: String) in
                    ledger.add(number)
                }
                #expect(added == doubled)
                let stars = try await pool.starMap(pairs, chunkSize: 3) {
                    (ledger: inout Ledger, number: Int, text: String) in
                    await Task.yield()
                    return ledger.add(number) + (text == "\(number)" ? 0 : 1000)
                }
                #expect(stars == doubled)
                let blocking = try await onThread {
                    try pool.starMap(pairs) { (ledger: inout Ledger, number: Int, _: String) in ledger.add(number) }
                }
                #expect(blocking == doubled)
                seen = []
                for try await value in try pool.starImap(
                    pairs,
                    { (ledger: inout Ledger, number: Int, _: String) in ledger.add(number) }
                ) {
                    seen.append(value)
                }
                #expect(seen == doubled)

                #expect(try await pool.submit { $0.add(1) }.value == 2)
                let later = try pool.submit { ledger in
                    await Task.yield()
                    return ledger.add(2)
                }
                #expect(try await later.value == 4)
                #expect(try await pool.apply { $0.add(3) } == 6)
                let last = try await pool.apply { ledger in
                    await Task.yield()
                    return ledger.add(4)
                }
                #expect(last == 8)
                #expect(try await onThread { try pool.apply { $0.add(5) } } == 10)
                let ledger = try await pool.apply { ledger in (ledger.count, ledger.sum) }
                #expect(ledger == (10 * 20 + 5, 10 * 190 + 15))
            }
        }

        @Test(arguments: Backend.poolWorkers) func itMayBeMadeAsynchronously(backend: Backend) async throws {
            actor Source {
                func parser() -> Int { 7 }
            }
            let sum = try CountingSemaphore(value: 0)
            let state: @Sendable @concurrent () async throws -> Parser = {
                Parser(base: await Source().parser())
            }
            let onExit: @Sendable @concurrent (inout Parser) async throws -> Void = { parser in
                await Task.yield()
                for _ in 0..<parser.count { try sum.release() }
            }
            try await withPool(processes: 2, options: backend.poolOptions, state: state, onExit: onExit) {
                pool async throws in
                #expect(try await pool.map(["a", "bc"]) { $0.parse($1) } == [8, 9])
            }
            for _ in 0..<2 { #expect(try await sum.acquire(timeout: .zero)) }
            #expect(try await !sum.acquire(timeout: .zero))
        }

        @Test(arguments: Backend.poolWorkers) func theExitHookRunsInWorkersThatLeave(backend: Backend) async throws {
            let results = try Queue<Int>()
            var options = backend.poolOptions
            options.tasksPerWorker = 5
            let onExit: @Sendable (inout Ledger) throws -> Void = { ledger in try results.put(ledger.count) }
            let pool = try StatefulPool(processes: 2, options: options, state: { Ledger() }, onExit: onExit)
            #expect(try await pool.map(0..<43, chunkSize: 1) { $0.add($1) }.count == 43)
            try pool.resize(to: 1)
            pool.close()
            #expect(try await pool.join(timeout: .seconds(60)))
            // After the end nothing more comes: all of it is there.
            var counts: [Int] = []
            while let count = try? await results.get(timeout: .zero) { counts.append(count) }
            #expect(counts.reduce(0, +) == 43 && counts.allSatisfy { $0 <= 5 } && counts.count >= 9, "\(counts)")
            #expect(pool.exitFailures.isEmpty)
        }

        @Test(arguments: Backend.poolWorkers) func itDoesNotRunInThoseThatAreKilled(backend: Backend) async throws {
            let left = try Event()
            let onExit: @Sendable (inout Ledger) throws -> Void = { _ in left.set() }
            let pool = try StatefulPool(processes: 2, options: backend.poolOptions, state: { Ledger() }, onExit: onExit)
            #expect(try await pool.apply { $0.add(1) } == 2)
            pool.terminate()
            #expect(try await pool.join(timeout: .seconds(30)))
            #expect(!left.isSet)
        }

        @Test func aStateIsLostWithItsWorker() async throws {
            try await withPool(processes: 1, state: { Ledger() }) { pool async throws in
                #expect(try await pool.map(0..<5) { $0.add($1) }.count == 5)
                #expect(try await pool.apply { $0.count } == 5)
                await #expect(throws: ProcessCrash.self) {
                    try await pool.apply { ledger -> Int in
                        ledger.count = 1000
                        fatalError("on purpose")
                    }
                }
                #expect(try await pool.apply { $0.count } == 0)
            }
        }

        @Test(arguments: Backend.poolWorkers) func aHookThatThrowsIsReported(backend: Backend) async throws {
            let onExit: @Sendable (inout Ledger) throws -> Void = { throw HookFailed(count: $0.count) }
            let failure = await #expect(throws: PoolExitFailure.self) {
                try await withPool(processes: 1, options: backend.poolOptions, state: { Ledger() }, onExit: onExit) {
                    try await $0.apply { ledger in ledger.add(1) }
                }
            }
            #expect(failure?.error as? HookFailed == HookFailed(count: 1))
            #expect(failure?.worker == "Pool-1")

            let pool = try StatefulPool(processes: 2, options: backend.poolOptions, state: { Ledger() }, onExit: onExit)
            #expect(try await pool.apply { $0.add(1) } == 2)
            pool.close()
            #expect(try await pool.join(timeout: .seconds(30)))
            #expect(pool.exitFailures.count == 2)
        }

        @Test(arguments: Backend.poolWorkers) func aHookHasItsTime(backend: Backend) async throws {
            var options = backend.poolOptions
            options.exitTimeout = .milliseconds(200)
            let onExit: @Sendable @concurrent (inout Ledger) async throws -> Void = { _ in
                while true { try? await Task.sleep(for: .milliseconds(20)) }
            }
            // A thread that never ends would go on in this process.
            let endingHook: @Sendable @concurrent (inout Ledger) async throws -> Void = { _ in
                try? await Task.sleep(for: .seconds(60))
            }
            let failure = await #expect(throws: PoolExitFailure.self) {
                try await withPool(
                    processes: 1,
                    options: options,
                    state: { Ledger() },
                    onExit: backend == .threads ? endingHook : onExit
                ) { try await $0.apply { ledger in ledger.add(1) } }
            }
            #expect((failure?.error as? PoolError)?.code == .timedOut)
        }

        @Test func aHookMayDie() async throws {
            let pool = try StatefulPool(processes: 1, state: { Ledger() }, onExit: { _ in fatalError("in the hook") })
            #expect(try await pool.apply { $0.add(1) } == 2)
            pool.close()
            #expect(try await pool.join(timeout: .seconds(30)))
            let crash = pool.exitFailures.first?.error as? ProcessCrash
            #expect(crash?.message?.contains("in the hook") == true, "\(pool.exitFailures)")
        }

        @Test func aHookThatStopsItsProcessHoldsUpNobody() async throws {
            var options = PoolOptions()
            options.exitTimeout = .milliseconds(100)
            let pool = try StatefulPool(
                processes: 1,
                options: options,
                state: { Ledger() },
                onExit: { _ in while true { kill(getpid(), SIGSTOP) } }
            )
            #expect(try await pool.apply { $0.add(1) } == 2)
            pool.close()
            #expect(try await pool.join(timeout: .seconds(60)))
            #expect(pool.exitFailures.first?.error is ProcessCrash)
        }

        @Test(arguments: Backend.poolWorkers) func aStateThatCannotBeMade(backend: Backend) async throws {
            let state: @Sendable () throws -> Parser = { throw HookFailed(count: 9) }
            let pool = try StatefulPool(processes: 2, options: backend.poolOptions, state: state)
            let error = await #expect(throws: PoolError.self) { try await pool.apply { $0.parse("") } }
            #expect(error?.code == .workersFail && error?.message.contains("HookFailed") == true)
            #expect(try await pool.join(timeout: .seconds(30)))
            try await check(pool: .cannotTravel) {
                let parser = Mutex(0)
                _ = try StatefulPool(processes: 1, state: { parser.withLock { $0 } })
            }
        }

        @Test(arguments: Backend.poolWorkers) func asynchronousInitializers(backend: Backend) async throws {
            let counter = try CountingSemaphore(value: 0)
            let initializer: @Sendable @concurrent () async throws -> Void = {
                await Task.yield()
                try counter.release()
            }
            try await withPool(processes: 2, options: backend.poolOptions, initializer: initializer) {
                pool async throws in
                #expect(try await pool.apply { 1 } == 1)
            }
            for _ in 0..<2 { #expect(try await counter.acquire(timeout: .zero)) }
        }

        @Test func nothingIsLeft() async throws {
            try await isolated {
                try await LeakCheck.expectNoLeaks(within: .seconds(30)) {
                    var options = PoolOptions()
                    options.tasksPerWorker = 3
                    let onExit: @Sendable (inout Parser) throws -> Void = { _ = $0.parse("x") }
                    try await withPool(processes: 3, options: options, state: { Parser() }, onExit: onExit) { pool in
                        let sizes = try await pool.map(0..<40, chunkSize: 1) { $0.parse("\($1)") }
                        try check(sizes.count, is: 40)
                    }
                }
            }
        }
    }
}
