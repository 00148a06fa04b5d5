public import Logging
internal import Multiprocessing
internal import Synchronization

/// Sends what is logged in a worker to the process that has the ``LogRelay``.
///
/// A record is in shared memory when the call that logs it returns, so what was logged before a crash arrives. Where there is no room,
/// because the other side does not keep up, it is dropped and counted: nothing waits.
public struct WorkerLogHandler: LogHandler {
    /// What all copies of a handler share.
    final class Output: Sendable {
        let queue: Queue<LogRecord>
        let dropped = Atomic(0)

        init(_ queue: Queue<LogRecord>) {
            self.queue = queue
        }
    }

    private let label: String
    private let output: Output

    public var metadata: Logger.Metadata = [:]
    public var metadataProvider: Logger.MetadataProvider?
    public var logLevel: Logger.Level

    init(label: String, level: Logger.Level, output: Output) {
        self.label = label
        self.output = output
        logLevel = level
    }

    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    public func log(event: LogEvent) {
        var all = metadata
        if let provided = metadataProvider?.get() { all.merge(provided) { $1 } }
        if let own = event.metadata { all.merge(own) { $1 } }
        if let error = event.error { all["error"] = "\(error)" }
        let worker = ChildProcess<Void>.current
        let dropped = output.dropped.exchange(0, ordering: .relaxed)
        let record = LogRecord(
            label: label,
            level: event.level.rawValue,
            message: "\(event.message)",
            metadata: all.mapValues(LogRecord.Value.init),
            source: event.source,
            file: event.file,
            function: event.function,
            line: event.line,
            worker: worker.name,
            processIdentifier: worker.processIdentifier,
            dropped: dropped
        )
        do {
            try output.queue.putImmediately(record)
        } catch {
            // Full, too large, or the relay is closed: the next one that arrives says how many are missing.
            output.dropped.add(dropped + 1, ordering: .relaxed)
        }
    }
}
