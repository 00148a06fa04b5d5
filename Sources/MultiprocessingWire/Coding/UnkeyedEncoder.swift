/// The unkeyed container that types write their elements to.
struct UnkeyedEncoder: UnkeyedEncodingContainer {
    let encoder: ValueEncoder

    var codingPath: [any CodingKey] { encoder.codingPath }

    var count: Int {
        guard let state = try? encoder.state.enter(encoder.serial, encoder.index) else { return 0 }
        return state.current.count
    }

    @inline(__always)
    private func putElement<Scalar: WireScalar>(_ value: Scalar) throws {
        try encoder.state.enter(encoder.serial, encoder.index).putElement(value)
    }

    @inline(__always)
    private func putTagged(_ body: (EncodingState) throws -> Void) throws {
        let state = try encoder.state.enter(encoder.serial, encoder.index)
        try state.unpack()
        let mark = state.mark
        do {
            try body(state)
        } catch {
            state.rollBack(to: mark)
            throw error
        }
        state.current.count += 1
    }

    func encodeNil() throws { try putTagged { try $0.put(tag: WireTag.null) } }
    func encode(_ value: Bool) throws { try putTagged { try $0.put(value) } }
    func encode(_ value: String) throws { try putTagged { try $0.put(value) } }
    func encode(_ value: Double) throws { try putElement(value) }
    func encode(_ value: Float) throws { try putElement(value) }
    func encode(_ value: Int) throws { try putElement(value) }
    func encode(_ value: Int8) throws { try putElement(value) }
    func encode(_ value: Int16) throws { try putElement(value) }
    func encode(_ value: Int32) throws { try putElement(value) }
    func encode(_ value: Int64) throws { try putElement(value) }
    func encode(_ value: Int128) throws { try putElement(value) }
    func encode(_ value: UInt) throws { try putElement(value) }
    func encode(_ value: UInt8) throws { try putElement(value) }
    func encode(_ value: UInt16) throws { try putElement(value) }
    func encode(_ value: UInt32) throws { try putElement(value) }
    func encode(_ value: UInt64) throws { try putElement(value) }
    func encode(_ value: UInt128) throws { try putElement(value) }

    func encode<Value: Encodable>(_ value: Value) throws {
        let state = try encoder.state.enter(encoder.serial, encoder.index)
        if let native = state.nativeTypes[Value.self] {
            return try withUnsafePointer(to: value) { try native.writeElement(UnsafeRawPointer($0), to: state) }
        }
        try putTagged { try $0.putWalked(value) }
    }

    func encodeIfPresent<Value: Encodable>(_ value: Value?) throws {
        guard let value else { return try encodeNil() }
        try putTagged { state in
            if Value.self is any AnyOptional.Type { try state.put(tag: WireTag.some) }
            try state.putValue(value)
        }
    }

    // MARK: Many elements at once

    private func putElements<Scalar: WireScalar>(_ values: some Sequence<Scalar>) throws {
        let state = try encoder.state.enter(encoder.serial, encoder.index)
        let done: Void? = try values.withContiguousStorageIfAvailable { try state.putElements($0) }
        if done == nil {
            for value in values { try encoder.state.enter(encoder.serial, encoder.index).putElement(value) }
        }
    }

    func encode<Values: Sequence>(contentsOf values: Values) throws where Values.Element == UInt8 {
        try putElements(values)
    }

    func encode<Values: Sequence>(contentsOf values: Values) throws where Values.Element == Int {
        try putElements(values)
    }

    func encode<Values: Sequence>(contentsOf values: Values) throws where Values.Element == Double {
        try putElements(values)
    }

    func encode<Values: Sequence>(contentsOf values: Values) throws where Values.Element == Float {
        try putElements(values)
    }

    // MARK: Nested

    private func openElement() -> ValueEncoder {
        do {
            let state = try encoder.state.enter(encoder.serial, encoder.index)
            try state.unpack()
            state.current.count += 1
            return state.pushFloating()
        } catch {
            if encoder.state.pendingError == nil { encoder.state.pendingError = error as? WireError }
            return ValueEncoder(state: encoder.state, serial: -1, index: 0)
        }
    }

    func nestedContainer<NestedKey: CodingKey>(
        keyedBy keyType: NestedKey.Type
    ) -> KeyedEncodingContainer<NestedKey> {
        openElement().container(keyedBy: keyType)
    }

    func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { openElement().unkeyedContainer() }
    func superEncoder() -> any Encoder { openElement() }
}
