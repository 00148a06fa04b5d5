/// The keyed container that types read their fields from.
struct KeyedDecoder<Key: CodingKey>: KeyedDecodingContainerProtocol {
    // Compiled for any `Key`; what does not depend on it is in `KeyedFields`, which is not generic.
    private let fields: KeyedFields

    init(_ state: DecodingState, _ value: WireValue, frame: Int) throws {
        fields = try KeyedFields(state, value, frame: frame)
    }

    init(_ fields: KeyedFields) { self.fields = fields }

    var codingPath: [any CodingKey] { fields.codingPath }

    var allKeys: [Key] {
        fields.names().compactMap { name in Key(stringValue: name) ?? Int(name).flatMap { Key(intValue: $0) } }
    }

    // MARK: Finding fields

    /// Finds the field and calls `body` with it.
    @inline(__always)
    private func at<Result>(_ key: Key, _ body: (DecodingState, WireValue) throws -> Result) throws -> Result {
        let name = key.stringValue
        return try fields.at { state in
            guard let value = try fields.find(name, state) else { throw missing(key) }
            return try body(state, value)
        }
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
    func decodeNil(forKey key: Key) throws -> Bool { try at(key) { $1.tag == WireTag.null } }

    // MARK: Values

    func decode(_ type: Bool.Type, forKey key: Key) throws -> Bool { try at(key) { try $0.bool($1) } }
    func decode(_ type: String.Type, forKey key: Key) throws -> String { try at(key) { try $0.string($1) } }
    func decode(_ type: Double.Type, forKey key: Key) throws -> Double { try at(key) { try $0.scalar(type, $1) } }
    func decode(_ type: Float.Type, forKey key: Key) throws -> Float { try at(key) { try $0.scalar(type, $1) } }
    func decode(_ type: Int.Type, forKey key: Key) throws -> Int { try at(key) { try $0.scalar(type, $1) } }
    func decode(_ type: Int8.Type, forKey key: Key) throws -> Int8 { try at(key) { try $0.scalar(type, $1) } }
    func decode(_ type: Int16.Type, forKey key: Key) throws -> Int16 { try at(key) { try $0.scalar(type, $1) } }
    func decode(_ type: Int32.Type, forKey key: Key) throws -> Int32 { try at(key) { try $0.scalar(type, $1) } }
    func decode(_ type: Int64.Type, forKey key: Key) throws -> Int64 { try at(key) { try $0.scalar(type, $1) } }
    func decode(_ type: Int128.Type, forKey key: Key) throws -> Int128 { try at(key) { try $0.scalar(type, $1) } }
    func decode(_ type: UInt.Type, forKey key: Key) throws -> UInt { try at(key) { try $0.scalar(type, $1) } }
    func decode(_ type: UInt8.Type, forKey key: Key) throws -> UInt8 { try at(key) { try $0.scalar(type, $1) } }
    func decode(_ type: UInt16.Type, forKey key: Key) throws -> UInt16 { try at(key) { try $0.scalar(type, $1) } }
    func decode(_ type: UInt32.Type, forKey key: Key) throws -> UInt32 { try at(key) { try $0.scalar(type, $1) } }
    func decode(_ type: UInt64.Type, forKey key: Key) throws -> UInt64 { try at(key) { try $0.scalar(type, $1) } }
    func decode(_ type: UInt128.Type, forKey key: Key) throws -> UInt128 { try at(key) { try $0.scalar(type, $1) } }

    func decode<Value: Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value {
        try at(key) { try $0.decodeFound(type, $1) }
    }

    // MARK: Values that may be missing

    /// Finds the field and calls `body` with it, unless it is missing or nil.
    @inline(__always)
    private func ifPresent<Result>(
        _ key: Key,
        _ body: (DecodingState, WireValue) throws -> Result
    ) throws -> Result? {
        let name = key.stringValue
        return try fields.at { state in
            guard let value = try fields.present(name, state) else { return nil }
            return try body(state, value)
        }
    }

    private func scalar<Scalar: WireScalar>(_ type: Scalar.Type, _ key: Key) throws -> Scalar? {
        try ifPresent(key) { try $0.scalar(type, $1) }
    }

    func decodeIfPresent(_ type: Bool.Type, forKey key: Key) throws -> Bool? {
        try ifPresent(key) { try $0.bool($1) }
    }

    func decodeIfPresent(_ type: String.Type, forKey key: Key) throws -> String? {
        try ifPresent(key) { try $0.string($1) }
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
        try ifPresent(key) { try $0.decodePayload(type, $1) }
    }

    // MARK: Nested

    private func open(_ key: some CodingKey) throws -> (state: DecodingState, value: WireValue, frame: Int) {
        let name = key.stringValue
        return try fields.at { state in
            guard let value = try fields.find(name, state) else { throw missing(key) }
            return (state, value, try state.openFound(value))
        }
    }

    func nestedContainer<NestedKey: CodingKey>(
        keyedBy type: NestedKey.Type,
        forKey key: Key
    ) throws -> KeyedDecodingContainer<NestedKey> {
        let (state, value, frame) = try open(key)
        return KeyedDecodingContainer(try KeyedDecoder<NestedKey>(state, value, frame: frame))
    }

    func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
        let (state, value, frame) = try open(key)
        return try UnkeyedDecoder(state, value, frame: frame)
    }

    func superDecoder() throws -> any Decoder {
        let (state, _, frame) = try open(WireKey.superclass)
        return ValueDecoder(state: state, frame: frame)
    }

    func superDecoder(forKey key: Key) throws -> any Decoder {
        let (state, _, frame) = try open(key)
        return ValueDecoder(state: state, frame: frame)
    }
}
