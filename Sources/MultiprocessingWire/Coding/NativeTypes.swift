/// A type whose values the coder writes and reads itself, without their `encode(to:)` and `init(from:)`.
protocol NativeValue: Codable, SendableMetatype {
    /// Writes the value of this type that `pointer` points to.
    static func write(_ pointer: UnsafeRawPointer, to state: EncodingState) throws
    /// Writes it as an element of the unkeyed container on top.
    static func writeElement(_ pointer: UnsafeRawPointer, to state: EncodingState) throws
    /// Whether `read` can read the value; otherwise `init(from:)` has to do it.
    static func reads(_ value: WireValue, from state: DecodingState) -> Bool
    /// Reads a value of this type.
    static func read(_ value: WireValue, from state: DecodingState) throws -> Self
}

extension NativeValue {
    static func writeElement(_ pointer: UnsafeRawPointer, to state: EncodingState) throws {
        try state.unpack()
        try write(pointer, to: state)
        state.current.count += 1
    }

    static func reads(_ value: WireValue, from state: DecodingState) -> Bool { true }

    /// Reads a value of this type, which `Result` is. (No optional of `Result`: its metadata would be looked up.)
    static func read<Result>(as type: Result.Type, _ value: WireValue, from state: DecodingState) throws -> Result {
        precondition(type == Self.self)
        return unsafeBitCast(try read(value, from: state), to: Result.self)
    }
}

/// Which types are native, by the address of their metadata.
///
/// An open-addressing table made once, because a dynamic cast to a protocol with conditional conformances costs more
/// than the encoding of a small value.
final class NativeTypes: Sendable {
    static let shared = NativeTypes()

    private struct Slot: Sendable {
        var type: ObjectIdentifier?
        var native: any NativeValue.Type
        /// The tag that `BinaryEncoder.encodeSmall` goes by; 0 for types that it does not write.
        var small: UInt8
    }

    private static let bits = 9
    // Unsafe code: `1 << bits` initialised slots, never changed and, as the one instance lives forever, never freed.
    private nonisolated(unsafe) let slots: UnsafePointer<Slot>

    private init() {
        var types: [any NativeValue.Type] = [Bool.self, String.self]
        func add<Scalar: NativeValue & PackedElement>(_ type: Scalar.Type) {
            types.append(Scalar.self)
            types.append([Scalar].self)
            types.append(ContiguousArray<Scalar>.self)
        }
        add(Int.self)
        add(Int8.self)
        add(Int16.self)
        add(Int32.self)
        add(Int64.self)
        add(Int128.self)
        add(UInt.self)
        add(UInt8.self)
        add(UInt16.self)
        add(UInt32.self)
        add(UInt64.self)
        add(UInt128.self)
        add(Float.self)
        add(Double.self)
        types += [[Bool].self, [String].self, ContiguousArray<Bool>.self]
        let count = 1 << Self.bits
        let slots = UnsafeMutablePointer<Slot>.allocate(capacity: count)
        slots.initialize(repeating: Slot(type: nil, native: Bool.self, small: 0), count: count)
        for type in types {
            var position = Self.position(of: ObjectIdentifier(type))
            while slots[position].type != nil { position = (position + 1) & (count - 1) }
            slots[position] = Slot(type: ObjectIdentifier(type), native: type, small: Self.smallTag(type))
        }
        self.slots = UnsafePointer(slots)
    }

    @inline(__always)
    private static func position(of type: ObjectIdentifier) -> Int {
        Int(truncatingIfNeeded: (UInt(bitPattern: type) &* 0x9E37_79B9_7F4A_7C15) >> UInt(64 - bits))
    }

    private static func smallTag(_ type: any NativeValue.Type) -> UInt8 {
        if type == Bool.self { return WireTag.packedBool }
        if type == String.self { return WireTag.shortString }
        if type == [UInt8].self { return WireTag.packed }
        return (type as? any WireScalar.Type)?.wireTag ?? 0
    }

    /// The slot of `type`, or a free one.
    @inline(__always)
    private func slot(of type: Any.Type) -> UnsafePointer<Slot> {
        let wanted = ObjectIdentifier(type)
        var position = Self.position(of: wanted)
        while let found = slots[position].type, found != wanted {
            position = (position + 1) & (1 << Self.bits - 1)
        }
        return slots + position
    }

    @inline(__always)
    subscript(type: Any.Type) -> (any NativeValue.Type)? {
        let slot = slot(of: type)
        return slot.pointee.type == nil ? nil : slot.pointee.native
    }

    /// The tag of a type that is small by itself: a number's own, `packedBool`, `shortString`, or `packed` for bytes.
    @inline(__always)
    func small(_ type: Any.Type) -> UInt8 {
        slot(of: type).pointee.small
    }
}
