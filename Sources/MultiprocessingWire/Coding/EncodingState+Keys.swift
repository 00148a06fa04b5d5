// Reading back what was written: keys for coding paths, and fields to find a key that is written again.
//
// A type may write a key twice, through one container or through two on the same encoder (a class and its superclass).
// The last one counts then, as in other coders; the decoder has to know, because it stops at the first one otherwise.

extension EncodingState {
    /// How many fields are compared; a container with more is taken to repeat a key on suspicion.
    private static let comparedFields = 32

    @inline(__always)
    static func maskBit(_ key: UnsafeBufferPointer<UInt8>) -> UInt64 {
        guard let first = key.first, let last = key.last else { return 1 }
        let mix = UInt64(first) &* 37 &+ UInt64(last) &* 101 &+ UInt64(key[key.count / 2]) &* 11
        return 1 << ((mix &+ UInt64(key.count)) & 63)
    }

    /// Marks the container on top as repeating if it has this key.
    @inline(never)
    func lookForRepeat(of key: UnsafeBufferPointer<UInt8>) {
        if current.repeats { return }
        guard current.count <= Self.comparedFields, current.hasHeader else {
            current.repeats = true
            return
        }
        let start = current.start + WireFormat.headerSize
        current.repeats = buffer.withUnsafeBytes { bytes in
            var position = start
            while position < bytes.count {
                let name = Self.key(in: bytes, at: position)
                if name.elementsEqual(UnsafeRawBufferPointer(key)) { return true }
                position = Self.end(in: bytes, at: name.endIndex)
            }
            return false
        }
    }

    /// The key that was written at `offset`.
    func key(at offset: Int) -> String {
        buffer.withUnsafeBytes { String(decoding: Self.key(in: $0, at: offset), as: UTF8.self) }
    }

    private static func key(in bytes: UnsafeRawBufferPointer, at offset: Int) -> Slice<UnsafeRawBufferPointer> {
        var start = offset + 1
        var length = Int(bytes[offset])
        if bytes[offset] == WireFormat.longKey {
            length = Int(bytes.loadUnaligned(fromByteOffset: start, as: UInt32.self))
            start += 4
        }
        return bytes[start..<(start + length)]
    }

    /// Where the value at `offset` ends, in bytes that this encoder wrote.
    private static func end(in bytes: UnsafeRawBufferPointer, at offset: Int) -> Int {
        var offset = offset
        while bytes[offset] == WireTag.some { offset += 1 }
        if let size = WireTag.fixedSize(bytes[offset]) { return offset + 1 + size }
        if bytes[offset] == WireTag.shortString { return offset + 2 + Int(bytes[offset + 1]) }
        let header = bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
        return offset + WireFormat.headerSize + Int(header >> 8)
    }
}
