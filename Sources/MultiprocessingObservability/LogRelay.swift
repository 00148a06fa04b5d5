public import Logging
internal import Multiprocessing
internal import Synchronization

/// Brings what workers log to a logger of this process.
///
///     let relay = try LogRelay(to: Logger(label: "parsers"))
///     let source = relay.source
///     try await withPool(initializer: { source.bootstrap() }) { pool in … }
///     await relay.finish()
///
/// Records come with their level, message, metadata, source, file, function and line; `worker`, `worker.pid` and `worker.label` (the label of the
/// worker's logger) are added to the metadata. Those of one worker come in the order in which they were logged. What is logged and
/// not yet taken is bounded: a worker never waits for room, but drops, and the next record of its process that arrives has
/// `worker.dropped` with the number of those that are missing before it.
///
/// For workers of this machine: the way is shared memory, which does not travel over a socket
/// (``PoolOptions/Backend/stream(_:)`` makes the pool throw ``PoolError`` `cannotTravel`).
public final class LogRelay: Sendable {
    private let logger: Logger
    private let queue: Queue<LogRecord>
    private let level: Logger.Level
    private let reader = Mutex<Task<Void, Never>?>(nil)

    /// Begins to relay.
    ///
    /// - Parameters:
    ///   - logger: where the records go. Its level is also that of the workers, so that nothing travels in vain.
    ///   - maximumBytes: the shared memory for records under way.
    /// - Throws: ``SharedStateError`` (`invalidArgument`, `outOfResources`).
    public init(to logger: Logger, maximumBytes: Int = 1 << 20) throws {
        self.logger = logger
        level = logger.logLevel
        queue = try Queue<LogRecord>(maximumBytes: maximumBytes)
        let task = Task.detached { [queue] in await Self.relay(from: queue, to: logger) }
        reader.withLock { $0 = task }
    }

    deinit {
        try? queue.shutdown()
    }

    /// What workers log with. It travels to them: capture it in the pool's initialiser.
    public var source: Source { Source(queue: queue, level: level) }

    /// Takes what was logged until now, and nothing after it. Suspends until all of that has been given to the logger.
    public func finish() async {
        try? queue.shutdown()
        await reader.withLock { $0 }?.value
    }

    /// The end of a relay that is in a worker.
    public struct Source: Sendable, Codable {
        let queue: Queue<LogRecord>
        let level: String

        init(queue: Queue<LogRecord>, level: Logger.Level) {
            self.queue = queue
            self.level = level.rawValue
        }

        /// Has every logger of this process relay. Once in a process, like `LoggingSystem.bootstrap`, which it calls; not for
        /// ``PoolOptions/Backend/threads``, whose workers are in the process that has its own.
        public func bootstrap() {
            let make = factory
            LoggingSystem.bootstrap { make($0) }
        }

        /// A logger that relays, whatever the others of this process do.
        public func logger(label: String) -> Logger {
            let make = factory
            return Logger(label: label) { make($0) }
        }

        private var factory: @Sendable (String) -> WorkerLogHandler {
            let output = WorkerLogHandler.Output(queue)
            let level = Logger.Level(rawValue: level) ?? .info
            return { WorkerLogHandler(label: $0, level: level, output: output) }
        }
    }

    /// How many records are taken at a time.
    private static let batch = 64

    private static func relay(from queue: Queue<LogRecord>, to logger: Logger) async {
        while true {
            do {
                for record in try await queue.get(upTo: batch) { write(record, to: logger) }
            } catch let error as SharedStateError where error.code == .shutDown || error.code == .closed {
                return
            } catch is CancellationError {
                return
            } catch let error as SharedStateError {
                // It would be the same again and again: nothing that a worker leaves behind may keep this task busy for ever.
                logger.warning("The log of the workers ends here, because what is between could not be read: \(error)")
                try? queue.shutdown()
                return
            } catch {
                logger.warning("A record of a worker's log could not be read: \(error)")
            }
        }
    }

    private static func write(_ record: LogRecord, to logger: Logger) {
        var metadata = record.metadata.mapValues(\.metadata)
        metadata["worker"] = "\(record.worker)"
        metadata["worker.pid"] = "\(record.processIdentifier)"
        metadata["worker.label"] = "\(record.label)"
        if record.dropped > 0 { metadata["worker.dropped"] = "\(record.dropped)" }
        logger.log(
            level: Logger.Level(rawValue: record.level) ?? .info,
            "\(record.message)",
            metadata: metadata,
            source: record.source,
            file: record.file,
            function: record.function,
            line: record.line
        )
    }
}
