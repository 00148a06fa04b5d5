internal import MultiprocessingSystem
internal import MultiprocessingWire

// A function over many items, all results at once. Each form exists for synchronous and asynchronous functions, and waits by
// suspending or by blocking.

extension Pool {
    /// Calls `transform` with each item, in the workers, and returns the values in the order of the items; suspends.
    ///
    /// Items travel in chunks, sized from how long items have taken so far (some milliseconds of work each). The function and
    /// what it captures are sent once to each worker. The first error, of an item or of a worker that died, ends the map: what has
    /// not begun is dropped, and the error is thrown with its type, and with the item's index if it is an ``IndexedError``. Cancelling the Swift task ends the work. The sequence is read
    /// as the work goes on, but all the results are kept.
    ///
    /// Python: `Pool.map`.
    /// - Parameters:
    ///   - chunkSize: how many items a task takes; nil is measured.
    ///   - timeout: what an item may take, on the average of its chunk; the worker is then ended. Nil is no limit.
    ///   - memoryLimit: the resident memory, in bytes, that the worker may have while it runs an item; one that has more is ended. Nil is
    ///     ``PoolOptions/memoryPerTask``.
    ///   - retries: how often an item is called again if a worker dies of it: for a function that can be called twice, because what
    ///     was in one chunk with it is called again as well.
    /// - Throws: what `transform` throws, with its type where that is `Codable`, else ``RemoteError``; ``ProcessCrash``; ``PoolError``.
    public func map<Items: Sequence, Value: Codable & Sendable>(
        _ items: Items,
        chunkSize: Int? = nil,
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ transform: @escaping @Sendable (Items.Element) throws -> Value
    ) async throws -> [Value] where Items.Element: Codable & Sendable {
        let settings = try MapSettings(chunkSize, nil, timeout, memoryLimit, retries, fileID, line)
        return try await all(of: stream(items, settings, ChunkFunction.make(transform, settings)))
    }

    /// Calls an asynchronous `transform` with each item, in the workers, one at a time in each; otherwise as for a synchronous one.
    public func map<Items: Sequence, Value: Codable & Sendable>(
        _ items: Items,
        chunkSize: Int? = nil,
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ transform: @escaping @Sendable @concurrent (Items.Element) async throws -> Value
    ) async throws -> [Value] where Items.Element: Codable & Sendable {
        let settings = try MapSettings(chunkSize, nil, timeout, memoryLimit, retries, fileID, line)
        return try await all(of: stream(items, settings, ChunkFunction.make(transform, settings)))
    }

    /// ``map(_:chunkSize:timeout:memoryLimit:retries:fileID:line:_:)`` for code that may block its thread.
    @available(*, noasync, message: "Use the async map: this one blocks the thread")
    public func map<Items: Sequence, Value: Codable & Sendable>(
        _ items: Items,
        chunkSize: Int? = nil,
        timeout: Duration? = nil,
        memoryLimit: Int? = nil,
        retries: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ transform: @escaping @Sendable (Items.Element) throws -> Value
    ) throws -> [Value] where Items.Element: Codable & Sendable {
        let settings = try MapSettings(chunkSize, nil, timeout, memoryLimit, retries, fileID, line)
        return try all(of: stream(items, settings, ChunkFunction.make(transform, settings)))
    }

    func stream<Items: Sequence, Value: Codable & Sendable>(
        _ items: Items,
        _ settings: MapSettings,
        _ function: EncodedPieces
    ) -> ChunkStream<Items.Element, Value> where Items.Element: Codable & Sendable {
        ChunkStream(self, items, settings: settings, function: function) { (items) throws(ClosureError) in
            try Job.encodeArguments(items)
        }
    }

    func all<Item, Value>(of stream: ChunkStream<Item, Value>) async throws -> [Value] {
        var results = AllResults<Value>()
        while let settled = try await stream.next() { try results.add(settled) }
        return results.inOrder
    }

    func all<Item, Value>(of stream: ChunkStream<Item, Value>) throws -> [Value] {
        var results = AllResults<Value>()
        while let settled = try stream.next() { try results.add(settled) }
        return results.inOrder
    }
}

/// How a map is to go about it.
struct MapSettings: Sendable {
    var chunkSize: Int?
    var lookAhead: Int?
    var timeout: Duration?
    /// The resident memory that a worker may have at an item.
    var memoryLimit: Int?
    var retries: Int
    var fileID: String
    var line: Int
    /// What errors and reports call it.
    var name: String
    /// Whether an item that fails leaves the others to be done.
    var goesOn: Bool
    /// Who wants to know how far it is.
    let progress = PoolProgress.current
    /// What the caller has its tasks carry, encoded.
    let baggage: [UInt8]?

    init(
        _ chunkSize: Int?,
        _ lookAhead: Int?,
        _ timeout: Duration?,
        _ memoryLimit: Int?,
        _ retries: Int,
        _ fileID: StaticString,
        _ line: UInt,
        call: String = "map",
        goesOn: Bool = false
    ) throws {
        if let chunkSize, chunkSize < 1 { throw PoolError(.invalidArgument, "A chunk cannot have \(chunkSize) items") }
        if let lookAhead, lookAhead < 1 {
            throw PoolError(.invalidArgument, "A look-ahead of \(lookAhead) leads nowhere")
        }
        self.chunkSize = chunkSize
        self.lookAhead = lookAhead
        try Pool.require(memoryLimit: memoryLimit)
        // That of a chunk is a multiple of it, which may not overflow.
        self.timeout = timeout.map { min($0, Deadline.longest) }
        self.memoryLimit = memoryLimit
        self.retries = retries
        self.fileID = "\(fileID)"
        self.line = Int(line)
        self.goesOn = goesOn
        baggage = try TaskBaggage.packed()
        name = "\(call) at \(fileID):\(line)"
    }
}

/// The values of a map, which arrive in any order.
private struct AllResults<Value: Sendable> {
    private var pieces: [(start: Int, values: [Value])] = []

    /// - Throws: the first error among what has come.
    mutating func add<Item>(_ settled: [Settled<Item, Value>]) throws {
        for one in settled {
            if let error = one.failures.first?.error { throw error }
            pieces += one.pieces
        }
    }

    /// Everything, once all of it is there.
    var inOrder: [Value] {
        var all: [Value] = []
        all.reserveCapacity(pieces.reduce(0) { $0 + $1.values.count })
        for (_, values) in pieces.sorted(by: { $0.start < $1.start }) { all += values }
        return all
    }
}
