/// The keyed container that types write their fields to.
struct KeyedEncoder<Key: CodingKey>: KeyedEncodingContainerProtocol {
    let target: KeyedTarget

    var codingPath: [any CodingKey] { target.encoder.codingPath }

    // Everything below is compiled for any `Key`. What does not depend on it is done by functions that are not generic:
    // a copy of `self` or a closure over it would ask the runtime for metadata in every call.

    /// Writes a field of one number.
    @inline(__always)
    private func put<Scalar: WireScalar>(_ value: Scalar, _ key: Key) throws {
        let name = key.stringValue
        try target.at { state in
            try state.putKey(name, room: 1 + MemoryLayout<Scalar>.size)
            state.buffer.put(Scalar.wireTag)
            state.buffer.put(value)
        }
    }

    @inline(__always)
    private func put(tag: UInt8, _ key: Key) throws {
        let name = key.stringValue
        try target.at { state in
            try state.putKey(name, room: 1)
            state.buffer.put(tag)
        }
    }

    func encodeNil(forKey key: Key) throws { try put(tag: WireTag.null, key) }
    func encode(_ value: Bool, forKey key: Key) throws { try put(tag: value ? WireTag.yes : WireTag.no, key) }
    func encode(_ value: String, forKey key: Key) throws {
        try target.putTextField(value, key.stringValue)
    }

    func encode(_ value: Double, forKey key: Key) throws { try put(value, key) }
    func encode(_ value: Float, forKey key: Key) throws { try put(value, key) }
    func encode(_ value: Int, forKey key: Key) throws { try put(value, key) }
    func encode(_ value: Int8, forKey key: Key) throws { try put(value, key) }
    func encode(_ value: Int16, forKey key: Key) throws { try put(value, key) }
    func encode(_ value: Int32, forKey key: Key) throws { try put(value, key) }
    func encode(_ value: Int64, forKey key: Key) throws { try put(value, key) }
    func encode(_ value: Int128, forKey key: Key) throws { try put(value, key) }
    func encode(_ value: UInt, forKey key: Key) throws { try put(value, key) }
    func encode(_ value: UInt8, forKey key: Key) throws { try put(value, key) }
    func encode(_ value: UInt16, forKey key: Key) throws { try put(value, key) }
    func encode(_ value: UInt32, forKey key: Key) throws { try put(value, key) }
    func encode(_ value: UInt64, forKey key: Key) throws { try put(value, key) }
    func encode(_ value: UInt128, forKey key: Key) throws { try put(value, key) }

    func encode<Value: Encodable>(_ value: Value, forKey key: Key) throws {
        try target.putField(value, key.stringValue)
    }

    func encodeIfPresent<Value: Encodable>(_ value: Value?, forKey key: Key) throws {
        guard let value else { return }
        try target.putField(value, key.stringValue, isPayload: true)
    }

    // MARK: Nested

    func nestedContainer<NestedKey: CodingKey>(
        keyedBy keyType: NestedKey.Type,
        forKey key: Key
    ) -> KeyedEncodingContainer<NestedKey> {
        target.openField(key.stringValue).container(keyedBy: keyType)
    }

    func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
        target.openField(key.stringValue).unkeyedContainer()
    }

    func superEncoder() -> any Encoder { target.openField("super") }
    func superEncoder(forKey key: Key) -> any Encoder {
        target.openField(key.stringValue)
    }
}
