import Glibc
import MultiprocessingTestKit
import Synchronization
import Testing

@testable import Multiprocessing

/// How many lines this process has written.
private let written = Atomic(0)

private final class Collected: Sendable {
    private let lines = Mutex<[PoolOutputLine]>([])
    var all: [PoolOutputLine] { lines.withLock { $0 } }
    func add(_ line: PoolOutputLine) { lines.withLock { $0.append(line) } }

    func texts(_ stream: PoolOutputLine.Stream, of worker: String? = nil) -> [String] {
        all.filter { $0.stream == stream && (worker == nil || $0.worker == worker) }.map(\.text)
    }

    func options(_ backend: Backend = .forkServer) -> PoolOptions {
        var options = backend.poolOptions
        options.output = .lines { self.add($0) }
        return options
    }
}

extension ProcessTests {
    @Suite(.timeLimit(.minutes(2)))
    struct PoolOutputTests {
        @Test(arguments: Backend.poolProcesses) func linesComeInOrder(backend: Backend) async throws {
            let collected = Collected()
            try await withPool(processes: 2, options: collected.options(backend)) { pool async throws in
                let count = try await pool.map(0..<1000) { number in
                    // Chunks that were taken back may come to a worker later than those behind them.
                    let place = written.wrappingAdd(1, ordering: .relaxed).newValue
                    print("printed \(place) \(number)")
                    put("error \(place) \(number)\n", to: 2)
                    return number
                }.count
                #expect(count == 1000)
            }
            // All of it is there once the pool has ended.
            for (stream, word) in [(PoolOutputLine.Stream.standardOutput, "printed"), (.standardError, "error")] {
                let lines = ["Pool-1", "Pool-2"].map { worker in
                    collected.texts(stream, of: worker).map { $0.split(separator: " ") }
                }
                for lines in lines { #expect(lines.map { Int($0[1]) } == Array(1..<(lines.count + 1))) }
                #expect(lines.joined().allSatisfy { $0.count == 3 && $0[0] == word })
                #expect(lines.joined().compactMap { Int($0[2]) }.sorted() == Array(0..<1000))
            }
        }

        @Test func whatAKilledWorkerWroteArrives() async throws {
            let collected = Collected()
            try await withPool(processes: 1, options: collected.options()) { pool async throws in
                let crash = await #expect(throws: ProcessCrash.self) {
                    try await pool.apply {
                        for number in 0..<2000 { print("line \(number)") }
                        put("the last, without an end", to: 1)
                        put("goodbye", to: 2)
                        kill(getpid(), SIGKILL)
                    }
                }
                // The report has it as well.
                #expect(
                    crash?.standardError.contains { $0.contains("goodbye") } == true,
                    "\(String(describing: crash))"
                )
            }
            #expect(
                collected.texts(.standardOutput) == (0..<2000).map { "line \($0)" } + ["the last, without an end"]
            )
            #expect(collected.texts(.standardError).first == "goodbye")
        }

        @Test func aCrashReportIsRelayed() async throws {
            let collected = Collected()
            try await withPool(processes: 1, options: collected.options()) { pool async throws in
                let crash = await #expect(throws: ProcessCrash.self) {
                    try await pool.apply { () -> Int in fatalError("for the record") }
                }
                #expect(crash?.message?.contains("for the record") == true)
            }
            #expect(collected.texts(.standardError).contains { $0.contains("for the record") })
        }

        @Test func aSlowReaderHoldsUpTheWritersAndLosesNothing() async throws {
            let seen = Mutex((bytes: 0, lines: 0))
            var options = PoolOptions()
            options.output = .lines { line in
                seen.withLock { seen in
                    if seen.lines == 0 { pause(.milliseconds(300)) }
                    seen.bytes += line.text.utf8.count
                    seen.lines += 1
                }
            }
            try await withPool(processes: 2, options: options) { pool async throws in
                let tasks = try (0..<4).map { _ in
                    try pool.submit {
                        let line = String(repeating: "x", count: 9_999) + "\n"
                        for _ in 0..<200 { put(line, to: 1) }
                    }
                }
                for task in tasks { try await task.value }
            }
            #expect(seen.withLock { $0 } == (4 * 200 * 9_999, 800))
        }

        @Test func streamsAreTagged() async throws {
            // In a process whose own streams are looked at in turn.
            let collected = Collected()
            try await withPool(processes: 1, options: collected.options()) { pool async throws in
                let sum = try await pool.apply {
                    var options = PoolOptions()
                    options.name = "Inner"
                    options.output = .tagged
                    return try await withPool(processes: 1, options: options) { inner in
                        try await inner.apply {
                            print("out")
                            put("err\n", to: 2)
                            return 5
                        }
                    }
                }
                #expect(sum == 5)
            }
            #expect(collected.texts(.standardOutput) == ["[Inner-1 stdout] out"])
            #expect(collected.texts(.standardError) == ["[Inner-1 stderr] err"])
        }

        @Test func whatIsDiscardedIsInReportsOnly() async throws {
            let collected = Collected()
            try await withPool(processes: 1, options: collected.options()) { pool async throws in
                let tail = try await pool.apply { () -> String in
                    var options = PoolOptions()
                    options.output = .discarded
                    let inner = try Pool(processes: 1, options: options)
                    let task = try inner.submit { () -> Int in
                        print("nothing")
                        put("something\n", to: 2)
                        kill(getpid(), SIGKILL)
                        return 1
                    }
                    do { return "\(try await task.value)" } catch let crash as ProcessCrash {
                        return crash.standardError.joined()
                    }
                }
                #expect(tail.contains("something"))
            }
            #expect(collected.all.isEmpty)
        }

        // CPython: _TestPool.test_resource_warning
        @Test func aPoolThatIsDroppedWithWorkSaysSo() async throws {
            let collected = Collected()
            try await withPool(processes: 1, options: collected.options()) { pool async throws in
                let codes = try await pool.apply { () -> [PoolError.Code] in
                    var options = PoolOptions()
                    options.name = "Dropped"
                    var inner: Pool? = try Pool(processes: 1, options: options)
                    let tasks = try (0..<3).map { _ in try inner!.submit { () -> Int in while true {} } }
                    inner = nil
                    var codes: [PoolError.Code] = []
                    for task in tasks {
                        do { _ = try await task.value } catch let error as PoolError { codes.append(error.code) }
                    }
                    // One that has nothing to do, or was closed, has no need to.
                    inner = try Pool(processes: 1, options: options)
                    inner = try Pool(processes: 1, options: options)
                    let last = try inner!.submit { 5 }
                    inner!.close()
                    inner = nil
                    _ = try await last.value
                    return codes
                }
                #expect(codes == [.terminated, .terminated, .terminated])
            }
            let texts = collected.texts(.standardError)
            #expect(texts.count == 1 && texts[0].hasPrefix("Dropped was dropped with 3 tasks"), "\(texts)")
        }

        // CPython: _TestPoolWorkerLifetime.test_worker_finalization_via_atexit_handler_of_multiprocessing
        @Test(arguments: ["forkServer", "spawn"]) func aProgramThatKeepsItsPoolEnds(method: String) async throws {
            let end = try await onThread { try Scenario(["keep-pool", method]).finish() }
            #expect(end.status == 0 && !end.wasSignalled && end.output == "done\n", "\(end)")
        }

        @Test func nothingOfItIsLeft() async throws {
            try await isolated {
                try await LeakCheck.expectNoLeaks(within: .seconds(30)) {
                    let count = Atomic(0)
                    var options = PoolOptions()
                    options.tasksPerWorker = 2
                    options.output = .lines { _ in count.add(1, ordering: .relaxed) }
                    try await withPool(processes: 2, options: options) { pool in
                        let values = try await pool.map(0..<20, chunkSize: 1) { number in
                            print(number)
                            return number
                        }
                        try check(values.count, is: 20)
                    }
                    try check(count.load(ordering: .relaxed), is: 20)
                }
            }
        }

        // MARK: Lines

        @Test func linesAreTakenApart() {
            final class Lines: LineReceiver {
                let all = Mutex<[String]>([])
                var hasRoom: Bool { true }
                func take(_ line: String) { all.withLock { $0.append(line) } }
            }
            func lines(_ chunks: [[UInt8]]) -> [String] {
                let lines = Lines()
                var splitter = LineSplitter(lines)
                for chunk in chunks { splitter.take(chunk) }
                splitter.finish()
                return lines.all.withLock { $0 }
            }
            #expect(lines([Array("a\nb".utf8), Array("c\n\nd".utf8)]) == ["a", "bc", "", "d"])
            #expect(lines([Array("a\r\n".utf8)]) == ["a"])
            #expect(lines([]) == [])
            #expect(lines([[0xFF, 0x41, 0x0A]]) == ["\u{FFFD}A"])
            let long = [UInt8](repeating: 0x78, count: LineSplitter.longest)
            #expect(lines([long, Array("\n".utf8)]).map(\.utf8.count) == [LineSplitter.longest])
            #expect(
                lines([long, long, Array("y\n".utf8)]).map(\.utf8.count) == [
                    LineSplitter.longest, LineSplitter.longest, 1,
                ]
            )
            // Characters are not cut: each takes three bytes.
            let text = String(repeating: "€", count: 20_000)
            let pieces = lines([Array(text.utf8)])
            #expect(pieces.joined() == text && pieces.count == 4)
            // A byte at a time.
            #expect(lines("über\nalles".utf8.map { [$0] }) == ["über", "alles"])
        }
    }
}
