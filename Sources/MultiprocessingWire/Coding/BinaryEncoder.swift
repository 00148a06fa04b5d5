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

    /// Encodes a value as a message of its own.
    ///
    /// O(n) in the size of the message. Does not block.
    /// - Throws: ``WireError`` if a limit is exceeded or a type uses its encoder in a meaningless way, and whatever an
    ///   `encode(to:)` throws.
    public func encode<Value: Encodable>(_ value: Value) throws -> [UInt8] {
        let state = try start(value, buffer: WireBuffer(minimumCapacity: 256))
        defer { state.close() }
        let size = try state.finish()
        return [UInt8](unsafeUninitializedCapacity: size) { target, count in
            let target = UnsafeMutableRawBufferPointer(target)
            state.forEachPiece { piece in
                UnsafeMutableRawBufferPointer(rebasing: target[count...]).copyMemory(from: piece)
                count += piece.count
            }
        }
    }

    /// Encodes a value as a message behind what `output` already holds; leaves `output` as it was if that fails.
    ///
    /// O(n) in the size of the message. Does not block. Reuses the memory of `output`, so it is the faster of the two.
    /// - Throws: As ``encode(_:)`` does.
    public func encode<Value: Encodable>(_ value: Value, into output: inout WireBuffer) throws {
        let state = try start(value, buffer: WireBuffer(minimumCapacity: 256))
        defer { state.close() }
        output.reserve(try state.finish())
        state.forEachPiece { output.append($0) }
    }

    private func start<Value: Encodable>(
        _ value: Value,
        buffer: consuming WireBuffer
    ) throws -> EncodingState {
        let state = EncodingState(buffer: buffer, limits: limits, userInfo: userInfo.asAny)
        state.buffer.reserve(1)
        state.buffer.put(WireFormat.version)
        do {
            try state.putValue(value)
        } catch {
            state.close()
            throw error
        }
        return state
    }
}
