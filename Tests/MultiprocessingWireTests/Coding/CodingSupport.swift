import MultiprocessingWire
import Testing

/// Encodes and decodes a value.
func roundTrip<Value: Codable>(_ value: Value, limits: CodingLimits = .default) throws -> Value {
    let bytes = try BinaryEncoder(limits: limits).encode(value)
    return try BinaryDecoder(limits: limits).decode(Value.self, from: bytes)
}

/// Expects that a value comes back equal.
func expectRoundTrip<Value: Codable & Equatable>(
    _ value: Value,
    sourceLocation: Testing.SourceLocation = #_sourceLocation
) throws {
    let back = try roundTrip(value)
    #expect(back == value, sourceLocation: sourceLocation)
}

/// The code of the wire error that an operation throws, also when it comes inside a `DecodingError`.
func wireCode(_ body: () throws -> Void) -> WireError.Code? {
    do {
        try body()
        return nil
    } catch let error as WireError {
        return error.code
    } catch let error as DecodingError {
        switch error {
        case .typeMismatch(_, let context), .valueNotFound(_, let context), .keyNotFound(_, let context),
            .dataCorrupted(let context):
            return (context.underlyingError as? WireError)?.code
        @unknown default:
            return nil
        }
    } catch {
        return nil
    }
}
