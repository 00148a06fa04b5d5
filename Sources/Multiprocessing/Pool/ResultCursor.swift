/// Where the results of a map come from: one thread or task at a time asks.
protocol ChunkSource<Value>: AnyObject {
    associatedtype Item
    associatedtype Value: Codable & Sendable

    /// What has come back since; nil when everything has. Suspends until there is something.
    ///
    /// - Parameter taken: how many items' results were taken, from the first on without a gap; what came before its turn waits for
    ///   the others, and no more is read than may wait. Nil if nothing waits for its turn.
    func next(after taken: Int?) async throws -> [Settled<Item, Value>]?
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
    private var nextIndex = 0

    init(_ source: Source, isOrdered: Bool) {
        self.source = source
        self.isOrdered = isOrdered
    }

    /// What comes next; nil after the last. Suspends until it is there.
    mutating func next() async throws -> Event? {
        while true {
            if let event = ready.popFirst() { return event }
            guard let settled = try await source.next(after: isOrdered ? nextIndex : nil) else { return nil }
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
        for event in events { early[event.range.lowerBound] = event }
        while let event = early.removeValue(forKey: nextIndex) {
            ready.append(event)
            nextIndex = event.range.upperBound
        }
    }
}
