internal import MultiprocessingWire

/// Some items of a map, one after the other, that go to a worker together.
struct Chunk<Item> {
    /// The index of the first one.
    var start: Int
    var items: [Item]
    /// Whether they would have gone alone: see ``LooseChunk``.
    var isLoose = false

    var range: Range<Int> { start..<(start + items.count) }

    /// Some of it.
    func part(_ range: Range<Int>) -> Chunk {
        let items = Array(items[(range.lowerBound - start)..<(range.upperBound - start)])
        return Chunk(start: range.lowerBound, items: items, isLoose: isLoose)
    }
}

extension Chunk: Sendable where Item: Sendable {}

/// What is known when something of a chunk has come back.
struct Settled<Item, Value> {
    /// Values, by the index of the first.
    var pieces: [(start: Int, values: [Value])] = []
    /// Items that have no value, and why.
    var failures: [(items: Range<Int>, error: any Error)] = []
    /// What has to go to a worker again.
    var again: [Chunk<Item>] = []
    /// How many items took how many nanoseconds, if that was measured.
    var timing: (items: Int, nanoseconds: Int)?
    /// Whether a chunk takes longer than it was made for.
    var isSlow = false

    /// Has what has to go again submitted; what the pool does not take has failed.
    ///
    /// - Parameter most: how many items of a loose chunk go together.
    mutating func resubmit(together most: Int = .max, _ submit: (Chunk<Item>) throws -> Void) {
        for chunk in again {
            var rest = chunk.range
            while !rest.isEmpty {
                var part = chunk.isLoose ? chunk.part(rest.prefix(most)) : chunk
                part.isLoose = chunk.isLoose && part.items.count > 1
                rest = part.range.upperBound..<rest.upperBound
                do { try submit(part) } catch { failures.append((part.range, error)) }
            }
        }
    }
}

/// The chunks of a map that are under way, and what becomes of their items: which have values, which one failed, and which were
/// only in the same chunk and have to go to another worker.
///
/// When a worker dies, its pool mostly knows at which item it was: that one died, and is called again alone as long as it may.
/// The others go in chunks of their own, those before it among them whose values had not arrived. Where it is not known which item
/// did it (a chunk whose arguments cannot be decoded, say), the chunk goes in two halves, until it is one. Where items may have begun
/// that are not known, of a worker on another machine, all of them died; as long as they may be called again they go in smaller chunks,
/// so that the one that did it is left with ever fewer others.
struct ChunkLedger<Item, Value: Codable & Sendable> {
    private struct Entry {
        var chunk: Chunk<Item>
        /// How many values have arrived ahead of its end.
        var received = 0
        /// Values came that cannot be decoded.
        var defect: (any Error)?

        /// The items that have no value.
        var rest: Range<Int> { (chunk.start + received)..<chunk.range.upperBound }

        /// Throws if a chunk that is done leaves items without anything.
        func requireAll() throws {
            guard rest.isEmpty else {
                throw PoolError(.cannotTravel, "A worker sent no values for \(rest.count) items of a chunk")
            }
        }
    }

    private let settings: MapSettings
    private let worker: String
    private var underWay: [Int: Entry] = [:]
    /// How many workers died of an item.
    private var deaths: [Int: Int] = [:]

    /// - Parameter pool: the pool's name.
    init(_ settings: MapSettings, pool: String) {
        self.settings = settings
        worker = "a worker of \(pool)"
    }

    var isEmpty: Bool { underWay.isEmpty }
    var count: Int { underWay.count }
    /// How many items are under way.
    var itemCount: Int { underWay.values.reduce(0) { $0 + $1.rest.count } }

    mutating func begin(_ number: Int, _ chunk: Chunk<Item>) {
        underWay[number] = Entry(chunk: chunk)
    }

    /// Something has come ahead of a chunk's end.
    mutating func arrived(_ number: Int, _ part: PoolCore.Part) -> Settled<Item, Value> {
        var settled = Settled<Item, Value>()
        guard var entry = underWay[number] else { return settled }
        do {
            switch part {
            case .values(let content):
                let result: ChunkResult<Value>
                do {
                    result = try PoolCore.Outcome.value(content, 0).decoded()
                } catch  where entry.chunk.isLoose && !entry.rest.isEmpty {
                    // It is that of one item, the next; the others have nothing to do with it.
                    let index = entry.rest.lowerBound
                    settled.failures.append((index..<(index + 1), indexed(error, index)))
                    entry.received += 1
                    break
                }
                try take(result, &entry, &settled)
            case .singly(let place, let content):
                let values = try content.withBytes { try SinglyValues.decode($0, as: Value.self) }
                try take(ChunkResult(offset: place, values: values, error: nil), &entry, &settled)
            case .returned(let place):
                guard entry.chunk.isLoose else { break }
                let kept = entry.chunk.range.prefix(max(place, entry.received))
                settled.isSlow = true
                again(kept.upperBound..<entry.chunk.range.upperBound, entry, &settled)
                entry.chunk = entry.chunk.part(kept)
            }
        } catch {
            entry.defect = error
        }
        underWay[number] = entry
        return settled
    }

