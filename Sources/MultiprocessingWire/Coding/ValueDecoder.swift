/// The `Decoder` that a value's `init(from:)` gets: a name for one value, three words, made without allocation.
struct ValueDecoder: Decoder, SingleValueDecodingContainer {
    let state: DecodingState
    private let frame: UInt32
    private let serial: UInt32
    /// The value's tag in the low byte, the position behind it above: for when the frame has ended.
    private let value: Int

    init(state: DecodingState, frame: Int) {
        self.state = state
        self.frame = UInt32(truncatingIfNeeded: frame)
        serial = state.frames[frame].serial
        let value = state.frames[frame].value
        self.value = value.payload << 8 | Int(value.tag)
    }

    /// The frame, or -1 if it has ended.
    private var live: Int { state.live(frame, serial) }

    @inline(__always)
    private func current() throws -> (value: WireValue, frame: Int) {
        try state.checkOpen()
        let live = live
        state.parent = live
        state.place = nil
        if live >= 0 { return (state.frames[live].value, live) }
        return (WireValue(tag: UInt8(truncatingIfNeeded: value), payload: value >> 8, limit: state.count), -1)
    }

    var codingPath: [any CodingKey] { state.codingPath(parent: live, place: nil) }
    var userInfo: [CodingUserInfoKey: Any] { state.userInfo }

    func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
        let (value, frame) = try current()
        if let box = try state.keptBox(keyedBy: type, value, frame) {
            // A load: `unsafeBitCast` would ask for the metadata.
            return box.assumingMemoryBound(to: KeyedDecodingContainer<Key>.self).pointee
        }
        return try makeContainer(keyedBy: type, value, frame)
    }

    @inline(never)
    private func makeContainer<Key: CodingKey>(
        keyedBy type: Key.Type,
        _ value: WireValue,
        _ frame: Int
    ) throws -> KeyedDecodingContainer<Key> {
        let fields = try KeyedFields(state, value, frame: frame)
        let container = KeyedDecodingContainer(KeyedDecoder<Key>(fields))
        if state.containers.keep(container, fields, type) { fields.owner = nil }
        return container
    }

    func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
        let (value, frame) = try current()
        return try UnkeyedDecoder(state, value, frame: frame)
    }

    func singleValueContainer() throws -> any SingleValueDecodingContainer { self }

    // MARK: Single values

    private func scalar<Scalar: WireScalar>(_ type: Scalar.Type) throws -> Scalar {
        try state.scalar(type, current().value)
    }

    func decodeNil() -> Bool {
        guard let (value, _) = try? current() else { return false }
        return value.tag == WireTag.null
    }

    func decode(_ type: Bool.Type) throws -> Bool { try state.bool(current().value) }
    func decode(_ type: String.Type) throws -> String { try state.string(current().value) }
    func decode(_ type: Double.Type) throws -> Double { try scalar(type) }
    func decode(_ type: Float.Type) throws -> Float { try scalar(type) }
    func decode(_ type: Int.Type) throws -> Int { try scalar(type) }
    func decode(_ type: Int8.Type) throws -> Int8 { try scalar(type) }
    func decode(_ type: Int16.Type) throws -> Int16 { try scalar(type) }
    func decode(_ type: Int32.Type) throws -> Int32 { try scalar(type) }
    func decode(_ type: Int64.Type) throws -> Int64 { try scalar(type) }
    func decode(_ type: Int128.Type) throws -> Int128 { try scalar(type) }
    func decode(_ type: UInt.Type) throws -> UInt { try scalar(type) }
    func decode(_ type: UInt8.Type) throws -> UInt8 { try scalar(type) }
    func decode(_ type: UInt16.Type) throws -> UInt16 { try scalar(type) }
    func decode(_ type: UInt32.Type) throws -> UInt32 { try scalar(type) }
    func decode(_ type: UInt64.Type) throws -> UInt64 { try scalar(type) }
    func decode(_ type: UInt128.Type) throws -> UInt128 { try scalar(type) }

    func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
        var (value, frame) = try current()
        // The mark of an optional in an optional, written by `ValueEncoder.encode`.
        if value.tag == WireTag.some, Value.self is any AnyOptional.Type {
            value = try state.value(at: value.payload, limit: value.limit)
        }
        return try state.decode(type, value, parent: frame, place: nil)
    }
}
