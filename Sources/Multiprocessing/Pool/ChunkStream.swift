internal import MultiprocessingSystem
internal import MultiprocessingWire
internal import Synchronization

/// Runs a function over a sequence, a chunk of items for a task, with so many tasks under way and no more.
///
/// Belongs to whoever takes the results out, one thread or task at a time: that one also reads the input and encodes it, so
/// nothing of the user's runs on the pool's own threads.
final class ChunkStream<Item, Value: Codable & Sendable>: ChunkSource {
    private enum Arrival: Sendable {
        case part(Int, PoolCore.Part)
        case resolved(Int, PoolCore.Outcome)
    }

    private let pool: Pool
    private let function: Int
    private let input: ItemReader<Item>
    private let encode: ([Item]) throws(ClosureError) -> EncodedPieces
    private let settings: MapSettings
    /// How many items are left, if that is known.
    private var remaining: Int?
    /// Whether items that are to go alone may go as loose chunks while they are short: a task for each costs far more than that takes.
    private let isLoose: Bool
    private var sizer: ChunkSizer

    private var ledger: ChunkLedger<Item, Value>
    /// The pool's tasks, by chunk.
    private var tasks: [Int: Int] = [:]
    private var nextChunk = 0
    private var nextIndex = 0
    private var inputEnded = false
    private let arrivals = Mailbox<Arrival>()

    init(
        _ pool: Pool,
        _ items: some Sequence<Item>,
        settings: MapSettings,
        function encoded: EncodedPieces,
        encode: @escaping ([Item]) throws(ClosureError) -> EncodedPieces
    ) {
        self.encode = encode
        self.pool = pool
        input = ItemReader(items)
        remaining = (items as? any RandomAccessCollection)?.count ?? (items as? any CountedCollection)?.count
        self.settings = settings
        // What counts tasks, or limits their time, is to count items.
        isLoose =
            settings.chunkSize == 1 && settings.timeout == nil && settings.memoryLimit == nil
            && pool.options.tasksPerWorker == nil && pool.options.memoryPerTask == nil
            && pool.core.transport.takesLooseChunks
        sizer = isLoose ? .loose : ChunkSizer()
        ledger = ChunkLedger(settings, pool: pool.options.name)
        function = pool.core.register(encoded, baggage: settings.baggage)
        settings.progress?.enter(total: remaining)
    }

    deinit {
        settings.progress?.leave()
        for task in tasks.values { pool.core.cancel(task) }
        pool.core.forget(function: function)
    }

    // MARK: The input

    /// Submits chunks until enough are under way.
    private func fill(_ held: HeldResults) throws {
        let excess = held.excess(settings, workers: pool.processCount)
        while !inputEnded, ledger.count + excess < settings.lookAhead ?? pool.core.comfortableCount {
            let size = nextSize(held)
            if size == 0 { return }
            let items = input.next(size)
            inputEnded = items.count < size
            remaining = remaining.map { max(0, $0 - items.count) }
            guard !items.isEmpty else { continue }
            try submit(Chunk(start: nextIndex, items: items, isLoose: isLoose && items.count > 1))
            nextIndex += items.count
            settings.progress?.submitted(items.count)
        }
    }

    private func nextSize(_ held: HeldResults) -> Int {
        guard let chunkSize = settings.chunkSize else {
            return sizer.next(remaining: remaining, workers: pool.processCount)
        }
        guard isLoose else { return chunkSize }
        let size = sizer.next(remaining: remaining, workers: pool.processCount)
        // Items were to go alone, and what may be under way is counted in those.
        return settings.lookAhead.map { max(0, min(size, $0 - ledger.itemCount - held.items)) } ?? size
    }

    private func submitAgain(_ chunk: Chunk<Item>) throws { try submit(chunk, isPart: true) }

    /// - Parameter isPart: whether it is of a chunk that the pool has taken on before.
    private func submit(_ chunk: Chunk<Item>, isPart: Bool = false) throws {
        let arguments = try travelling { () throws(ClosureError) in try encode(chunk.items) }
        let (number, arrivals) = (nextChunk, arrivals)
        nextChunk += 1
        var work = PoolCore.Work(
            function: function,
            content: TravellingBytes(arguments),
            timeout: settings.timeout.map { $0 * chunk.items.count },
            retries: 0,
            name: settings.name
        ) { arrivals.put(.resolved(number, $0)) }
        work.memoryLimit = settings.memoryLimit
        work.items = chunk.range
        work.isLoose = chunk.isLoose
        work.isPart = isPart
        work.part = { arrivals.put(.part(number, $0)) }
        tasks[number] = try pool.core.submit(work)
        ledger.begin(number, chunk)
    }

    // MARK: The results

    private func settle(_ arrived: [Arrival]) -> [Settled<Item, Value>] {
        let settled = arrived.map { arrival -> Settled<Item, Value> in
            switch arrival {
            case .part(let number, let part):
                var settled = ledger.arrived(number, part)
                if settled.isSlow { sizer.begin() }
                settled.resubmit(together: sizer.size, submitAgain)
                return settled
            case .resolved(let number, let outcome):
                tasks[number] = nil
                var settled = ledger.resolved(number, outcome)
                if let (items, nanoseconds) = settled.timing { sizer.note(items: items, nanoseconds: nanoseconds) }
                settled.resubmit(together: sizer.size, submitAgain)
                return settled
            }
        }
        settings.progress?.settled(settled)
        return settled
    }

    /// What has come back since, perhaps nothing yet; nil when everything was submitted and has come back. Suspends.
    func next(holding held: HeldResults = HeldResults()) async throws -> [Settled<Item, Value>]? {
        try fill(held)
        if inputEnded, ledger.isEmpty { return nil }
        return settle(try await arrivals.wait(.never) ?? [])
    }

    /// The same, blocking the thread, for all the results in any order.
    func next() throws -> [Settled<Item, Value>]? {
        try fill(HeldResults())
        if inputEnded, ledger.isEmpty { return nil }
        return settle(arrivals.wait(.never) ?? [])
    }
}

/// Collections that know how many items they have, although these cannot be got at by their number. Others may have to look at each
/// of them, and what is lazy may have no end.
private protocol CountedCollection {
    var count: Int { get }
}

extension Set: CountedCollection {}
extension Dictionary: CountedCollection {}

/// Functions over chunks, made of functions over items and encoded.
enum ChunkFunction {
    static func make<Item: Codable & Sendable, Value: Codable & Sendable>(
        _ transform: @escaping @Sendable (Item) throws -> Value,
        _ settings: MapSettings
    ) throws -> EncodedPieces {
        let run: @Sendable ([Item]) throws -> ChunkResult<Value> = { items in
            var chunk = ChunkRun<Value>()
            return chunk.run(items, transform)
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
            var chunk = ChunkRun<Value>()
            for item in items {
                guard chunk.begin() else { break }
                do { chunk.add(try await transform(item)) } catch { return chunk.end(error) }
            }
            return chunk.end()
        }
        return try travelling { () throws(ClosureError) in
            try Job.encode(body: run, fileID: settings.fileID, line: settings.line)
        }
    }
}
