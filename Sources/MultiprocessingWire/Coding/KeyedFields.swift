/// The fields of a keyed container that is being read.
///
/// Unsafe code. `state` is not counted, for the speed: it is alive because `owner` is the same one, or because it keeps this
/// object and sets `state` to nil when its message ends. A container that outlives its message has no state then.
final class KeyedFields {
    @exclusivity(unchecked) var state: Unmanaged<DecodingState>?
    @exclusivity(unchecked) var owner: DecodingState?
    @exclusivity(unchecked) private var frame: UInt32 = 0
    @exclusivity(unchecked) private var serial: UInt32 = 0
    @exclusivity(unchecked) private var start = 0
    @exclusivity(unchecked) private var end = 0
    @exclusivity(unchecked) private var repeats = false

    init(_ state: DecodingState, _ value: WireValue, frame: Int) throws {
        owner = state
        try begin(state, value, frame: frame)
    }

    /// Makes this the fields of another container.
    func begin(_ state: DecodingState, _ value: WireValue, frame: Int) throws {
        self.state = .passUnretained(state)
        (start, end, repeats) = try state.fields(of: value)
        self.frame = UInt32(truncatingIfNeeded: max(0, frame))
        serial = frame >= 0 ? state.frames[frame].serial : 0
        if frame >= 0 { state.frames[frame].cursor = start }
    }

    /// Calls `body` with the state to read from.
    @inline(__always)
    func at<Result>(_ body: (DecodingState) throws -> Result) throws -> Result {
        guard let state else { throw Self.ended }
        return try state._withUnsafeGuaranteedRef(body)
    }

    private static var ended: WireError {
        WireError(code: .unsupported, what: "a decoder was used after its message was decoded")
    }

    var codingPath: [any CodingKey] {
        guard let state = state?.takeUnretainedValue() else { return [] }
        return state.codingPath(parent: live(state), place: nil)
    }

    /// The container's frame, or -1 if it has ended.
    @inline(__always)
    private func live(_ state: DecodingState) -> Int { serial == 0 ? -1 : state.live(frame, serial) }

    /// The value of this name, nil if there is none; notes its place for errors.
    func find(_ name: String, _ state: DecodingState) throws -> WireValue? {
        var name = name
        let live = live(state)
        state.parent = live
        state.place = nil
        return try name.withUTF8 { name -> WireValue? in
            guard let found = try state.find(name, start: start, end: end, frame: live, repeats: repeats) else {
                return nil
            }
            state.place = found.place
            return found.value
        }
    }

    /// The value of this name unless it is missing or nil.
    @inline(__always)
    func present(_ name: String, _ state: DecodingState) throws -> WireValue? {
        guard let value = try find(name, state), value.tag != WireTag.null else { return nil }
        return value
    }

    func contains(_ name: String) -> Bool {
        var isFound = false
        guard let state = state?.takeUnretainedValue() else { return false }
        state.recordingFailure { isFound = try find(name, state) != nil }
        return isFound
    }

    /// All names, in the order in which they were written.
    func names() -> [String] {
        var names: [String] = []
        var seen: Set<String> = []
        guard let state = state?.takeUnretainedValue() else { return [] }
        state.parent = live(state)
        state.place = nil
        state.recordingFailure {
            try state.checkOpen()
            var position = start
            while position < end {
                let (name, length) = try state.key(at: position, limit: end)
                let text = try state.text(name, length)
                position = try state.end(of: state.value(at: name + length, limit: end))
                // Twice: the names here, and the keys that are made of them.
                try state.charge(2 * (length + MemoryLayout<String>.stride), parent: state.parent, place: nil)
                if repeats, !seen.insert(text).inserted { continue }
                names.append(text)
            }
        }
        return names
    }
}

extension DecodingState {
    /// Decodes the value that was found last.
    func decodeFound<Value: Decodable>(_ type: Value.Type, _ value: WireValue) throws -> Value {
        try decode(type, value, parent: parent, place: place)
    }

    /// Decodes the value that was found last, as the payload of an optional.
    func decodePayload<Value: Decodable>(_ type: Value.Type, _ value: WireValue) throws -> Value {
        var payload = value
        // The mark of an optional in an optional, written by `encodeIfPresent`.
        if value.tag == WireTag.some, Value.self is any AnyOptional.Type {
            payload = try self.value(at: value.payload, limit: value.limit)
        }
        return try decodeFound(type, payload)
    }

    /// Opens a frame for the value that was found last.
    func openFound(_ value: WireValue) throws -> Int {
        try push(Never.self, value, parent: parent, place: place)
    }
}
