/// The `Encoder` that a value's `encode(to:)` gets: a name for one open frame, three words, made without allocation.
struct ValueEncoder: Encoder, SingleValueEncodingContainer {
    let state: EncodingState
    let serial: Int
    let index: Int

    var codingPath: [any CodingKey] { state.codingPath(of: serial, index) }
    var userInfo: [CodingUserInfoKey: Any] { state.userInfo }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        if let box = state.keptBox(keyedBy: type, serial) {
            // A load: `unsafeBitCast` would ask for the metadata.
            return box.assumingMemoryBound(to: KeyedEncodingContainer<Key>.self).pointee
        }
        return makeContainer(keyedBy: type, open { $0.openKeyed() })
    }

    @inline(never)
    private func makeContainer<Key: CodingKey>(
        keyedBy type: Key.Type,
        _ encoder: ValueEncoder
    ) -> KeyedEncodingContainer<Key> {
        let target = KeyedTarget(encoder)
        let container = KeyedEncodingContainer(KeyedEncoder<Key>(target: target))
        if encoder.state.containers.keep(container, target, type) { target.owner = nil }
        return container
    }

    func unkeyedContainer() -> any UnkeyedEncodingContainer {
        UnkeyedEncoder(encoder: open { $0.openUnkeyed() })
    }

    func singleValueContainer() -> any SingleValueEncodingContainer { self }

    /// Makes the frame a container; a refusal is thrown by the first use of the container, or at the end.
    @inline(__always)
    private func open(_ body: (EncodingState) -> Void) -> ValueEncoder {
        do {
            let target = try state.enter(serial, index)
            body(target)
            if target.pendingError == nil { return target === state ? self : target.encoderOfTop }
        } catch {
            if state.pendingError == nil {
                state.pendingError = error as? WireError ?? state.error(.unsupported, "\(error)")
            }
        }
        return ValueEncoder(state: state, serial: -1, index: 0)
    }

    // MARK: Single values

    private func putSingle(_ body: (EncodingState) throws -> Void) throws {
        let target = try state.enter(serial, index)
        guard target.current.kind == .undecided else {
            throw target.error(.unsupported, "a single value was encoded after another value or a container")
        }
        let mark = target.mark
        target.current.kind = .single
        do {
            try body(target)
        } catch {
            target.rollBack(to: mark)
            target.current.kind = .undecided
            throw error
        }
    }

    func encodeNil() throws { try putSingle { try $0.put(tag: WireTag.null) } }
    func encode(_ value: Bool) throws { try putSingle { try $0.put(value) } }
    func encode(_ value: String) throws { try putSingle { try $0.put(value) } }
    func encode(_ value: Double) throws { try putSingle { try $0.put(value) } }
    func encode(_ value: Float) throws { try putSingle { try $0.put(value) } }
    func encode(_ value: Int) throws { try putSingle { try $0.put(value) } }
    func encode(_ value: Int8) throws { try putSingle { try $0.put(value) } }
    func encode(_ value: Int16) throws { try putSingle { try $0.put(value) } }
    func encode(_ value: Int32) throws { try putSingle { try $0.put(value) } }
    func encode(_ value: Int64) throws { try putSingle { try $0.put(value) } }
    func encode(_ value: Int128) throws { try putSingle { try $0.put(value) } }
    func encode(_ value: UInt) throws { try putSingle { try $0.put(value) } }
    func encode(_ value: UInt8) throws { try putSingle { try $0.put(value) } }
    func encode(_ value: UInt16) throws { try putSingle { try $0.put(value) } }
    func encode(_ value: UInt32) throws { try putSingle { try $0.put(value) } }
    func encode(_ value: UInt64) throws { try putSingle { try $0.put(value) } }
    func encode(_ value: UInt128) throws { try putSingle { try $0.put(value) } }

    func encode<Value: Encodable>(_ value: Value) throws {
        try putSingle { target in
            // Only between an optional and its payload: a type of its own that encodes an optional may well look for
            // nil when it decodes.
            if let native = target.nativeTypes[Value.self] {
                return try withUnsafePointer(to: value) { try native.write(UnsafeRawPointer($0), to: target) }
            }
            if Value.self is any AnyOptional.Type, target.current.valueType is any AnyOptional.Type {
                try target.put(tag: WireTag.some)
            }
            try target.putWalked(value)
        }
    }
}

extension EncodingState {
    /// The encoder of the innermost open value.
    var encoderOfTop: ValueEncoder {
        ValueEncoder(state: self, serial: currentSerial, index: top)
    }

    /// Opens a value that stays open until its parent goes on, for nested containers and super encoders.
    func pushFloating() -> ValueEncoder {
        do {
            try push(Never.self, floating: true)
        } catch {
            if pendingError == nil { pendingError = error as? WireError }
            return ValueEncoder(state: self, serial: -1, index: 0)
        }
        return encoderOfTop
    }
}

/// Tells whether a type is an optional.
protocol AnyOptional {}

extension Optional: AnyOptional {}
