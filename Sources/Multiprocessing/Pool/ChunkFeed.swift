internal import MultiprocessingSystem
internal import MultiprocessingWire
internal import Synchronization

/// Runs a function over an asynchronous sequence, with so many chunks under way and no more.
///
/// A Swift task of its own reads the input, so that results come out while it waits for items. It and what is under way end
/// with this object.
final class ChunkFeed<Items: AsyncSequence & Sendable, Value: Codable & Sendable>: Sendable
where Items.Element: Codable & Sendable {
    enum Arrival: Sendable {
        /// A chunk is resolved.
        case chunk(Int, PoolCore.Outcome)
        /// The input ended, or failed, after so many chunks.
        case end(chunks: Int, error: (any Error)?)
    }

    private let line: Line
    private let reader: Task<Void, Never>

    init(_ pool: Pool, _ items: Items, _ settings: MapSettings, _ function: EncodedPieces) {
        let line = Line(pool, settings, function)
        self.line = line
        reader = Task { await line.read(items) }
    }

    deinit {
        reader.cancel()
        line.end()
    }

    /// Suspends until something arrives. Each chunk that is taken lets another one be read.
    func wait() async throws -> [Arrival] {
        let arrived = try await line.arrivals.wait(.never) ?? []
        line.note(arrived)
        return arrived
    }

    /// What the reader and the taker share.
    private final class Line: Sendable {
        private struct State {
            /// The pool's tasks, by chunk.
            var underWay: [Int: Int] = [:]
            var isOver = false
        }

        private let pool: Pool
        private let function: Int
        private let settings: MapSettings
        private let state = Mutex(State())
        let arrivals = Mailbox<Arrival>()
        /// How many more chunks may be read.
        private let permits = Mailbox<Int>()

        init(_ pool: Pool, _ settings: MapSettings, _ function: EncodedPieces) {
            self.pool = pool
            self.settings = settings
            self.function = pool.core.register(function)
            permits.put(settings.lookAhead ?? 2 * pool.processCount + 2)
        }

        func read(_ items: Items) async {
            var chunks = 0
            do {
                var iterator = items.makeAsyncIterator()
                var permitted = 0
                var start = 0
                while true {
                    if permitted == 0 { permitted = try await permits.wait(.never)?.reduce(0, +) ?? 0 }
                    var chunk: [Items.Element] = []
                    while chunk.count < settings.chunkSize ?? 1, let item = try await iterator.next() {
                        chunk.append(item)
                    }
                    guard !chunk.isEmpty else { break }
                    try submit(chunk, chunks, start)
                    start += chunk.count
                    chunks += 1
                    permitted -= 1
                }
                arrivals.put(.end(chunks: chunks, error: nil))
            } catch {
                arrivals.put(.end(chunks: chunks, error: error))
            }
        }

        private func submit(_ items: [Items.Element], _ chunk: Int, _ start: Int) throws {
            let arguments = try travelling { () throws(ClosureError) in try Job.encodeArguments(items) }
            let arrivals = arrivals
            let work = PoolCore.Work(
                function: function,
                content: TravellingBytes(arguments),
                timeout: settings.timeout.map { $0 * items.count },
                retries: settings.retries,
                name: items.count == 1 ? "item \(start)" : "items \(start) to \(start + items.count - 1)"
            ) { arrivals.put(.chunk(chunk, $0)) }
            // Under the lock, so that it is known before it can be taken, and nothing is submitted after the end.
            try state.withLock { state in
                if state.isOver { throw CancellationError() }
                state.underWay[chunk] = try pool.core.submit(work)
            }
        }

        func note(_ arrived: [Arrival]) {
            let taken = state.withLock { state in
                arrived.count { arrival in
                    guard case .chunk(let chunk, _) = arrival else { return false }
                    return state.underWay.removeValue(forKey: chunk) != nil
                }
            }
            if taken > 0 { permits.put(taken) }
        }

        func end() {
            let tasks = state.withLock { state in
                state.isOver = true
                defer { state.underWay = [:] }
                return Array(state.underWay.values)
            }
            for task in tasks { pool.core.cancel(task) }
            pool.core.forget(function: function)
        }
    }
}
