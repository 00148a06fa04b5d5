// Making a keyed container asks the runtime for the metadata of three generic types and allocates a box. A state therefore
// keeps the boxes that it made, by the type of the keys, and gives one out again when nobody else has it any more.
//
// Unsafe code. A `KeyedEncodingContainer` or `KeyedDecodingContainer` is one reference to a box; where its size says otherwise, none
// is kept. Only a box that was made for the same type of keys is taken for a container of that type: by the same conformance,
// too, because two modules may each have made one and the same type a `CodingKey`. An existential metatype is the addresses of both.

/// A type of keys, to be compared without a look at its metadata.
private struct KeyType: Equatable {
    let type: UInt
    let conformance: UInt

    @inline(__always)
    init(_ type: any CodingKey.Type) {
        // As the existential that it is: without the `as`, the metatype in it would be passed.
        (self.type, conformance) = unsafeBitCast(type as any CodingKey.Type, to: (UInt, UInt).self)
    }
}

/// The boxes of one state.
struct KeptContainers<Target: AnyObject>: ~Copyable {
    private struct Slot {
        /// First, so that the address of the slot is that of the reference.
        var box: AnyObject?
        var target: Target?
        var keyType: KeyType?
    }

    private static var count: Int { 8 }
    // Initialised slots, owned by this value alone.
    private let slots: UnsafeMutablePointer<Slot>

    init() {
        slots = .allocate(capacity: Self.count)
        slots.initialize(repeating: Slot(), count: Self.count)
    }

    deinit {
        slots.deinitialize(count: Self.count)
        slots.deallocate()
    }

    @inline(__always)
    private func slot(of keyType: KeyType) -> UnsafeMutablePointer<Slot> {
        slots + Int(truncatingIfNeeded: (keyType.type &* 0x9E37_79B9_7F4A_7C15) >> 61)
    }

    /// Where the box for this type of keys is, if nobody else has it, after `body` has prepared what it refers to.
    @inline(__always)
    func take(_ keyType: any CodingKey.Type, _ body: (Target) throws -> Void) rethrows -> UnsafeRawPointer? {
        let keyType = KeyType(keyType)
        let slot = slot(of: keyType)
        guard slot.pointee.keyType == keyType, isKnownUniquelyReferenced(&slot.pointee.box) else {
            return nil
        }
        if let target = slot.pointee.target { try body(target) }
        return UnsafeRawPointer(slot)
    }

    /// Keeps a container's box, unless its place is taken by one that is in use.
    @inline(never)
    func keep<Container>(_ container: Container, _ target: Target, _ keyType: any CodingKey.Type) -> Bool {
        guard MemoryLayout<Container>.size == MemoryLayout<AnyObject>.size else { return false }
        let keyType = KeyType(keyType)
        let slot = slot(of: keyType)
        if slot.pointee.box != nil, !isKnownUniquelyReferenced(&slot.pointee.box) { return false }
        let box = withUnsafePointer(to: container) { UnsafeRawPointer($0).load(as: AnyObject.self) }
        slot.pointee = Slot(box: box, target: target, keyType: keyType)
        return true
    }

    /// Calls `body` with what each container refers to.
    @inline(__always)
    func forEach(_ body: (Target) -> Void) {
        for position in 0..<Self.count {
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

    /// Makes the value that `serial` names a keyed container and tells where the box of one that was used before is; nil if
    /// that value is not the innermost one, is something else already, or no box is free.
    @inline(never)
    func keptBox(keyedBy type: any CodingKey.Type, _ serial: Int) -> UnsafeRawPointer? {
        guard serial == currentSerial, current.kind == .undecided || current.kind == .keyed else { return nil }
        return containers.take(type) { target in
            openKeyed()
            target.state = .passUnretained(self)
            target.serial = serial
            target.index = top
        }
    }
}

extension DecodingState {
    /// Where the box of a keyed container that was used before is, which is now that of `value`; nil if none is free.
    @inline(never)
    func keptBox(keyedBy type: any CodingKey.Type, _ value: WireValue, _ frame: Int) throws -> UnsafeRawPointer? {
        try containers.take(type) { try $0.begin(self, value, frame: frame) }
    }
}
