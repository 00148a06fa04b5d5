/// Several sequences, read together: tuples of an element of each, until one of them ends.
///
/// What `zip` makes of two, of any number.
public struct Zipped<each Items: Sequence>: Sequence {
    private let items: (repeat each Items)

    init(_ items: repeat each Items) {
        self.items = (repeat each items)
    }

    /// Reads the sequences together.
    public struct Iterator: IteratorProtocol {
        private let sources: (repeat Source<(each Items).Iterator>)

        init(_ items: repeat each Items) {
            sources = (repeat Source((each items).makeIterator()))
        }

        /// An element of each; nil when one of the sequences has ended.
        public mutating func next() -> (repeat (each Items).Element)? {
            try? (repeat (each sources).next())
        }
    }

    public func makeIterator() -> Iterator {
        Iterator(repeat each items)
    }
}

extension Zipped: Sendable where repeat each Items: Sendable {}

/// An iterator in a place of its own: the elements of a pack cannot be changed in place.
private final class Source<Base: IteratorProtocol> {
    private struct Ended: Error {}
    private var base: Base

    init(_ base: Base) {
        self.base = base
    }

    func next() throws -> Base.Element {
        guard let element = base.next() else { throw Ended() }
        return element
    }
}
