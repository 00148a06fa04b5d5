// An encoder that throws everything away: what remains is the cost of Codable itself, which no coder can go below.

struct NullEncoder: Encoder, SingleValueEncodingContainer {
    var codingPath: [any CodingKey] { [] }
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        NullContainers.encoding.container(type) { KeyedEncodingContainer(NullKeyed<Key>()) }
    }

    func unkeyedContainer() -> any UnkeyedEncodingContainer { NullUnkeyed() }
    func singleValueContainer() -> any SingleValueEncodingContainer { self }
    func encodeNil() throws {}
    func encode(_ value: String) throws {}
    func encode<Value: Encodable>(_ value: Value) throws { try value.encode(to: self) }
}

struct NullKeyed<Key: CodingKey>: KeyedEncodingContainerProtocol {
    var codingPath: [any CodingKey] { [] }
    func encodeNil(forKey key: Key) throws { use(key.stringValue) }
    func encode(_ value: Bool, forKey key: Key) throws { use(key.stringValue) }
    func encode(_ value: String, forKey key: Key) throws { use(key.stringValue) }
    func encode(_ value: Double, forKey key: Key) throws { use(key.stringValue) }
    func encode(_ value: Float, forKey key: Key) throws { use(key.stringValue) }
    func encode(_ value: Int, forKey key: Key) throws { use(key.stringValue) }
    func encode(_ value: Int8, forKey key: Key) throws { use(key.stringValue) }
    func encode(_ value: Int16, forKey key: Key) throws { use(key.stringValue) }
    func encode(_ value: Int32, forKey key: Key) throws { use(key.stringValue) }
    func encode(_ value: Int64, forKey key: Key) throws { use(key.stringValue) }
    func encode(_ value: UInt, forKey key: Key) throws { use(key.stringValue) }
    func encode(_ value: UInt8, forKey key: Key) throws { use(key.stringValue) }
    func encode(_ value: UInt16, forKey key: Key) throws { use(key.stringValue) }
    func encode(_ value: UInt32, forKey key: Key) throws { use(key.stringValue) }
    func encode(_ value: UInt64, forKey key: Key) throws { use(key.stringValue) }
    func encodeIfPresent(_ value: String?, forKey key: Key) throws { use(key.stringValue) }

    func encode<Value: Encodable>(_ value: Value, forKey key: Key) throws {
        use(key.stringValue)
        // A coder may know arrays; any other type has to be asked.
        if Value.self == [String].self || Value.self == [Double].self { return }
        try value.encode(to: NullEncoder())
    }

    func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type, forKey key: Key) -> KeyedEncodingContainer<
        Nested
    > {
        NullEncoder().container(keyedBy: type)
    }

    func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer { NullUnkeyed() }
    func superEncoder() -> any Encoder { NullEncoder() }
    func superEncoder(forKey key: Key) -> any Encoder { NullEncoder() }
}

struct NullUnkeyed: UnkeyedEncodingContainer {
    var codingPath: [any CodingKey] { [] }
    var count: Int { 0 }
    func encodeNil() throws {}
    func encode<Value: Encodable>(_ value: Value) throws {}

    func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) -> KeyedEncodingContainer<Nested> {
        NullEncoder().container(keyedBy: type)
    }

    func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { self }
    func superEncoder() -> any Encoder { NullEncoder() }
}
