// Messages of one number, Bool, text or array of bytes, written and read without any state: the same bytes as the general
// way gives, so either end may use either way.
//
// Unsafe code. A `SmallType` is only made for a type that `NativeTypes` found to be of its tag; only memory of a value of that type
// may be handed to it, which its callers see to. All values of such types have at most 16 bytes.

/// A type whose values make small messages by themselves: a number, Bool, text or `[UInt8]`.
///
/// Not generic: coding a value looks up no metadata and makes no calls through witness tables.
public struct SmallType: Sendable {
    /// As ``WireTag``; `packedBool` for Bool, `shortString` for texts, `packed` for `[UInt8]`.
    private let tag: UInt8

    /// Room for a value of any of these types.
    ///
    /// Instead of an optional value: what is generic would look up the optional's metadata each time.
    public struct Room {
        private var memory: UInt128 = 0

        /// Room for one value.
        public init() {}

        /// Has `body` decode a value into the room; what it returns says whether there is one now.
        @inline(__always)
        public mutating func fill(_ body: (UnsafeMutableRawPointer) throws -> Bool) rethrows -> Bool {
            try withUnsafeMutablePointer(to: &memory) { try body(UnsafeMutableRawPointer($0)) }
        }

        /// Moves the value out that was decoded. Once, and only as the type that it was decoded as.
        @inline(__always)
        public mutating func take<Value>(as type: Value.Type) -> Value {
            precondition(MemoryLayout<Value>.size <= MemoryLayout<UInt128>.size)
            return withUnsafeMutablePointer(to: &memory) {
                UnsafeMutableRawPointer($0).assumingMemoryBound(to: type).move()
            }
        }
    }

    /// A type's; nil for a type that is not of this sort. A few nanoseconds.
    public init?(_ type: Any.Type) {
        tag = NativeTypes.shared.small(type)
        if tag == 0 { return nil }
    }

    /// The size of a value's message in bytes, or a little more.
    ///
    /// - Parameter source: A value of this very type.
    public func messageSize(_ source: UnsafeRawPointer) -> Int {
        switch tag {
        case WireTag.shortString:
            1 + WireFormat.headerSize + source.assumingMemoryBound(to: String.self).pointee.utf8.count
        case WireTag.packed:
            1 + WireFormat.headerSize + WireFormat.elementInfoSize
                + source.assumingMemoryBound(to: [UInt8].self).pointee.count
        default: 2 + (WireTag.fixedSize(tag) ?? 0)
        }
    }

    /// Encodes a value as a message straight into memory; nil for lack of room.
    ///
    /// A few nanoseconds and the copy of the text or bytes. Does not allocate and does not block. The encoder's limits
    /// do not apply. What came out is the same as `BinaryEncoder.encode(_:)` gives, which is the way to go after nil.
    /// - Parameter source: A value of this very type.
    /// - Parameter target: Where the message begins; 18 bytes are enough for any number.
    /// - Returns: The size of the message in bytes.
    public func encode(_ source: UnsafeRawPointer, into target: UnsafeMutableRawBufferPointer) -> Int? {
        guard let base = target.baseAddress, target.count >= 2 else { return nil }
        switch tag {
        case WireTag.packedBool:
            base.storeBytes(of: WireFormat.version, as: UInt8.self)
            let tag = source.load(as: Bool.self) ? WireTag.yes : WireTag.no
            base.storeBytes(of: tag, toByteOffset: 1, as: UInt8.self)
            return 2
        case WireTag.shortString:
            return Self.putText(source.assumingMemoryBound(to: String.self).pointee, base, target.count)
        case WireTag.packed:
            return Self.putBytes(source.assumingMemoryBound(to: [UInt8].self).pointee, base, target.count)
        default:
            guard let size = WireTag.fixedSize(tag), target.count >= 2 + size else { return nil }
            base.storeBytes(of: UInt16(WireFormat.version) | UInt16(tag) << 8, as: UInt16.self)
            Self.copy(size, from: source, to: base + 2)
            return 2 + size
        }
    }

