/// How many items go into a task, from how long items have taken so far.
///
/// A task costs some tens of microseconds on its way, whatever is in it: a million tiny items must share that. But items that
/// go together cannot be spread, and are lost together with their worker: ten long ones must not share a task. So a chunk is
/// made to last about ``target``; it grows at most fourfold from one to the next, because the first items may not be typical.
struct ChunkSizer: Sendable {
    /// What a chunk should take, in nanoseconds: some hundred times the cost of sending it.
    static let target = 5_000_000
    /// Nor more than this, however short the items are: results have to fit into memory and come in steadily.
    static let most = 65_536

    private(set) var size = 1
    private let target: Int
    private let most: Int
    /// Nanoseconds for an item: a moving average that follows within a few chunks.
    private var perItem: Double?

    init(target: Int = Self.target, most: Int = Self.most) {
        self.target = target
        self.most = most
    }

    /// For loose chunks: they take no longer than a worker that has nothing else waits for its next task.
    static var loose: ChunkSizer { ChunkSizer(target: 250_000, most: 256) }

    /// A chunk of so many items took so long.
    mutating func note(items: Int, nanoseconds: Int) {
        guard items > 0 else { return }
        let now = max(1, Double(nanoseconds) / Double(items))
        perItem = perItem.map { $0 * 0.6 + now * 0.4 } ?? now
        let wanted = Int(min(Double(most), Double(target) / perItem!))
        size = max(1, min(wanted, size * 4))
    }

    /// A chunk takes longer than was expected: whatever was measured before does not hold any more.
    mutating func begin() {
        (size, perItem) = (1, nil)
    }

    /// The size of the next chunk when `remaining` items are left, if that is known: towards the end, as many chunks as there
    /// are workers at least, so that all of them finish together.
    func next(remaining: Int?, workers: Int) -> Int {
        guard let remaining else { return size }
        return max(1, min(size, (remaining + 2 * workers - 1) / (2 * workers)))
    }
}
