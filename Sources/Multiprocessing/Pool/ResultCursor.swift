/// Where the results of a map come from: one thread or task at a time asks.
protocol ChunkSource<Value>: AnyObject {
    associatedtype Item
    associatedtype Value: Codable & Sendable

    /// What has come back since; nil when everything has. Suspends until there is something.
    ///
    /// - Parameter held: what has come back and waits for its turn: as much less is read ahead.
    func next(holding held: HeldResults) async throws -> [Settled<Item, Value>]?
}

/// Results that came before their turn: one item that takes long must not have the whole input read behind it.
struct HeldResults {
    var chunks = 0
    var items = 0

    /// How many chunks less than otherwise may be under way.
    ///
    /// So many for each worker cost nothing, unless the user said what may be read ahead: then the others need not wait for it.
    func excess(_ settings: MapSettings, workers: Int) -> Int {
        max(0, chunks - (settings.lookAhead == nil ? 64 * workers : 0))
    }
}

/// The results of a map one after the other, in the order of the items or as they come.
struct ResultCursor<Source: ChunkSource> {
    enum Event {
        case values(start: Int, [Source.Value])
        case failure(Range<Int>, any Error)

        var range: Range<Int> {
            switch self {
            case .values(let start, let values): start..<(start + values.count)
            case .failure(let items, _): items
            }
        }
    }

    private let source: Source
    private let isOrdered: Bool
    private var ready: ArraySlice<Event> = []
    /// What came before its turn, by the index of the first item.
    private var early: [Int: Event] = [:]
    private var held = HeldResults()
    private var nextIndex = 0

    init(_ source: Source, isOrdered: Bool) {
        self.source = source
        self.isOrdered = isOrdered
    }

    /// What comes next; nil after the last. Suspends until it is there.
    mutating func next() async throws -> Event? {
        while true {
            if let event = ready.popFirst() { return event }
            guard let settled = try await source.next(holding: held) else { return nil }
            for one in settled { take(one) }
        }
    }

    private mutating func take(_ settled: Settled<Source.Item, Source.Value>) {
        let events =
            settled.pieces.map { Event.values(start: $0.start, $0.values) }
            + settled.failures.map { Event.failure($0.items, $0.error) }
        guard isOrdered else {
            ready += events
            return
        }
        for event in events {
            early[event.range.lowerBound] = event
            held.items += event.range.count
        }
        while let event = early.removeValue(forKey: nextIndex) {
            ready.append(event)
            nextIndex = event.range.upperBound
            held.items -= event.range.count
        }
        held.chunks = early.count
    }
}