    /// A chunk is resolved.
    mutating func resolved(_ number: Int, _ outcome: PoolCore.Outcome) -> Settled<Item, Value> {
        var settled = Settled<Item, Value>()
        guard var entry = underWay.removeValue(forKey: number) else { return settled }
        switch outcome {
        case .value(_, let nanoseconds):
            do {
                if let defect = entry.defect { throw defect }
                let result: ChunkResult<Value> = try outcome.decoded()
                try take(result, &entry, &settled)
                settled.timing = (result.offset + result.values.count, nanoseconds)
                if let bytes = result.error {
                    try threw(bytes, entry, &settled)
                } else if entry.chunk.isLoose {
                    again(entry.rest, entry, &settled)
                } else {
                    try entry.requireAll()
                }
            } catch {
                lost(PoolCore.Loss(error: error, position: .noItem, isDeath: false), entry, &settled)
            }
        case .thrown:
            do {
                _ = try outcome.decoded(as: Value.self)
            } catch {
                lost(PoolCore.Loss(error: error, position: .noItem, isDeath: false), entry, &settled)
            }
        case .failure(let error):
            // Its last values may have come just before.
            if !entry.rest.isEmpty { settled.failures.append((entry.rest, error)) }
        case .lost(let loss): lost(loss, entry, &settled)
        }
        return settled
    }

    private func take(
        _ result: ChunkResult<Value>,
        _ entry: inout Entry,
        _ settled: inout Settled<Item, Value>
    ) throws {
        let count = entry.chunk.items.count
        guard result.offset >= 0, result.offset <= entry.received, result.values.count <= count - result.offset else {
            throw PoolError(
                .cannotTravel,
                "\(worker) sent \(result.values.count) values from item \(result.offset) on, of a chunk of \(count) that it had sent "
                    + "\(entry.received) of"
            )
        }
        // A chunk that was begun a second time brings again what has arrived.
        let values = result.values.dropFirst(max(0, entry.received - result.offset))
        guard !values.isEmpty else { return }
        settled.pieces.append((entry.chunk.start + entry.received, Array(values)))
        entry.received += values.count
    }

    /// The first item without a value threw; those after it were not begun.
    private func threw(_ bytes: [UInt8], _ entry: Entry, _ settled: inout Settled<Item, Value>) throws {
        guard !entry.rest.isEmpty else {
            throw PoolError(.cannotTravel, "\(worker) sent an error besides all values of a chunk")
        }
        let index = entry.rest.lowerBound
        let error = bytes.withUnsafeBytes { ErrorCoding.decode($0, process: worker, pid: 0) }
        settled.failures.append((index..<(index + 1), indexed(error, index)))
        if settings.goesOn { again((index + 1)..<entry.rest.upperBound, entry, &settled) }
    }

    private mutating func lost(_ loss: PoolCore.Loss, _ entry: Entry, _ settled: inout Settled<Item, Value>) {
        let rest = entry.rest
        guard !rest.isEmpty else { return }
        var guilty = rest
        switch loss.position {
        case .item(let place)? where place < entry.received:
            // Its value had left, and the next one had not begun: whatever the worker died of, it was none of these.
            again(rest, entry, &settled)
            return
        case .item(let place)? where rest.contains(entry.chunk.start + place):
            guilty = (entry.chunk.start + place)..<(entry.chunk.start + place + 1)
        case .before(let place)?:
            let end = entry.chunk.start + max(0, min(place, entry.chunk.items.count))
            // All that may have begun has its value: nothing is lost. Something was done, so this has an end.
            guard end > rest.lowerBound else { return again(rest, entry, &settled) }
            guilty = rest.lowerBound..<end
        case .some where rest.count > 1 && (settings.goesOn || settings.retries > 0):
            let middle = rest.lowerBound + rest.count / 2
            again(rest.lowerBound..<middle, entry, &settled)
            again(middle..<rest.upperBound, entry, &settled)
            return
        default: break
        }
        var error = loss.error
        if guilty.count == 1 { error = indexed(error, guilty.lowerBound) }
        var mayGoAgain = false
        if loss.isDeath {
            let count = guilty.reduce(0) { max($0, deaths[$1] ?? 0) } + 1
            mayGoAgain = count <= settings.retries
            if mayGoAgain { for item in guilty { deaths[item] = count } }
            if var crash = error as? ProcessCrash {
                crash.attempts = count
                error = crash
            } else if var lost = error as? WorkerLost {
                lost.attempts = count
                error = lost
            }
        }
        if mayGoAgain {
            let part = (guilty.count + Self.parts - 1) / Self.parts
            for start in stride(from: guilty.lowerBound, to: guilty.upperBound, by: part) {
                again(start..<min(start + part, guilty.upperBound), entry, &settled)
            }
        } else {
            settled.failures.append((guilty, error))
        }
        guard mayGoAgain || settings.goesOn else { return }
        again(rest.lowerBound..<guilty.lowerBound, entry, &settled)
        again(guilty.upperBound..<rest.upperBound, entry, &settled)
    }

    /// Into how many chunks items go of which one may have ended a worker.
    private static var parts: Int { 16 }

    private func again(_ range: Range<Int>, _ entry: Entry, _ settled: inout Settled<Item, Value>) {
        if !range.isEmpty { settled.again.append(entry.chunk.part(range)) }
    }
}
