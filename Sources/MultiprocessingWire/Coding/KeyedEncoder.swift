/// The keyed container that types write their fields to.
struct KeyedEncoder<Key: CodingKey>: KeyedEncodingContainerProtocol {
    let encoder: ValueEncoder

    var codingPath: [any CodingKey] { encoder.codingPath }

    @inline(__always)
    private func putField<Scalar: WireScalar>(_ value: Scalar, _ key: Key) throws {
        let state = try encoder.state.enter(encoder.serial, encoder.index)
        try state.putKey(key)
        try state.put(value)
    }

    func encodeNil(forKey key: Key) throws {
        let state = try encoder.state.enter(encoder.serial, encoder.index)
        try state.putKey(key)
        try state.put(tag: WireTag.null)
    }

    func encode(_ value: Bool, forKey key: Key) throws {
        let state = try encoder.state.enter(encoder.serial, encoder.index)
        try state.putKey(key)
        try state.put(value)
    }

    func encode(_ value: String, forKey key: Key) throws {
        let state = try encoder.state.enter(encoder.serial, encoder.index)
        try state.putKey(key)
        try state.put(value)
    }

    func encode(_ value: Double, forKey key: Key) throws { try putField(value, key) }
    func encode(_ value: Float, forKey key: Key) throws { try putField(value, key) }
    func encode(_ value: Int, forKey key: Key) throws { try putField(value, key) }
    func encode(_ value: Int8, forKey key: Key) throws { try putField(value, key) }
    func encode(_ value: Int16, forKey key: Key) throws { try putField(value, key) }
    func encode(_ value: Int32, forKey key: Key) throws { try putField(value, key) }
    func encode(_ value: Int64, forKey key: Key) throws { try putField(value, key) }
    func encode(_ value: Int128, forKey key: Key) throws { try putField(value, key) }
    func encode(_ value: UInt, forKey key: Key) throws { try putField(value, key) }
    func encode(_ value: UInt8, forKey key: Key) throws { try putField(value, key) }
    func encode(_ value: UInt16, forKey key: Key) throws { try putField(value, key) }
    func encode(_ value: UInt32, forKey key: Key) throws { try putField(value, key) }
    func encode(_ value: UInt64, forKey key: Key) throws { try putField(value, key) }
    func encode(_ value: UInt128, forKey key: Key) throws { try putField(value, key) }

    func encode<Value: Encodable>(_ value: Value, forKey key: Key) throws {
        try encode(value, forKey: key, marked: false)
    }

    func encodeIfPresent<Value: Encodable>(_ value: Value?, forKey key: Key) throws {
        guard let value else { return }
        // An optional in an optional is written as `Optional` itself would write it.
        try encode(value, forKey: key, marked: Value.self is any AnyOptional.Type)
    }

    private func encode<Value: Encodable>(_ value: Value, forKey key: Key, marked: Bool) throws {
        let state = try encoder.state.enter(encoder.serial, encoder.index)
        let mark = state.mark
        do {
            try state.putKey(key)
            if marked { try state.put(tag: WireTag.some) }
            try state.putValue(value)
        } catch {
            state.rollBack(to: mark)
            throw error
        }
    }

    // MARK: Nested

    private func openField(_ key: some CodingKey) -> ValueEncoder {
        do {
            let state = try encoder.state.enter(encoder.serial, encoder.index)
            try state.putKey(key)
            return state.pushFloating()
        } catch {
            if encoder.state.pendingError == nil { encoder.state.pendingError = error as? WireError }
            return ValueEncoder(state: encoder.state, serial: -1, index: 0)
        }
    }

    func nestedContainer<NestedKey: CodingKey>(
        keyedBy keyType: NestedKey.Type,
        forKey key: Key
    ) -> KeyedEncodingContainer<NestedKey> {
        openField(key).container(keyedBy: keyType)
    }

    func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
        openField(key).unkeyedContainer()
    }

    func superEncoder() -> any Encoder { openField(WireKey.superclass) }
    func superEncoder(forKey key: Key) -> any Encoder { openField(key) }
}
