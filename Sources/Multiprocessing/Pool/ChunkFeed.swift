internal import MultiprocessingSystem
internal import MultiprocessingWire
internal import Synchronization

/// Runs a function over an asynchronous sequence, with so many chunks under way and no more.
///
/// A Swift task of its own reads the input, so that results come out while it waits for items. It and what is under way end
/// with this object.
final class ChunkFeed<Items: AsyncSequence & Sendable, Value: Codable & Sendable>: ChunkSource
where Items.Element: Codable & Sendable {
    private enum Arrival: Sendable {
        /// The reader has given a chunk to the pool; comes before anything else of it.
        case begun(Int, Chunk<Items.Element>)
        case part(Int, PoolCore.Part)
        case resolved(Int, PoolCore.Outcome)
        /// The input has ended, or failed; no chunk of it is begun any more.
        case end((any Error)?)
    }

    private let line: Line
    private let reader: Task<Void, Never>
    private var ledger: ChunkLedger<Items.Element, Value>
    private let progress: PoolProgress?
    private var inputEnded = false
    private var inputError: (any Error)?
    /// How many fewer chunks are under way than when more were last permitted.
    private var resolved = 0

    init(_ pool: Pool, _ items: Items, _ settings: MapSettings, _ function: EncodedPieces) {
        progress = settings.progress
        progress?.enter(total: nil)
        let line = Line(pool, settings, function)
        self.line = line
        ledger = ChunkLedger(settings, pool: pool.options.name)
        reader = Task { await line.read(items) }
    }

    deinit {
        progress?.leave()
        reader.cancel()
        line.end()
    }

    /// What has come back since, perhaps nothing yet; nil when everything has. Suspends.
    ///
    /// - Throws: the input's error, when everything before it has come back; `CancellationError`.
    func next(holding held: HeldResults) async throws -> [Settled<Items.Element, Value>]? {
        line.permit(resolved, holding: held)
        resolved = 0
        if inputEnded, ledger.isEmpty {
            if let inputError { throw inputError }
            return nil
        }
        var found: [Settled<Items.Element, Value>] = []
        for arrival in try await line.arrivals.wait(.never) ?? [] {
            switch arrival {
            case .begun(let number, let chunk):
                ledger.begin(number, chunk)
                progress?.submitted(chunk.items.count)
            case .part(let number, let part): found.append(ledger.arrived(number, part))
            case .resolved(let number, let outcome):
                var settled = ledger.resolved(number, outcome)
                settled.resubmit { chunk in
                    // It is this side's from the beginning: nothing else says that more is to come.
                    ledger.begin(try line.submit(chunk, announces: false), chunk)
                }
                line.forget(number)
                // As many more may be read as there are fewer under way now.
                resolved += 1 - settled.again.count
                found.append(settled)
            case .end(let error): (inputEnded, inputError) = (true, error)
            }
        }
        progress?.settled(found)
        return found
    }

    /// What the reader and the taker share.
    private final class Line: Sendable {
        private struct State {
            /// The pool's tasks, by chunk.
            var underWay: [Int: Int] = [:]
            var nextChunk = 0
            /// How many chunks may be read less than otherwise.
            var withheld = 0
            var isOver = false
        }

        private let pool: Pool
        private let function: Int
        private let settings: MapSettings
        private let state = Mutex(State())
        let arrivals = Mailbox<Arrival>()
        /// How many more chunks may be read, or how many too many are under way.
        private let permits = Mailbox<Int>()

        init(_ pool: Pool, _ settings: MapSettings, _ function: EncodedPieces) {
            self.pool = pool
            self.settings = settings
            self.function = pool.core.register(function, baggage: settings.baggage)
            permits.put(settings.lookAhead ?? 2 * pool.processCount + 2)
        }

        func read(_ items: Items) async {
            do {
                var iterator = items.makeAsyncIterator()
                var permitted = 0
                var start = 0
                while true {
                    while permitted <= 0 { permitted += try await permits.wait(.never)?.reduce(0, +) ?? 0 }
                    var chunk: [Items.Element] = []
                    while chunk.count < settings.chunkSize ?? 1, let item = try await iterator.next() {
                        chunk.append(item)
                    }
                    guard !chunk.isEmpty else { break }
                    try submit(Chunk(start: start, items: chunk), announces: true)
                    start += chunk.count
                    permitted -= 1
                }
                arrivals.put(.end(nil))
            } catch {
                arrivals.put(.end(error))
            }
        }

        /// Gives a chunk to the pool; its number.
        @discardableResult
        func submit(_ chunk: Chunk<Items.Element>, announces: Bool) throws -> Int {
            let arguments = try travelling { () throws(ClosureError) in try Job.encodeArguments(chunk.items) }
            let arrivals = arrivals
            // Under the lock, so that it is known before it can be taken, and nothing is submitted after the end.
            return try state.withLock { state in
                if state.isOver { throw CancellationError() }
                let number = state.nextChunk
                state.nextChunk += 1
                var work = PoolCore.Work(
                    function: function,
                    content: TravellingBytes(arguments),
                    timeout: settings.timeout.map { $0 * chunk.items.count },
                    retries: 0,
                    name: settings.name
                ) { arrivals.put(.resolved(number, $0)) }
                work.memoryLimit = settings.memoryLimit
                work.items = chunk.range
                work.isPart = !announces
                work.part = { arrivals.put(.part(number, $0)) }
                if announces { arrivals.put(.begun(number, chunk)) }
                do {
                    state.underWay[number] = try pool.core.submit(work)
                } catch {
                    arrivals.put(.resolved(number, .failure(error)))
                }
                return number
            }
        }

        func forget(_ number: Int) {
            state.withLock { $0.underWay[number] = nil }
        }

        /// Has so many more chunks read, but as many less as have come back before their turn.
        func permit(_ resolved: Int, holding held: HeldResults) {
            let excess = held.excess(settings, workers: pool.processCount)
            let more = state.withLock { state in
                defer { state.withheld = excess }
                return resolved + state.withheld - excess
            }
            if more != 0 { permits.put(more) }
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
