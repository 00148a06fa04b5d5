/// The keyed container that types read their fields from.
struct KeyedDecoder<Key: CodingKey>: KeyedDecodingContainerProtocol {
    private let state: DecodingState
    private let frame: UInt32
    private let serial: UInt32
    private let start: Int
    private let end: Int
    private let repeats: Bool

    init(_ state: DecodingState, _ value: WireValue, frame: Int) throws {
        self.state = state
        (start, end, repeats) = try state.fields(of: value)
        self.frame = UInt32(truncatingIfNeeded: max(0, frame))
        serial = frame >= 0 ? state.frames[frame].serial : 0
        if frame >= 0 { state.frames[frame].cursor = start }
    }

    private var live: Int { serial == 0 ? -1 : state.live(frame, serial) }

    var codingPath: [any CodingKey] { state.codingPath(parent: live, place: nil) }

    var allKeys: [Key] {
        var keys: [Key] = []
        var position = start
        var seen: Set<String> = []
        state.parent = live
        state.place = nil
        state.recordingFailure {
            try state.checkOpen()
            while position < end {
                let (name, length) = try state.key(at: position, limit: end)
                let text = try state.text(name, length)
                position = try state.end(of: state.value(at: name + length, limit: end))
                try state.charge(length + MemoryLayout<Key>.stride, parent: state.parent, place: nil)
                if repeats, !seen.insert(text).inserted { continue }
                if let key = Key(stringValue: text) ?? Int(text).flatMap({ Key(intValue: $0) }) { keys.append(key) }
            }
        }
        return keys
    }

    // MARK: Finding fields

    @inline(__always)
    private func find(_ key: some CodingKey) throws -> WireValue? {
        var name = key.stringValue
        let live = live
        state.parent = live
        state.place = nil
        let found = try name.withUTF8 {
            try state.find($0, start: start, end: end, frame: live, repeats: repeats)
        }
        guard let found else { return nil }
        state.place = found.place
        return found.value
    }

    @inline(__always)
    private func value(_ key: some CodingKey) throws -> WireValue {
        if let value = try find(key) { return value }
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

    func contains(_ key: Key) -> Bool {
        var isFound = false
        state.recordingFailure { isFound = try find(key) != nil }
        return isFound
    }

    func decodeNil(forKey key: Key) throws -> Bool { try value(key).tag == WireTag.null }

    // MARK: Values

    func decode(_ type: Bool.Type, forKey key: Key) throws -> Bool { try state.bool(value(key)) }
    func decode(_ type: String.Type, forKey key: Key) throws -> String { try state.string(value(key)) }
    func decode(_ type: Double.Type, forKey key: Key) throws -> Double { try state.scalar(type, value(key)) }
    func decode(_ type: Float.Type, forKey key: Key) throws -> Float { try state.scalar(type, value(key)) }
    func decode(_ type: Int.Type, forKey key: Key) throws -> Int { try state.scalar(type, value(key)) }
    func decode(_ type: Int8.Type, forKey key: Key) throws -> Int8 { try state.scalar(type, value(key)) }
    func decode(_ type: Int16.Type, forKey key: Key) throws -> Int16 { try state.scalar(type, value(key)) }
    func decode(_ type: Int32.Type, forKey key: Key) throws -> Int32 { try state.scalar(type, value(key)) }
    func decode(_ type: Int64.Type, forKey key: Key) throws -> Int64 { try state.scalar(type, value(key)) }
    func decode(_ type: Int128.Type, forKey key: Key) throws -> Int128 { try state.scalar(type, value(key)) }
    func decode(_ type: UInt.Type, forKey key: Key) throws -> UInt { try state.scalar(type, value(key)) }
    func decode(_ type: UInt8.Type, forKey key: Key) throws -> UInt8 { try state.scalar(type, value(key)) }
    func decode(_ type: UInt16.Type, forKey key: Key) throws -> UInt16 { try state.scalar(type, value(key)) }
    func decode(_ type: UInt32.Type, forKey key: Key) throws -> UInt32 { try state.scalar(type, value(key)) }
    func decode(_ type: UInt64.Type, forKey key: Key) throws -> UInt64 { try state.scalar(type, value(key)) }
    func decode(_ type: UInt128.Type, forKey key: Key) throws -> UInt128 { try state.scalar(type, value(key)) }

    func decode<Value: Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value {
        let value = try value(key)
        return try state.decode(type, value, parent: state.parent, place: state.place)
    }

    // MARK: Values that may be missing

    /// The value unless it is missing or nil.
    @inline(__always)
    private func present(_ key: Key) throws -> WireValue? {
        guard let value = try find(key), value.tag != WireTag.null else { return nil }
        return value
    }

    private func scalar<Scalar: WireScalar>(_ type: Scalar.Type, _ key: Key) throws -> Scalar? {
        guard let value = try present(key) else { return nil }
        return try state.scalar(type, value)
    }

    func decodeIfPresent(_ type: Bool.Type, forKey key: Key) throws -> Bool? {
        try present(key).map { try state.bool($0) }
    }

    func decodeIfPresent(_ type: String.Type, forKey key: Key) throws -> String? {
        try present(key).map { try state.string($0) }
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
        guard var value = try present(key) else { return nil }
        let (parent, place) = (state.parent, state.place)
        // The mark of an optional in an optional, written by `encodeIfPresent`.
        if value.tag == WireTag.some, Value.self is any AnyOptional.Type {
            value = try state.value(at: value.payload, limit: value.limit)
        }
        return try state.decode(type, value, parent: parent, place: place)
    }

    // MARK: Nested

    private func open(_ key: some CodingKey) throws -> (value: WireValue, frame: Int) {
        let value = try value(key)
        return (value, try state.push(Never.self, value, parent: state.parent, place: state.place))
    }

    func nestedContainer<NestedKey: CodingKey>(
        keyedBy type: NestedKey.Type,
        forKey key: Key
    ) throws -> KeyedDecodingContainer<NestedKey> {
        let (value, frame) = try open(key)
        return KeyedDecodingContainer(try KeyedDecoder<NestedKey>(state, value, frame: frame))
    }

    func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
        let (value, frame) = try open(key)
        return try UnkeyedDecoder(state, value, frame: frame)
    }

    func superDecoder() throws -> any Decoder {
        ValueDecoder(state: state, frame: try open(WireKey.superclass).frame)
    }

    func superDecoder(forKey key: Key) throws -> any Decoder {
        ValueDecoder(state: state, frame: try open(key).frame)
    }
}
