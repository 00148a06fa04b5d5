// A decoder that reads nothing and gives constants: what remains is the cost of Codable itself, which no coder can go
// below.

struct NullDecoder: Decoder, SingleValueDecodingContainer {
    var codingPath: [any CodingKey] { [] }
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedDecodingContainer<Key> {
        NullContainers.decoding.container(type) { KeyedDecodingContainer(NullKeyedDecoder<Key>()) }
    }

    func unkeyedContainer() -> any UnkeyedDecodingContainer { NullUnkeyedDecoder() }
    func singleValueContainer() -> any SingleValueDecodingContainer { self }
    func decodeNil() -> Bool { false }
    func decode(_ type: String.Type) throws -> String { "other" }
    func decode<Value: Decodable>(_ type: Value.Type) throws -> Value { try Value(from: self) }
}

struct NullKeyedDecoder<Key: CodingKey>: KeyedDecodingContainerProtocol {
    var codingPath: [any CodingKey] { [] }
    var allKeys: [Key] { [] }

    // What a coder has to ask of a key at the least.
    @inline(__always)
    private func give<Value>(_ value: Value, _ key: Key) -> Value {
        use(key.stringValue)
        return value
    }

    func contains(_ key: Key) -> Bool { give(true, key) }
    func decodeNil(forKey key: Key) throws -> Bool { give(false, key) }
    func decode(_ type: Bool.Type, forKey key: Key) throws -> Bool { give(true, key) }
    func decode(_ type: String.Type, forKey key: Key) throws -> String { give("a text", key) }
    func decode(_ type: Double.Type, forKey key: Key) throws -> Double { give(1, key) }
    func decode(_ type: Float.Type, forKey key: Key) throws -> Float { give(1, key) }
    func decode(_ type: Int.Type, forKey key: Key) throws -> Int { give(1, key) }
    func decode(_ type: Int8.Type, forKey key: Key) throws -> Int8 { give(1, key) }
    func decode(_ type: Int16.Type, forKey key: Key) throws -> Int16 { give(1, key) }
    func decode(_ type: Int32.Type, forKey key: Key) throws -> Int32 { give(1, key) }
    func decode(_ type: Int64.Type, forKey key: Key) throws -> Int64 { give(1, key) }
    func decode(_ type: UInt.Type, forKey key: Key) throws -> UInt { give(1, key) }
    func decode(_ type: UInt8.Type, forKey key: Key) throws -> UInt8 { give(1, key) }
    func decode(_ type: UInt16.Type, forKey key: Key) throws -> UInt16 { give(1, key) }
    func decode(_ type: UInt32.Type, forKey key: Key) throws -> UInt32 { give(1, key) }
    func decode(_ type: UInt64.Type, forKey key: Key) throws -> UInt64 { give(1, key) }
    func decodeIfPresent(_ type: String.Type, forKey key: Key) throws -> String? { give("a text", key) }

    func decode<Value: Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value {
        // Arrays come out empty and unwalked: a coder may know them.
        if type == [String].self { return give(unsafeBitCast([String](), to: type), key) }
        if type == [Double].self { return give(unsafeBitCast([Double](), to: type), key) }
        return give(try Value(from: NullDecoder()), key)
    }

    func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type, forKey key: Key) -> KeyedDecodingContainer<
        Nested
    > {
        NullDecoder().container(keyedBy: type)
    }

    func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedDecodingContainer { NullUnkeyedDecoder() }
    func superDecoder() -> any Decoder { NullDecoder() }
    func superDecoder(forKey key: Key) -> any Decoder { NullDecoder() }
}

struct NullUnkeyedDecoder: UnkeyedDecodingContainer {
    var codingPath: [any CodingKey] { [] }
    var count: Int? { 0 }
    var isAtEnd: Bool { true }
    var currentIndex: Int { 0 }
    func decodeNil() throws -> Bool { true }
    func decode<Value: Decodable>(_ type: Value.Type) throws -> Value { try Value(from: NullDecoder()) }

    func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) -> KeyedDecodingContainer<Nested> {
        NullDecoder().container(keyedBy: type)
    }

    func nestedUnkeyedContainer() -> any UnkeyedDecodingContainer { self }
    func superDecoder() -> any Decoder { NullDecoder() }
}
