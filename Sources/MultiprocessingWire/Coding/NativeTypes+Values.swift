extension NativeValue where Self: WireScalar {
    static func write(_ pointer: UnsafeRawPointer, to state: EncodingState) throws {
        try state.put(pointer.load(as: Self.self))
    }

    static func writeElement(_ pointer: UnsafeRawPointer, to state: EncodingState) throws {
        try state.putElement(pointer.load(as: Self.self))
    }

    static func read(_ value: WireValue, from state: DecodingState) throws -> Self {
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

    static func read(_ value: WireValue, from state: DecodingState) throws -> Bool {
        try state.bool(value)
    }
}

extension String: NativeValue {
    static func write(_ pointer: UnsafeRawPointer, to state: EncodingState) throws {
        try state.put(pointer.load(as: String.self))
    }

    static func read(_ value: WireValue, from state: DecodingState) throws -> String {
        try state.string(value)
    }
}
