/// The keyed container that types write their fields to.
struct KeyedEncoder<Key: CodingKey>: KeyedEncodingContainerProtocol {
    let encoder: ValueEncoder

    var codingPath: [any CodingKey] { encoder.codingPath }

    // Everything below is compiled for any `Key`. What does not depend on it is done by functions that are not generic:
    // a copy of `self` or a closure over it would ask the runtime for metadata in every call.

    /// Writes the key, and gives the state that its value is written to.
    @inline(__always)
    private func field(_ key: Key) throws -> EncodingState {
        try encoder.state.beginField(key.stringValue, encoder.serial, encoder.index)
    }

    func encodeNil(forKey key: Key) throws { try field(key).put(tag: WireTag.null) }
    func encode(_ value: Bool, forKey key: Key) throws { try field(key).put(value) }
    func encode(_ value: String, forKey key: Key) throws { try field(key).put(value) }
    func encode(_ value: Double, forKey key: Key) throws { try field(key).put(value) }
    func encode(_ value: Float, forKey key: Key) throws { try field(key).put(value) }
    func encode(_ value: Int, forKey key: Key) throws { try field(key).put(value) }
    func encode(_ value: Int8, forKey key: Key) throws { try field(key).put(value) }
    func encode(_ value: Int16, forKey key: Key) throws { try field(key).put(value) }
    func encode(_ value: Int32, forKey key: Key) throws { try field(key).put(value) }
    func encode(_ value: Int64, forKey key: Key) throws { try field(key).put(value) }
    func encode(_ value: Int128, forKey key: Key) throws { try field(key).put(value) }
    func encode(_ value: UInt, forKey key: Key) throws { try field(key).put(value) }
    func encode(_ value: UInt8, forKey key: Key) throws { try field(key).put(value) }
    func encode(_ value: UInt16, forKey key: Key) throws { try field(key).put(value) }
    func encode(_ value: UInt32, forKey key: Key) throws { try field(key).put(value) }
    func encode(_ value: UInt64, forKey key: Key) throws { try field(key).put(value) }
    func encode(_ value: UInt128, forKey key: Key) throws { try field(key).put(value) }

    func encode<Value: Encodable>(_ value: Value, forKey key: Key) throws {
        try encoder.state.putField(value, key.stringValue, encoder.serial, encoder.index)
    }

    func encodeIfPresent<Value: Encodable>(_ value: Value?, forKey key: Key) throws {
        guard let value else { return }
        try encoder.state.putField(value, key.stringValue, encoder.serial, encoder.index, isPayload: true)
    }

    // MARK: Nested

    func nestedContainer<NestedKey: CodingKey>(
        keyedBy keyType: NestedKey.Type,
        forKey key: Key
    ) -> KeyedEncodingContainer<NestedKey> {
        encoder.state.openField(key.stringValue, encoder.serial, encoder.index).container(keyedBy: keyType)
    }

    func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
        encoder.state.openField(key.stringValue, encoder.serial, encoder.index).unkeyedContainer()
    }

    func superEncoder() -> any Encoder { encoder.state.openField("super", encoder.serial, encoder.index) }
    func superEncoder(forKey key: Key) -> any Encoder {
        encoder.state.openField(key.stringValue, encoder.serial, encoder.index)
    }
}
