// Unsafe code. Invariants:
// - an access holds the `SegmentUse`, and with it the mapping, until its body has returned: `close` in between is harmless;
// - the mapping begins at a page, so it is aligned for every type, and spans cover whole elements of it only.

extension SharedMemory {
    /// Calls `body` with the bytes, in place. No copy, no system call.
    ///
    /// - Throws: ``SharedStateError`` (`closed`); what `body` throws.
    public func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
        try withUnsafeMutableBytes { try body(UnsafeRawBufferPointer($0)) }
    }

    /// Calls `body` with the bytes, in place, to be changed. No copy, no system call.
    ///
    /// Python: `SharedMemory.buf`.
    /// - Throws: ``SharedStateError`` (`closed`); what `body` throws.
    public func withUnsafeMutableBytes<Result>(
        _ body: (UnsafeMutableRawBufferPointer) throws -> Result
    ) throws -> Result {
        let use = try use()
        defer { withExtendedLifetime(use) {} }
        return try body(use.bytes)
    }

    /// Calls `body` with the memory as elements of a type, as many as fit. No copy, no system call.
    ///
    /// Every pattern of bits has to be a value of the type: others can have written anything.
    ///
    /// - Throws: ``SharedStateError`` (`closed`); what `body` throws.
    public func withSpan<Element: BitwiseCopyable, Result>(
        of type: Element.Type,
        _ body: (Span<Element>) throws -> Result
    ) throws -> Result {
        try withUnsafeMutableBytes { try body(UnsafeBufferPointer($0.elements(type)).span) }
    }

    /// ``withSpan(of:_:)`` with elements that can be changed.
    public func withMutableSpan<Element: BitwiseCopyable, Result>(
        of type: Element.Type,
        _ body: (inout MutableSpan<Element>) throws -> Result
    ) throws -> Result {
        try withUnsafeMutableBytes { bytes in
            let elements = bytes.elements(type)
            var span = elements.mutableSpan
            return try body(&span)
        }
    }
}

extension UnsafeMutableRawBufferPointer {
    fileprivate func elements<Element: BitwiseCopyable>(_ type: Element.Type) -> UnsafeMutableBufferPointer<Element> {
        UnsafeMutableBufferPointer(
            start: baseAddress?.assumingMemoryBound(to: type),
            count: count / MemoryLayout<Element>.stride
        )
    }
}
