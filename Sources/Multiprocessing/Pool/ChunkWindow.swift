/// How far the input of a map may be read ahead: how many chunks may be under way, and, where results are taken in the order of the
/// items, how many may be ahead of whoever takes them.
///
/// These are not the same: behind an item that takes long, all others come back, and wait for their turn. Without an end to that an
/// endless input would be read without end.
struct ChunkWindow {
    /// What the user says.
    private let lookAhead: Int?
    /// How many chunks are to be under way if the user says nothing.
    var usual: Int
    /// Where the chunks end that are not passed, in their order.
    private var ends: ArraySlice<Int> = []
    /// How many chunks are behind whoever takes the results.
    private(set) var passed = 0

    /// So many times as many as are under way may wait, if the user says nothing: that an item takes long is to hold up the others
    /// late.
    private static let patience = 16

    init(_ settings: MapSettings, _ usual: Int) {
        lookAhead = settings.lookAhead
        self.usual = usual
    }

    var mostUnderWay: Int { lookAhead ?? usual }
    /// How many may be ahead, under way or back.
    var most: Int { lookAhead ?? usual * Self.patience }
    var hasRoom: Bool { ends.count < most }

    /// The next chunk of the input was begun.
    mutating func add(end: Int) {
        ends.append(end)
    }

    /// The results of so many items were taken.
    mutating func take(_ count: Int) {
        while let end = ends.first, end <= count {
            ends.removeFirst()
            passed += 1
        }
    }
}
