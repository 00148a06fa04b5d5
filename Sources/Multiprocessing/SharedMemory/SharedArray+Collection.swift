// Inlinable, because an element is often one byte: the call would cost more than the access.

extension SharedArray: MutableCollection, RandomAccessCollection {
    /// Always 0.
    @inlinable public var startIndex: Int { 0 }
    /// ``count``.
    @inlinable public var endIndex: Int { count }

    /// An element, in place. Traps outside the bounds.
    @inlinable public subscript(position: Int) -> Element {
        get {
            precondition(position >= 0 && position < count, "Index out of range")
            return elements[position]
        }
        set {
            precondition(position >= 0 && position < count, "Index out of range")
            elements[position] = newValue
        }
    }

    /// Calls `body` with the elements, in place. No copy.
    @inlinable
    public func withSpan<Result, Failure: Error>(
        _ body: (Span<Element>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        defer { withExtendedLifetime(self) {} }
        return try body(UnsafeBufferPointer(start: elements, count: count).span)
    }

    /// Calls `body` with the elements, in place, to be changed. No copy.
    @inlinable
    public func withMutableSpan<Result, Failure: Error>(
        _ body: (inout MutableSpan<Element>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        defer { withExtendedLifetime(self) {} }
        let buffer = UnsafeMutableBufferPointer(start: elements, count: count)
        var span = buffer.mutableSpan
        return try body(&span)
    }

    /// What algorithms of the standard library use to read quickly.
    @inlinable
    public func withContiguousStorageIfAvailable<Result>(
        _ body: (UnsafeBufferPointer<Element>) throws -> Result
    ) rethrows -> Result? {
        defer { withExtendedLifetime(self) {} }
        return try body(UnsafeBufferPointer(start: elements, count: count))
    }

    /// What algorithms of the standard library use to write quickly.
    @inlinable
    public func withContiguousMutableStorageIfAvailable<Result>(
        _ body: (inout UnsafeMutableBufferPointer<Element>) throws -> Result
    ) rethrows -> Result? {
        defer { withExtendedLifetime(self) {} }
        var buffer = UnsafeMutableBufferPointer(start: elements, count: count)
        let before = (buffer.baseAddress, buffer.count)
        defer {
            precondition((buffer.baseAddress, buffer.count) == before, "The storage of a shared array is its own")
        }
        return try body(&buffer)
    }
}
