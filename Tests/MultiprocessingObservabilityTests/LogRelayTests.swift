import InMemoryLogging
import Logging
import Multiprocessing
import MultiprocessingObservability
import Testing

@Suite(.timeLimit(.minutes(2)))
struct LogRelayTests {
    private func relay(bytes: Int = 1 << 20) throws -> (LogRelay, InMemoryLogHandler) {
        let handler = InMemoryLogHandler()
        var logger = Logger(label: "parent") { _ in handler }
        logger.logLevel = .debug
        return (try LogRelay(to: logger, maximumBytes: bytes), handler)
    }

    @Test func recordsArriveWhole() async throws {
        let (relay, handler) = try relay()
        let source = relay.source
        try await withPool(processes: 1, initializer: { source.bootstrap() }) { pool async throws in
            try await pool.apply {
                var logger = Logger(label: "parser")
                logger[metadataKey: "file"] = "a.json"
                logger.warning("half a number", metadata: ["places": ["1", "2"]])
                logger.trace("too fine")
            }
        }
        await relay.finish()
        let entry = try #require(handler.entries.first)
        #expect(handler.entries.count == 1)
        #expect(entry.level == .warning && entry.message == "half a number")
        #expect(entry.metadata["file"] == "a.json" && entry.metadata["places"] == ["1", "2"])
        #expect(entry.metadata["worker"] == "Pool-1" && entry.metadata["worker.label"] == "parser")
        #expect(entry.metadata["worker.pid"] != nil)
    }

    @Test func whatWasLoggedBeforeACrashArrivesInOrder() async throws {
        let (relay, handler) = try relay()
        let source = relay.source
        try await withPool(processes: 2, initializer: { source.bootstrap() }) { pool async throws in
            let task = try pool.submit { () -> Int in
                let logger = Logger(label: "parser")
                for number in 0..<100 { logger.info("\(number)") }
                fatalError("on purpose")
            }
            await #expect(throws: ProcessCrash.self) { try await task.value }
        }
        await relay.finish()
        #expect(handler.entries.map { "\($0.message)" } == (0..<100).map { "\($0)" })
    }

    @Test func whatFindsNoRoomIsCounted() async throws {
        let (relay, handler) = try relay(bytes: 4096)
        let source = relay.source
        let sent = 20_000
        try await withPool(processes: 1, initializer: { source.bootstrap() }) { pool async throws in
            try await pool.apply {
                let logger = Logger(label: "flood")
                for number in 0..<sent { logger.info("\(number)") }
            }
            // There is room by now for the one that says what is missing.
            try await Task.sleep(for: .milliseconds(500))
            try await pool.apply { Logger(label: "flood").info("last") }
        }
        await relay.finish()
        let dropped = handler.entries.reduce(0) { $0 + (Int("\($1.metadata["worker.dropped"] ?? "0")") ?? 0) }
        #expect(handler.entries.count + dropped == sent + 1)
        #expect(handler.entries.last?.message == "last")
        let numbers = handler.entries.compactMap { Int("\($0.message)") }
        #expect(zip(numbers, numbers.dropFirst()).allSatisfy { $0 < $1 })
    }
}
