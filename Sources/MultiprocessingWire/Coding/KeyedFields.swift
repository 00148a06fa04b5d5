/// The fields of a keyed container that is being read.
struct KeyedFields {
    let state: DecodingState
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

    /// The container's frame, or -1 if it has ended.
    @inline(__always)
    var live: Int { serial == 0 ? -1 : state.live(frame, serial) }

    /// The value of this name, nil if there is none; notes its place for errors.
    func find(_ name: String) throws -> WireValue? {
        var name = name
        let live = live
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
    func present(_ name: String) throws -> WireValue? {
        guard let value = try find(name), value.tag != WireTag.null else { return nil }
        return value
    }

    func contains(_ name: String) -> Bool {
        var isFound = false
        state.recordingFailure { isFound = try find(name) != nil }
        return isFound
    }

    /// All names, in the order in which they were written.
    func names() -> [String] {
        var names: [String] = []
        var seen: Set<String> = []
        state.parent = live
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

    /// Decodes the value that was found last.
    func decode<Value: Decodable>(_ type: Value.Type, _ value: WireValue) throws -> Value {
        try state.decode(type, value, parent: state.parent, place: state.place)
    }

    /// Decodes the value that was found last, as the payload of an optional.
    func decodePayload<Value: Decodable>(_ type: Value.Type, _ value: WireValue) throws -> Value {
        var payload = value
        // The mark of an optional in an optional, written by `encodeIfPresent`.
        if value.tag == WireTag.some, Value.self is any AnyOptional.Type {
            payload = try state.value(at: value.payload, limit: value.limit)
        }
        return try decode(type, payload)
    }

    /// Opens a frame for the value that was found last.
    func open(_ value: WireValue) throws -> Int {
        try state.push(Never.self, value, parent: state.parent, place: state.place)
    }
}
