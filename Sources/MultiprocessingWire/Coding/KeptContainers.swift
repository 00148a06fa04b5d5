// Making a keyed container asks the runtime for the metadata of three generic types and allocates a box. A state therefore
// keeps the boxes that it made, by the type of the keys, and gives one out again when nobody else has it any more.
//
// Unsafe code. A `KeyedEncodingContainer` or `KeyedDecodingContainer` is one reference to a box; where its size says otherwise, none
// is kept. Only a box that was made for the same type of keys is taken for a container of that type.

/// The boxes of one state.
struct KeptContainers<Target: AnyObject>: ~Copyable {
    private struct Slot {
        var keyType: ObjectIdentifier?
        var box: AnyObject?
        var target: Target?
    }

    private var slots = InlineArray<8, Slot>(repeating: Slot())

    @inline(__always)
    private static func position(of keyType: Any.Type) -> Int {
        Int(truncatingIfNeeded: (UInt(bitPattern: ObjectIdentifier(keyType)) &* 0x9E37_79B9_7F4A_7C15) >> 61)
    }

    /// A box for this type of keys that nobody else has, and what its container refers to.
    @inline(__always)
    mutating func take(_ keyType: Any.Type) -> (box: AnyObject, target: Target)? {
        let position = Self.position(of: keyType)
        guard slots[position].keyType == ObjectIdentifier(keyType), isKnownUniquelyReferenced(&slots[position].box)
        else {
            return nil
        }
        return (slots[position].box.unsafelyUnwrapped, slots[position].target.unsafelyUnwrapped)
    }

    /// Keeps a container's box, unless its place is taken by one that is in use.
    @inline(never)
    mutating func keep<Container>(_ container: Container, _ target: Target, _ keyType: Any.Type) -> Bool {
        guard MemoryLayout<Container>.size == MemoryLayout<AnyObject>.size else { return false }
        let position = Self.position(of: keyType)
        if slots[position].box != nil, !isKnownUniquelyReferenced(&slots[position].box) { return false }
        let box = withUnsafePointer(to: container) { UnsafeRawPointer($0).load(as: AnyObject.self) }
        slots[position] = Slot(keyType: ObjectIdentifier(keyType), box: box, target: target)
        return true
    }

    /// Calls `body` with what each container refers to.
    func forEach(_ body: (Target) -> Void) {
        for position in slots.indices {
            if let target = slots[position].target { body(target) }
        }
    }
}

/// What the keyed containers of an encoder refer to.
final class KeyedTarget {
    // Not counted, for the speed: it is alive because `owner` is the same one, or because it keeps this object and sets
    // `state` to nil when its message ends.
    @exclusivity(unchecked) var state: Unmanaged<EncodingState>?
    /// The state again, if it does not keep this object.
    @exclusivity(unchecked) var owner: EncodingState?
    @exclusivity(unchecked) var serial: Int
    @exclusivity(unchecked) var index: Int

    init(_ encoder: ValueEncoder) {
        state = .passUnretained(encoder.state)
        owner = encoder.state
        serial = encoder.serial
        index = encoder.index
    }

    /// Calls `body` with the state to write to.
    @inline(__always)
    func at(_ body: (EncodingState) throws -> Void) throws {
        guard let state else {
            throw WireError(code: .unsupported, what: "a container was used after its value was complete")
        }
        try state._withUnsafeGuaranteedRef { try $0.at(serial, index, body) }
    }

    func putTextField(_ value: String, _ name: String) throws {
        try at { state in
            try state.putKey(name)
            try state.put(value)
        }
    }

    func putField<Value: Encodable>(_ value: Value, _ name: String, isPayload: Bool = false) throws {
        try at { try $0.putField(value, name, isPayload: isPayload) }
    }

    /// Opens a field for a nested container or a super encoder; a failure is thrown by the next call that can.
    func openField(_ name: String) -> ValueEncoder {
        let encoder = encoder
        do {
            let state = try encoder.state.enter(serial, index)
            try state.putKey(name)
            return state.pushFloating()
        } catch {
            if encoder.state.pendingError == nil { encoder.state.pendingError = error as? WireError }
            return ValueEncoder(state: encoder.state, serial: -1, index: 0)
        }
    }

    var encoder: ValueEncoder {
        ValueEncoder(state: state?.takeUnretainedValue() ?? .closed, serial: serial, index: index)
    }
}

extension EncodingState {
    /// A state that refuses everything.
    static var closed: EncodingState {
        let state = EncodingState(buffer: WireBuffer(), limits: .default, userInfo: [:])
        state.close()
        return state
    }

    /// Makes the value that `serial` names a keyed container and gives the box of one that was used before; nil if that value
    /// is not the innermost one, is something else already, or no box is free.
    @inline(never)
    func keptBox(keyedBy type: Any.Type, _ serial: Int) -> AnyObject? {
        guard serial == currentSerial, current.kind == .undecided || current.kind == .keyed else { return nil }
        guard let kept = containers.take(type) else { return nil }
        openKeyed()
        kept.target.state = .passUnretained(self)
        kept.target.serial = serial
        kept.target.index = top
        return kept.box
    }
}

extension DecodingState {
    /// The box of a keyed container that was used before, now that of `value`; nil if none is free.
    @inline(never)
    func keptBox(keyedBy type: Any.Type, _ value: WireValue, _ frame: Int) throws -> AnyObject? {
        guard let kept = containers.take(type) else { return nil }
        try kept.target.begin(self, value, frame: frame)
        return kept.box
    }
}
