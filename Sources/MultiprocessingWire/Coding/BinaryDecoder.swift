/// Turns bytes of the wire format into a `Decodable` value.
///
/// The bytes may come from anybody: whatever they are, decoding ends with a value or an error, within ``limits``.
/// The decoder keeps nothing between calls, so one may be used by many threads.
public struct BinaryDecoder: Sendable {
    /// What decoding may use up.
    public var limits: CodingLimits
    /// What `init(from:)` initialisers find in their decoder's `userInfo`.
    public var userInfo: [CodingUserInfoKey: any Sendable] = [:]

    /// Makes a decoder.
    public init(limits: CodingLimits = .default) {
        self.limits = limits
    }

    /// Decodes the value that a whole message holds.
    ///
    /// O(n) in the size of the message. Does not block.
    /// - Throws: ``WireError`` if the bytes are not a message or exceed a limit, `DecodingError` if its values are not
    ///   those that the type asks for, and whatever an `init(from:)` throws.
    public func decode<Value: Decodable>(_ type: Value.Type = Value.self, from bytes: [UInt8]) throws -> Value {
        try bytes.withUnsafeBytes { try decode(type, from: $0) }
    }

    /// Decodes the value that a whole message holds, from memory that stays valid during the call.
    ///
    /// O(n) in the size of the message. Does not block.
    /// - Throws: As `decode(_:from:)` with an array does.
    public func decode<Value: Decodable>(
        _ type: Value.Type = Value.self,
        from bytes: UnsafeRawBufferPointer
    ) throws -> Value {
        guard bytes.count <= limits.maximumBytes else {
            throw WireError(code: .sizeExceeded, what: "the message is larger than \(limits.maximumBytes) bytes")
        }
        guard let version = bytes.first else {
            throw WireError(code: .truncated, what: "the message is empty", offset: 0)
        }
        guard version == WireFormat.version else {
            throw WireError(code: .unsupportedVersion, what: "the message begins with byte \(version)", offset: 0)
        }
        let state = DecodingState.take(bytes, limits: limits, userInfo: userInfo.asAny)
        defer { DecodingState.giveBack(state) }
        return try decode(type, from: bytes, by: state.takeUnretainedValue())
    }

    @inline(never)
    private func decode<Value: Decodable>(
        _ type: Value.Type,
        from bytes: UnsafeRawBufferPointer,
        by state: DecodingState
    ) throws -> Value {
        let value = try state.value(at: 1, limit: bytes.count)
        let end = try state.end(of: value)
        guard end == bytes.count else {
            throw WireError(code: .trailingBytes, what: "\(bytes.count - end) bytes follow the value", offset: end)
        }
        let result = try state.decode(type, value, parent: -1, place: nil)
        if let failure = state.failure { throw failure }
        return result
    }
}
