// Messages of one number, Bool, text or array of bytes, written and read without any state: the same bytes as the general
// way gives, so either end may use either way.
//
// Unsafe code. `NativeTypes.small` tells the type of a value; only then is its memory taken for one of that type, by
// `unsafeBitCast` between types that were found to be the same or to be numbers of one size.

extension BinaryEncoder {
    /// Encodes a number, Bool, text or `[UInt8]` as a message straight into memory; nil for other types or lack of room.
    ///
    /// A few nanoseconds and the copy of the text or bytes. Does not allocate and does not block. The encoder's limits
    /// do not apply. What came out is the same as `encode(_:)` gives, which is the way to go after nil.
    /// - Parameter target: Where the message begins; 18 bytes are enough for any number.
    /// - Returns: The size of the message in bytes.
    public static func encodeSmall<Value: Encodable>(
        _ value: Value,
        into target: UnsafeMutableRawBufferPointer
    ) -> Int? {
        let tag = NativeTypes.shared.small(Value.self)
        guard tag != 0, let base = target.baseAddress, target.count >= 2 else { return nil }
        return withUnsafePointer(to: value) { pointer in
            let source = UnsafeRawPointer(pointer)
            switch tag {
            case WireTag.packedBool:
                base.storeBytes(of: WireFormat.version, as: UInt8.self)
                let tag = source.load(as: Bool.self) ? WireTag.yes : WireTag.no
                base.storeBytes(of: tag, toByteOffset: 1, as: UInt8.self)
                return 2
            case WireTag.shortString:
                return putText(source.assumingMemoryBound(to: String.self).pointee, base, target.count)
            case WireTag.packed:
                return putBytes(source.assumingMemoryBound(to: [UInt8].self).pointee, base, target.count)
            default:
                let size = MemoryLayout<Value>.size
                guard target.count >= 2 + size else { return nil }
                base.storeBytes(of: UInt16(WireFormat.version) | UInt16(tag) << 8, as: UInt16.self)
                // Sizes that the compiler knows: a call of memcpy costs more than all the rest.
                switch size {
                case 8: (base + 2).storeBytes(of: source.load(as: UInt64.self), as: UInt64.self)
                case 4: (base + 2).storeBytes(of: source.load(as: UInt32.self), as: UInt32.self)
                case 1: (base + 2).storeBytes(of: source.load(as: UInt8.self), as: UInt8.self)
                case 2: (base + 2).storeBytes(of: source.load(as: UInt16.self), as: UInt16.self)
                default: (base + 2).copyMemory(from: source, byteCount: size)
                }
                return 2 + size
            }
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

extension BinaryDecoder {
    /// Decodes a message of one number, Bool, text or `[UInt8]`; nil for other types, and for anything unexpected.
    ///
    /// A few nanoseconds and the copy of the text or bytes, which is all that is allocated. Does not block. Safe while
    /// another process writes to `bytes`: see `DecodingState`. After nil, `decode(_:from:)` gives the value or the
    /// error: the message may still be good, by another encoder or of a type that is converted.
    public static func decodeSmall<Value: Decodable>(
        _ type: Value.Type = Value.self,
        from bytes: UnsafeRawBufferPointer
    ) -> Value? {
        let tag = NativeTypes.shared.small(type)
        guard tag != 0, let base = bytes.baseAddress, bytes.count >= 2 else { return nil }
        guard loadOnce(UInt8.self, base) == WireFormat.version else { return nil }
        let found = loadOnce(UInt8.self, base + 1)
        switch tag {
        case WireTag.packedBool:
            guard bytes.count == 2, found == WireTag.yes || found == WireTag.no else { return nil }
            return unsafeBitCast(found == WireTag.yes, to: type)
        case WireTag.shortString:
            guard found == tag, bytes.count >= 3 else { return nil }
            let length = bytes.count - 3
            guard Int(loadOnce(UInt8.self, base + 2)) == length else { return nil }
            guard let text = String(copyingUTF8: base + 3, count: length) else { return nil }
            return unsafeBitCast(text, to: type)
        case WireTag.packed:
            let start = 1 + WireFormat.headerSize + WireFormat.elementInfoSize
            guard bytes.count >= start else { return nil }
            let length = bytes.count - start
            let header = WireFormat.header(tag: tag, length: WireFormat.elementInfoSize + length)
            guard loadOnce(UInt64.self, base + 1) == header,
                loadOnce(UInt32.self, base + 1 + WireFormat.headerSize) == UInt32(WireTag.uint8)
            else { return nil }
            let copy = [UInt8](UnsafeRawBufferPointer(rebasing: bytes[start...]))
            return unsafeBitCast(copy, to: type)
        default:
            let size = MemoryLayout<Value>.size
            guard found == tag, bytes.count == 2 + size else { return nil }
            let source = base + 2
            switch size {
            case 8: return unsafeBitCast(source.loadUnaligned(as: UInt64.self), to: type)
            case 4: return unsafeBitCast(source.loadUnaligned(as: UInt32.self), to: type)
            case 2: return unsafeBitCast(source.loadUnaligned(as: UInt16.self), to: type)
            case 1: return unsafeBitCast(source.loadUnaligned(as: UInt8.self), to: type)
            default: return unsafeBitCast(source.loadUnaligned(as: UInt128.self), to: type)
            }
        }
    }
}
