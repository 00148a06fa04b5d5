/// Turns any `Encodable` value into bytes of the wire format.
///
/// Numbers, texts and arrays of numbers are copied; other values are written by their `encode(to:)`. The encoder keeps
/// nothing between calls, so one may be used by many threads.
public struct BinaryEncoder: Sendable {
    /// What encoding may use up.
    public var limits: CodingLimits
    /// What `encode(to:)` methods find in their encoder's `userInfo`.
    public var userInfo: [CodingUserInfoKey: any Sendable] = [:]

    /// Makes an encoder.
    public init(limits: CodingLimits = .default) {
        self.limits = limits
    }

    /// Encodes a value and gives `body` the message in pieces, which it may copy to where they are wanted.
    ///
    /// O(n) in the size of the message, without what is in large arrays and texts: these are not copied. A small value
    /// (see ``encodeSmall(_:into:)``) needs no allocation. Blocks only if `body` does.
    /// - Throws: ``WireError`` if a limit is exceeded or a type uses its encoder in a meaningless way, and whatever an
    ///   `encode(to:)` or `body` throws.
    public func encode<Value: Encodable, Result>(
        _ value: Value,
        _ body: (borrowing EncodedMessage) throws -> Result
    ) throws -> Result {
        // A test of its own, because optionals of `Result` cost a look-up of their metadata.
        if NativeTypes.shared.small(Value.self) != 0, let small = try encodeAsSmall(value, body) { return small }
        let state = EncodingState.take(limits: limits, userInfo: userInfo.asAny)
        defer { EncodingState.giveBack(state) }
        return try encode(value, by: state.takeUnretainedValue(), body)
    }

    @inline(never)
    private func encode<Value: Encodable, Result>(
        _ value: Value,
        by state: EncodingState,
        _ body: (borrowing EncodedMessage) throws -> Result
    ) throws -> Result {
        state.buffer.reserve(1)
        state.buffer.put(WireFormat.version)
        try state.putValue(value)
        return try body(try EncodedMessage(state))
    }

    @inline(never)
    private func encodeAsSmall<Value: Encodable, Result>(
        _ value: Value,
        _ body: (borrowing EncodedMessage) throws -> Result
    ) throws -> Result? {
        try withUnsafeTemporaryAllocation(byteCount: 64, alignment: 16) { room in
            guard let count = Self.encodeSmall(value, into: room), count <= limits.maximumBytes else { return nil }
            return try body(EncodedMessage(UnsafeRawBufferPointer(rebasing: room[..<count])))
        }
    }

    /// Encodes a value as a message of its own.
    ///
    /// O(n) in the size of the message. Does not block.
    /// - Throws: ``WireError`` if a limit is exceeded or a type uses its encoder in a meaningless way, and whatever an
    ///   `encode(to:)` throws.
    public func encode<Value: Encodable>(_ value: Value) throws -> [UInt8] {
        try encode(value) { message in
            let size = message.count
            return [UInt8](unsafeUninitializedCapacity: size) { target, count in
                message.copy(to: UnsafeMutableRawBufferPointer(target))
                count = size
            }
        }
    }

    /// Encodes a value as a message of its own, in arrays that belong one behind the other.
    ///
    /// As ``encode(_:)``, but for very large arrays of bytes, which are not copied: they are the value's own.
    func encodeToArrays<Value: Encodable>(_ value: Value) throws -> [[UInt8]] {
        try encode(value) { message in message.arrays() }
    }

    /// Encodes a value as a message behind what `output` already holds; leaves `output` as it was if that fails.
    ///
    /// O(n) in the size of the message. Does not block. Reuses the memory of `output`, so it is the faster of the two.
    /// - Throws: As ``encode(_:)`` does.
    public func encode<Value: Encodable>(_ value: Value, into output: inout WireBuffer) throws {
        try encode(value) { message in
            output.reserve(message.count)
            message.forEachPiece { output.append($0) }
        }
    }
}
