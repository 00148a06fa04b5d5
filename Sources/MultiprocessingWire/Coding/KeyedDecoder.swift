/// The keyed container that types read their fields from.
struct KeyedDecoder<Key: CodingKey>: KeyedDecodingContainerProtocol {
    // Compiled for any `Key`; what does not depend on it is in `KeyedFields`, which is not generic.
    private let fields: KeyedFields

    init(_ state: DecodingState, _ value: WireValue, frame: Int) throws {
        fields = try KeyedFields(state, value, frame: frame)
    }

    var codingPath: [any CodingKey] { fields.state.codingPath(parent: fields.live, place: nil) }

    var allKeys: [Key] {
        fields.names().compactMap { name in Key(stringValue: name) ?? Int(name).flatMap { Key(intValue: $0) } }
    }

    // MARK: Finding fields

    @inline(__always)
    private func value(_ key: Key) throws -> WireValue {
        if let value = try fields.find(key.stringValue) { return value }
        throw missing(key)
    }

    @inline(never)
    private func missing(_ key: some CodingKey) -> any Error {
        DecodingError.keyNotFound(
            key,
            DecodingError.Context(
                codingPath: codingPath,
                debugDescription: "there is no value for the key '\(key.stringValue)'"
            )
        )
    }

    func contains(_ key: Key) -> Bool { fields.contains(key.stringValue) }
    func decodeNil(forKey key: Key) throws -> Bool { try value(key).tag == WireTag.null }

    // MARK: Values

    func decode(_ type: Bool.Type, forKey key: Key) throws -> Bool { try fields.state.bool(value(key)) }
    func decode(_ type: String.Type, forKey key: Key) throws -> String { try fields.state.string(value(key)) }
    func decode(_ type: Double.Type, forKey key: Key) throws -> Double { try fields.state.scalar(type, value(key)) }
    func decode(_ type: Float.Type, forKey key: Key) throws -> Float { try fields.state.scalar(type, value(key)) }
    func decode(_ type: Int.Type, forKey key: Key) throws -> Int { try fields.state.scalar(type, value(key)) }
    func decode(_ type: Int8.Type, forKey key: Key) throws -> Int8 { try fields.state.scalar(type, value(key)) }
    func decode(_ type: Int16.Type, forKey key: Key) throws -> Int16 { try fields.state.scalar(type, value(key)) }
    func decode(_ type: Int32.Type, forKey key: Key) throws -> Int32 { try fields.state.scalar(type, value(key)) }
    func decode(_ type: Int64.Type, forKey key: Key) throws -> Int64 { try fields.state.scalar(type, value(key)) }
    func decode(_ type: Int128.Type, forKey key: Key) throws -> Int128 { try fields.state.scalar(type, value(key)) }
    func decode(_ type: UInt.Type, forKey key: Key) throws -> UInt { try fields.state.scalar(type, value(key)) }
    func decode(_ type: UInt8.Type, forKey key: Key) throws -> UInt8 { try fields.state.scalar(type, value(key)) }
    func decode(_ type: UInt16.Type, forKey key: Key) throws -> UInt16 { try fields.state.scalar(type, value(key)) }
    func decode(_ type: UInt32.Type, forKey key: Key) throws -> UInt32 { try fields.state.scalar(type, value(key)) }
    func decode(_ type: UInt64.Type, forKey key: Key) throws -> UInt64 { try fields.state.scalar(type, value(key)) }
    func decode(_ type: UInt128.Type, forKey key: Key) throws -> UInt128 { try fields.state.scalar(type, value(key)) }

    func decode<Value: Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value {
        try fields.decode(type, value(key))
    }

    // MARK: Values that may be missing

    /// The value unless it is missing or nil.
    @inline(__always)
    private func present(_ key: Key) throws -> WireValue? {
        try fields.present(key.stringValue)
    }

    private func scalar<Scalar: WireScalar>(_ type: Scalar.Type, _ key: Key) throws -> Scalar? {
        guard let value = try present(key) else { return nil }
        return try fields.state.scalar(type, value)
    }

    func decodeIfPresent(_ type: Bool.Type, forKey key: Key) throws -> Bool? {
        guard let value = try present(key) else { return nil }
        return try fields.state.bool(value)
    }

    func decodeIfPresent(_ type: String.Type, forKey key: Key) throws -> String? {
        guard let value = try present(key) else { return nil }
        return try fields.state.string(value)
    }

    func decodeIfPresent(_ type: Double.Type, forKey key: Key) throws -> Double? { try scalar(type, key) }
    func decodeIfPresent(_ type: Float.Type, forKey key: Key) throws -> Float? { try scalar(type, key) }
    func decodeIfPresent(_ type: Int.Type, forKey key: Key) throws -> Int? { try scalar(type, key) }
    func decodeIfPresent(_ type: Int8.Type, forKey key: Key) throws -> Int8? { try scalar(type, key) }
    func decodeIfPresent(_ type: Int16.Type, forKey key: Key) throws -> Int16? { try scalar(type, key) }
    func decodeIfPresent(_ type: Int32.Type, forKey key: Key) throws -> Int32? { try scalar(type, key) }
    func decodeIfPresent(_ type: Int64.Type, forKey key: Key) throws -> Int64? { try scalar(type, key) }
    func decodeIfPresent(_ type: Int128.Type, forKey key: Key) throws -> Int128? { try scalar(type, key) }
    func decodeIfPresent(_ type: UInt.Type, forKey key: Key) throws -> UInt? { try scalar(type, key) }
    func decodeIfPresent(_ type: UInt8.Type, forKey key: Key) throws -> UInt8? { try scalar(type, key) }
    func decodeIfPresent(_ type: UInt16.Type, forKey key: Key) throws -> UInt16? { try scalar(type, key) }
    func decodeIfPresent(_ type: UInt32.Type, forKey key: Key) throws -> UInt32? { try scalar(type, key) }
    func decodeIfPresent(_ type: UInt64.Type, forKey key: Key) throws -> UInt64? { try scalar(type, key) }
    func decodeIfPresent(_ type: UInt128.Type, forKey key: Key) throws -> UInt128? { try scalar(type, key) }

    func decodeIfPresent<Value: Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value? {
        guard let value = try present(key) else { return nil }
        return try fields.decodePayload(type, value)
    }

    // MARK: Nested

    private func open(_ key: some CodingKey) throws -> (value: WireValue, frame: Int) {
        guard let value = try fields.find(key.stringValue) else { throw missing(key) }
        return (value, try fields.open(value))
    }

    func nestedContainer<NestedKey: CodingKey>(
        keyedBy type: NestedKey.Type,
        forKey key: Key
    ) throws -> KeyedDecodingContainer<NestedKey> {
        let (value, frame) = try open(key)
        return KeyedDecodingContainer(try KeyedDecoder<NestedKey>(fields.state, value, frame: frame))
    }

    func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
        let (value, frame) = try open(key)
        return try UnkeyedDecoder(fields.state, value, frame: frame)
    }

    func superDecoder() throws -> any Decoder {
        ValueDecoder(state: fields.state, frame: try open(WireKey.superclass).frame)
    }

    func superDecoder(forKey key: Key) throws -> any Decoder {
        ValueDecoder(state: fields.state, frame: try open(key).frame)
    }
}
