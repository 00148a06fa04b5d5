/// Takes the items out of a sequence, some at a time.
///
/// To ask the iterator of a sequence whose type is not known here for an item takes some tens of nanoseconds, more than many a
/// function takes. So arrays, and ranges of integers, are taken out in blocks.
struct ItemReader<Item> {
    private let take: (Int) -> [Item]

    init(_ items: some Sequence<Item>) {
        if let array = items as? [Item] {
            take = Self.blocks(0..<array.count) { Array(array[$0]) }
        } else if let range = items as? Range<Int> {
            take = Self.blocks(range) { Self.same(Array($0)) }
        } else if let range = items as? ClosedRange<Int>, range.upperBound < .max {
            take = Self.blocks(Range(range)) { Self.same(Array($0)) }
        } else {
            var iterator = items.makeIterator()
            take = { most in
                var items: [Item] = []
                items.reserveCapacity(min(most, 4096))
                while items.count < most, let item = iterator.next() { items.append(item) }
                return items
            }
        }
    }

    /// An array of integers, which is what the items are, as the compiler cannot know. `as!` would look at each of them.
    private static func same(_ array: [Int]) -> [Item] {
        precondition(Item.self == Int.self)
        return unsafeBitCast(array, to: [Item].self)
    }

    private static func blocks(_ range: Range<Int>, _ items: @escaping (Range<Int>) -> [Item]) -> (Int) -> [Item] {
        var rest = range
        return { most in
            let block = rest.prefix(most)
            rest = block.upperBound..<rest.upperBound
            return items(block)
        }
    }

    /// The next items; fewer than asked for only at the end.
    func next(_ most: Int) -> [Item] { take(most) }
}