    /// Decodes a message into memory of a value that is not initialised yet; false, and nothing done, for anything unexpected.
    ///
    /// A few nanoseconds and the copy of the text or bytes, which is all that is allocated. Does not block. Safe while
    /// another process writes to `bytes`: see `DecodingState`. After false, `BinaryDecoder.decode(_:from:)` gives the value or the
    /// error: the message may still be good, by another encoder or of a type that is converted.
    /// - Parameter target: Room for a value of this very type.
    public func decode(_ bytes: UnsafeRawBufferPointer, into target: UnsafeMutableRawPointer) -> Bool {
        guard let base = bytes.baseAddress, bytes.count >= 2 else { return false }
        guard loadOnce(UInt8.self, base) == WireFormat.version else { return false }
        let found = loadOnce(UInt8.self, base + 1)
        switch tag {
        case WireTag.packedBool:
            guard bytes.count == 2, found == WireTag.yes || found == WireTag.no else { return false }
            target.initializeMemory(as: Bool.self, to: found == WireTag.yes)
        case WireTag.shortString:
            guard found == tag, bytes.count >= 3 else { return false }
            let length = bytes.count - 3
            guard Int(loadOnce(UInt8.self, base + 2)) == length else { return false }
            guard let text = String(copyingUTF8: base + 3, count: length) else { return false }
            target.initializeMemory(as: String.self, to: text)
        case WireTag.packed:
            let start = 1 + WireFormat.headerSize + WireFormat.elementInfoSize
            guard bytes.count >= start else { return false }
            let length = bytes.count - start
            let header = WireFormat.header(tag: tag, length: WireFormat.elementInfoSize + length)
            guard loadOnce(UInt64.self, base + 1) == header,
                loadOnce(UInt32.self, base + 1 + WireFormat.headerSize) == UInt32(WireTag.uint8)
            else { return false }
            let copy = [UInt8](UnsafeRawBufferPointer(rebasing: bytes[start...]))
            target.initializeMemory(as: [UInt8].self, to: copy)
        default:
            guard found == tag, let size = WireTag.fixedSize(tag), bytes.count == 2 + size else { return false }
            Self.copy(size, from: base + 2, to: target)
        }
        return true
    }

    /// Copies a number. Sizes that the compiler knows: a call of memcpy costs more than all the rest.
    @inline(__always)
    private static func copy(_ size: Int, from source: UnsafeRawPointer, to target: UnsafeMutableRawPointer) {
        switch size {
        case 8: target.storeBytes(of: source.loadUnaligned(as: UInt64.self), as: UInt64.self)
        case 4: target.storeBytes(of: source.loadUnaligned(as: UInt32.self), as: UInt32.self)
        case 2: target.storeBytes(of: source.loadUnaligned(as: UInt16.self), as: UInt16.self)
        case 1: target.storeBytes(of: source.loadUnaligned(as: UInt8.self), as: UInt8.self)
        default: target.copyMemory(from: source, byteCount: size)
        }
    }

    private static func putText(_ text: String, _ base: UnsafeMutableRawPointer, _ room: Int) -> Int? {
        var text = text
        return text.withUTF8 { text in
            let start = 1 + (text.count <= Int(UInt8.max) ? 2 : WireFormat.headerSize)
            guard room >= start, text.count <= room - start else { return nil }
            base.storeBytes(of: WireFormat.version, as: UInt8.self)
            if text.count <= Int(UInt8.max) {
                let header = UInt16(WireTag.shortString) | UInt16(text.count) << 8
                (base + 1).storeBytes(of: header, as: UInt16.self)
            } else {
                (base + 1).storeBytes(of: WireFormat.header(tag: WireTag.string, length: text.count), as: UInt64.self)
            }
            if let source = text.baseAddress { (base + start).copyMemory(from: source, byteCount: text.count) }
            return start + text.count
        }
    }

    private static func putBytes(_ bytes: [UInt8], _ base: UnsafeMutableRawPointer, _ room: Int) -> Int? {
        let start = 1 + WireFormat.headerSize + WireFormat.elementInfoSize
        guard room >= start, bytes.count <= room - start else { return nil }
        base.storeBytes(of: WireFormat.version, as: UInt8.self)
        let length = WireFormat.elementInfoSize + bytes.count
        (base + 1).storeBytes(of: WireFormat.header(tag: WireTag.packed, length: length), as: UInt64.self)
        (base + 1 + WireFormat.headerSize).storeBytes(of: UInt32(WireTag.uint8), as: UInt32.self)
        bytes.withUnsafeBytes { bytes in
            if let source = bytes.baseAddress { (base + start).copyMemory(from: source, byteCount: bytes.count) }
        }
        return start + bytes.count
    }
}

extension BinaryEncoder {
    /// Encodes a number, Bool, text or `[UInt8]` as a message straight into memory; nil for other types or lack of room.
    ///
    /// As ``SmallType/encode(_:into:)``.
    /// - Returns: The size of the message in bytes.
    public static func encodeSmall<Value: Encodable>(
        _ value: Value,
        into target: UnsafeMutableRawBufferPointer
    ) -> Int? {
        guard let type = SmallType(Value.self) else { return nil }
        return withUnsafePointer(to: value) { type.encode($0, into: target) }
    }
}

extension BinaryDecoder {
    /// Decodes a message of one number, Bool, text or `[UInt8]`; nil for other types, and for anything unexpected.
    ///
    /// As ``SmallType/decode(_:into:)``.
    public static func decodeSmall<Value: Decodable>(
        _ type: Value.Type = Value.self,
        from bytes: UnsafeRawBufferPointer
    ) -> Value? {
        guard let small = SmallType(type) else { return nil }
        var room = SmallType.Room()
        return room.fill { small.decode(bytes, into: $0) } ? room.take(as: type) : nil
    }
}
