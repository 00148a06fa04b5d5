internal import MultiprocessingSystem
internal import MultiprocessingWire
internal import Synchronization

/// Runs a function over a sequence, a chunk of items for a task, with so many tasks under way and no more.
///
/// Belongs to whoever takes the results out, one thread or task at a time: that one also reads the input and encodes it, so
/// nothing of the user's runs on the pool's own threads.
final class ChunkStream<Item, Value: Codable & Sendable> {
    private let pool: Pool
    private let function: Int
    private let nextItem: () -> Item?
    private let encode: ([Item]) throws(ClosureError) -> EncodedPieces
    private let settings: MapSettings
    /// How many items are left, if that is known.
    private var remaining: Int?
    private var sizer = ChunkSizer()

    private var nextChunk = 0
    private var underWay: [Int: (task: Int, count: Int, start: Int)] = [:]
    private var nextIndex = 0
    private var inputEnded = false
    private let arrivals = Mailbox<(chunk: Int, outcome: PoolCore.Outcome)>()

    init(
        _ pool: Pool,
        _ items: some Sequence<Item>,
        settings: MapSettings,
        function encoded: EncodedPieces,
        encode: @escaping ([Item]) throws(ClosureError) -> EncodedPieces
    ) {
        self.encode = encode
        var iterator = items.makeIterator()
        self.pool = pool
        nextItem = { iterator.next() }
        remaining = (items as? any Collection).map { $0.count }
        self.settings = settings
        function = pool.core.register(encoded)
    }

    deinit {
        for entry in underWay.values { pool.core.cancel(entry.task) }
        pool.core.forget(function: function)
    }

    // MARK: The input

    /// Submits chunks until enough are under way.
    func fill() throws {
        while !inputEnded, underWay.count < settings.lookAhead ?? 2 * pool.processCount + 2 {
            let size = settings.chunkSize ?? sizer.next(remaining: remaining, workers: pool.processCount)
            var items: [Item] = []
            items.reserveCapacity(min(size, 4096))
            while items.count < size {
                guard let item = nextItem() else {
                    inputEnded = true
                    break
                }
                items.append(item)
            }
            remaining = remaining.map { max(0, $0 - items.count) }
            if !items.isEmpty { try submit(items) }
        }
    }

    private func submit(_ items: [Item]) throws {
        let arguments = try travelling { () throws(ClosureError) in try encode(items) }
        let (chunk, range) = (nextChunk, nextIndex..<(nextIndex + items.count))
        let arrivals = arrivals
        let task = try pool.core.submit(
            PoolCore.Work(
                function: function,
                content: TravellingBytes(arguments),
                timeout: settings.timeout.map { $0 * items.count },
                retries: settings.retries,
                name: items.count == 1
                    ? "item \(range.lowerBound)" : "items \(range.lowerBound) to \(range.upperBound - 1)"
            ) { arrivals.put((chunk, $0)) }
        )
        underWay[chunk] = (task, items.count, range.lowerBound)
        nextChunk += 1
        nextIndex = range.upperBound
    }

    // MARK: The results

    /// Whether everything was submitted and has arrived.
    var isDone: Bool { inputEnded && underWay.isEmpty }

    /// A chunk that has arrived: its number, the index of its first item, its values, and the error that ended it.
    struct Arrival {
        var chunk: Int
        var start: Int
        var values: [Value]
        var error: (any Error)?
    }

    func decode(_ arrived: [(chunk: Int, outcome: PoolCore.Outcome)]) -> [Arrival] {
        arrived.map { chunk, outcome in
            let entry = underWay.removeValue(forKey: chunk)
            if case .value(_, let nanoseconds) = outcome, let entry {
                sizer.note(items: entry.count, nanoseconds: nanoseconds)
            }
            let start = entry?.start ?? 0
            do {
                let result: ChunkResult<Value> = try outcome.decoded()
                let error = result.error.map { bytes in
                    bytes.withUnsafeBytes {
                        ErrorCoding.decode($0, process: "a worker of \(pool.options.name)", pid: 0)
                    }
                }
                return Arrival(chunk: chunk, start: start, values: result.values, error: error)
            } catch {
                return Arrival(chunk: chunk, start: start, values: [], error: error)
            }
        }
    }

    /// Blocks the thread until chunks arrive.
    func wait() -> [Arrival] {
        decode(arrivals.wait(.never) ?? [])
    }

    /// Suspends until chunks arrive.
    func wait() async throws -> [Arrival] {
        decode(try await arrivals.wait(.never) ?? [])
    }
}

/// Functions over chunks, made of functions over items and encoded.
enum ChunkFunction {
    static func make<Item: Codable & Sendable, Value: Codable & Sendable>(
        _ transform: @escaping @Sendable (Item) throws -> Value,
        _ settings: MapSettings
    ) throws -> EncodedPieces {
        let run: @Sendable ([Item]) throws -> ChunkResult<Value> = { items in
            var values: [Value] = []
            values.reserveCapacity(items.count)
            for item in items {
                do {
                    values.append(try transform(item))
                } catch {
                    return ChunkResult(values: values, error: ErrorBox.encode(error))
                }
            }
            return ChunkResult(values: values, error: nil)
        }
        return try travelling { () throws(ClosureError) in
            try Job.encode(body: run, fileID: settings.fileID, line: settings.line)
        }
    }

    static func make<Item: Codable & Sendable, Value: Codable & Sendable>(
        _ transform: @escaping @Sendable @concurrent (Item) async throws -> Value,
        _ settings: MapSettings
    ) throws -> EncodedPieces {
        let run: @Sendable @concurrent ([Item]) async throws -> ChunkResult<Value> = { items in
            var values: [Value] = []
            values.reserveCapacity(items.count)
            for item in items {
                do {
                    values.append(try await transform(item))
                } catch {
                    return ChunkResult(values: values, error: ErrorBox.encode(error))
                }
            }
            return ChunkResult(values: values, error: nil)
        }
        return try travelling { () throws(ClosureError) in
            try Job.encode(body: run, fileID: settings.fileID, line: settings.line)
        }
    }
}
