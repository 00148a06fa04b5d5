extension NativeValue where Self: WireScalar {
    static func write(_ pointer: UnsafeRawPointer, to state: EncodingState) throws {
        try state.put(pointer.load(as: Self.self))
    }

    static func writeElement(_ pointer: UnsafeRawPointer, to state: EncodingState) throws {
        try state.putElement(pointer.load(as: Self.self))
    }

    static func read(_ value: WireValue, from state: DecodingState) throws -> Self? {
        try state.scalar(Self.self, value)
    }
}

extension Int: NativeValue {}
extension Int8: NativeValue {}
extension Int16: NativeValue {}
extension Int32: NativeValue {}
extension Int64: NativeValue {}
extension Int128: NativeValue {}
extension UInt: NativeValue {}
extension UInt8: NativeValue {}
extension UInt16: NativeValue {}
extension UInt32: NativeValue {}
extension UInt64: NativeValue {}
extension UInt128: NativeValue {}
extension Float: NativeValue {}
extension Double: NativeValue {}

extension Bool: NativeValue {
    static func write(_ pointer: UnsafeRawPointer, to state: EncodingState) throws {
        try state.put(pointer.load(as: Bool.self))
    }

    static func read(_ value: WireValue, from state: DecodingState) throws -> Bool? {
        try state.bool(value)
    }
}

extension String: NativeValue {
    static func write(_ pointer: UnsafeRawPointer, to state: EncodingState) throws {
        try state.put(pointer.load(as: String.self))
    }

    static func read(_ value: WireValue, from state: DecodingState) throws -> String? {
        try state.string(value)
    }
}

/// What may be an element of an array that is copied: numbers, and Bool, whose bytes are checked.
protocol PackedElement: Codable, BitwiseCopyable {
    static var packedTag: UInt8 { get }
}

extension WireScalar {
    static var packedTag: UInt8 { wireTag }
}

extension Int: PackedElement {}
extension Int8: PackedElement {}
extension Int16: PackedElement {}
extension Int32: PackedElement {}
extension Int64: PackedElement {}
extension Int128: PackedElement {}
extension UInt: PackedElement {}
extension UInt8: PackedElement {}
extension UInt16: PackedElement {}
extension UInt32: PackedElement {}
extension UInt64: PackedElement {}
extension UInt128: PackedElement {}
extension Float: PackedElement {}
extension Double: PackedElement {}
extension Bool: PackedElement { static var packedTag: UInt8 { WireTag.packedBool } }

extension Array: NativeValue where Element: PackedElement {
    static func write(_ pointer: UnsafeRawPointer, to state: EncodingState) throws {
        try state.putArray(
            pointer.load(as: Self.self),
            element: Element.packedTag,
            elementSize: MemoryLayout<Element>.stride
        )
    }

    static func read(_ value: WireValue, from state: DecodingState) throws -> Self? {
        guard let bytes = try state.packedBytes(value, of: Element.self) else { return nil }
        let count = bytes.count / MemoryLayout<Element>.stride
        return Self(unsafeUninitializedCapacity: count) { target, initialized in
            UnsafeMutableRawBufferPointer(target).copyMemory(from: bytes)
            initialized = count
        }
    }
}

extension ContiguousArray: NativeValue where Element: PackedElement {
    static func write(_ pointer: UnsafeRawPointer, to state: EncodingState) throws {
        try state.putArray(
            pointer.load(as: Self.self),
            element: Element.packedTag,
            elementSize: MemoryLayout<Element>.stride
        )
    }

    static func read(_ value: WireValue, from state: DecodingState) throws -> Self? {
        guard let bytes = try state.packedBytes(value, of: Element.self) else { return nil }
        let count = bytes.count / MemoryLayout<Element>.stride
        return Self(unsafeUninitializedCapacity: count) { target, initialized in
            UnsafeMutableRawBufferPointer(target).copyMemory(from: bytes)
            initialized = count
        }
    }
}
