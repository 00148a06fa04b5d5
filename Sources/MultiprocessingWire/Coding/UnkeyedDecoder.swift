/// The unkeyed container that types read their elements from.
struct UnkeyedDecoder: UnkeyedDecodingContainer {
    private let state: DecodingState
    private let frame: UInt32
    private let serial: UInt32
    private let elements: DecodingState.Elements
    private var position: Int
    private(set) var currentIndex = 0

    init(_ state: DecodingState, _ value: WireValue, frame: Int) throws {
        self.state = state
        elements = try state.elements(of: value)
        position = elements.start
        self.frame = UInt32(truncatingIfNeeded: max(0, frame))
        serial = frame >= 0 ? state.frames[frame].serial : 0
    }

    private var live: Int { serial == 0 ? -1 : state.live(frame, serial) }

    var codingPath: [any CodingKey] { state.codingPath(parent: live, place: nil) }
    var count: Int? { elements.count }
    var isAtEnd: Bool { position >= elements.end }

    // MARK: Elements

    /// The next element, without going on to the one behind it.
    @inline(__always)
    private func peek(_ type: Any.Type) throws -> WireValue {
        try state.checkOpen()
        state.parent = live
        state.place = -1 - currentIndex
        guard position < elements.end else { throw atEnd(type) }
        guard elements.tag != 0 else { return try state.value(at: position, limit: elements.end) }
        if elements.tag == WireTag.packedBool {
            let byte = loadOnce(UInt8.self, state.base + position)
            guard byte <= 1 else { throw state.error(.malformed, "a Bool is neither 0 nor 1", at: position) }
            return WireValue(tag: byte == 1 ? WireTag.yes : WireTag.no, payload: position, limit: position)
        }
        return WireValue(tag: elements.tag, payload: position, limit: position + elements.size)
    }

    @inline(never)
    private func atEnd(_ type: Any.Type) -> any Error {
        DecodingError.valueNotFound(
            type,
            DecodingError.Context(
                codingPath: state.codingPath(parent: state.parent, place: state.place),
                debugDescription: "the container has only \(currentIndex) elements"
            )
        )
    }

    /// Goes on to the element behind `value`.
    @inline(__always)
    private mutating func advance(past value: WireValue) throws {
        position = elements.tag != 0 ? position + elements.size : try state.end(of: value)
        currentIndex += 1
    }

    @inline(__always)
    private mutating func scalar<Scalar: WireScalar>(_ type: Scalar.Type) throws -> Scalar {
        let value = try peek(type)
        let result = try state.scalar(type, value)
        try advance(past: value)
        return result
    }

    mutating func decodeNil() throws -> Bool {
        let value = try peek(Never.self)
        guard value.tag == WireTag.null else { return false }
        try advance(past: value)
        return true
    }

    mutating func decode(_ type: Bool.Type) throws -> Bool {
        let value = try peek(type)
        let result = try state.bool(value)
        try advance(past: value)
        return result
    }

    mutating func decode(_ type: String.Type) throws -> String {
        let value = try peek(type)
        let result = try state.string(value)
        try advance(past: value)
        return result
    }

    mutating func decode(_ type: Double.Type) throws -> Double { try scalar(type) }
    mutating func decode(_ type: Float.Type) throws -> Float { try scalar(type) }
    mutating func decode(_ type: Int.Type) throws -> Int { try scalar(type) }
    mutating func decode(_ type: Int8.Type) throws -> Int8 { try scalar(type) }
    mutating func decode(_ type: Int16.Type) throws -> Int16 { try scalar(type) }
    mutating func decode(_ type: Int32.Type) throws -> Int32 { try scalar(type) }
    mutating func decode(_ type: Int64.Type) throws -> Int64 { try scalar(type) }
    mutating func decode(_ type: Int128.Type) throws -> Int128 { try scalar(type) }
    mutating func decode(_ type: UInt.Type) throws -> UInt { try scalar(type) }
    mutating func decode(_ type: UInt8.Type) throws -> UInt8 { try scalar(type) }
    mutating func decode(_ type: UInt16.Type) throws -> UInt16 { try scalar(type) }
    mutating func decode(_ type: UInt32.Type) throws -> UInt32 { try scalar(type) }
    mutating func decode(_ type: UInt64.Type) throws -> UInt64 { try scalar(type) }
    mutating func decode(_ type: UInt128.Type) throws -> UInt128 { try scalar(type) }

    mutating func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
        let value = try peek(type)
        // Elements go into an array as a rule, whose memory grows by a stride for each.
        try state.charge(MemoryLayout<Value>.stride, parent: state.parent, place: state.place)
        let result = try state.decode(type, value, parent: state.parent, place: state.place)
        try advance(past: value)
        return result
    }

    mutating func decodeIfPresent<Value: Decodable>(_ type: Value.Type) throws -> Value? {
        let whole = try peek(type)
        var value = whole
        if value.tag == WireTag.null {
            try advance(past: whole)
            return nil
        }
        if value.tag == WireTag.some, Value.self is any AnyOptional.Type {
            value = try state.value(at: value.payload, limit: value.limit)
        }
        let result = try state.decode(type, value, parent: state.parent, place: state.place)
        try advance(past: whole)
        return result
    }

    // MARK: Nested

    private mutating func open<Result>(_ body: (WireValue, Int) throws -> Result) throws -> Result {
        let value = try peek(Never.self)
        let frame = try state.push(Never.self, value, parent: state.parent, place: state.place)
        let result = try body(value, frame)
        try advance(past: value)
        return result
    }

    mutating func nestedContainer<NestedKey: CodingKey>(
        keyedBy type: NestedKey.Type
    ) throws -> KeyedDecodingContainer<NestedKey> {
        let state = state
        return try open { KeyedDecodingContainer(try KeyedDecoder<NestedKey>(state, $0, frame: $1)) }
    }

    mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer {
        let state = state
        return try open { try UnkeyedDecoder(state, $0, frame: $1) }
    }

    mutating func superDecoder() throws -> any Decoder {
        let state = state
        return try open { ValueDecoder(state: state, frame: $1) }
    }
}
