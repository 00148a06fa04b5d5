internal import _MultiprocessingShims

// The reading of tags, keys, numbers and texts. Every length is loaded once (see `loadOnce`) and checked against its
// container's end before it is used; the payloads of numbers are never checked, so they are loaded as they come.

extension DecodingState {
    func bytes(_ start: Int, _ length: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: base + start, count: length)
    }

    @inline(__always)
    func load<Value: BitwiseCopyable>(_ type: Value.Type, _ offset: Int) -> Value {
        (base + offset).loadUnaligned(fromByteOffset: 0, as: type)
    }

    func truncated(at offset: Int) -> WireError {
        error(.truncated, "the bytes end inside a value", at: offset)
    }

    /// The value whose tag is at `offset`.
    @inline(__always)
    func value(at offset: Int, limit: Int) throws -> WireValue {
        guard offset < limit else { throw truncated(at: offset) }
        return WireValue(tag: loadOnce(UInt8.self, base + offset), payload: offset + 1, limit: limit)
    }

    /// A value without the marks of nested optionals.
    @inline(__always)
    func stripped(_ value: WireValue) throws -> WireValue {
        value.tag == WireTag.some ? try strippedOfAll(value) : value
    }

    @inline(never)
    private func strippedOfAll(_ value: WireValue) throws -> WireValue {
        var (value, marks) = (value, 0)
        while value.tag == WireTag.some {
            marks += 1
            if marks > limits.maximumDepth { throw error(.depthExceeded, "too many optionals", at: value.payload) }
            value = try self.value(at: value.payload, limit: value.limit)
        }
        return value
    }

    /// The length behind the tag of a text or container, and where its content starts.
    @inline(__always)
    func content(of value: WireValue) throws -> (start: Int, length: Int) {
        let start = value.payload + WireFormat.headerSize - 1
        guard start <= value.limit else { throw truncated(at: value.payload) }
        let length = Int(loadOnce(UInt64.self, base + value.payload - 1) >> 8)
        guard length <= value.limit - start else { throw truncated(at: value.payload) }
        return (start, length)
    }

    /// Where the value ends.
    @inline(__always)
    func end(of value: WireValue) throws -> Int {
        let size = Int(Self.sizes[Int(value.tag & 0x3F)])
        if size > 0, value.tag < 0x40, size - 1 <= value.limit - value.payload { return value.payload + size - 1 }
        return try endOfOther(value)
    }

    /// One more than the payload's size for tags of fixed size, by tag; 0 for others.
    private static let sizes = InlineArray<64, UInt8> { tag in
        UInt8(WireTag.fixedSize(UInt8(tag)).map { $0 + 1 } ?? 0)
    }

    private func endOfOther(_ value: WireValue) throws -> Int {
        let value = try stripped(value)
        let end: Int
        if let size = WireTag.fixedSize(value.tag) {
            end = value.payload + size
        } else if value.tag == WireTag.shortString {
            guard value.payload < value.limit else { throw truncated(at: value.payload) }
            end = value.payload + 1 + Int(loadOnce(UInt8.self, base + value.payload))
        } else if value.tag >= WireTag.string, value.tag <= WireTag.packed {
            let (start, length) = try content(of: value)
            end = start + length
        } else {
            throw error(.malformed, "unknown tag \(value.tag)", at: value.payload - 1)
        }
        guard end <= value.limit else { throw truncated(at: value.payload) }
        return end
    }

    // MARK: Scalars and texts

    @inline(__always)
    func scalar<Scalar: WireScalar>(_ type: Scalar.Type, _ value: WireValue) throws -> Scalar {
        if value.tag == Scalar.wireTag, value.limit - value.payload >= MemoryLayout<Scalar>.size {
            return load(Scalar.self, value.payload)
        }
        return try convertedScalar(type, value)
    }

    @inline(never)
    private func convertedScalar<Scalar: WireScalar>(_ type: Scalar.Type, _ value: WireValue) throws -> Scalar {
        let value = try stripped(value)
        guard let size = WireTag.fixedSize(value.tag) else { throw mismatch(type, value) }
        guard value.limit - value.payload >= size else { throw truncated(at: value.payload) }
        let number: WireNumber
        switch value.tag {
        case Scalar.wireTag: return load(Scalar.self, value.payload)
        case WireTag.int8: number = .signed(Int128(load(Int8.self, value.payload)))
        case WireTag.int16: number = .signed(Int128(load(Int16.self, value.payload)))
        case WireTag.int32: number = .signed(Int128(load(Int32.self, value.payload)))
        case WireTag.int64: number = .signed(Int128(load(Int64.self, value.payload)))
        case WireTag.int128: number = .signed(load(Int128.self, value.payload))
        case WireTag.uint8: number = .unsigned(UInt128(load(UInt8.self, value.payload)))
        case WireTag.uint16: number = .unsigned(UInt128(load(UInt16.self, value.payload)))
        case WireTag.uint32: number = .unsigned(UInt128(load(UInt32.self, value.payload)))
        case WireTag.uint64: number = .unsigned(UInt128(load(UInt64.self, value.payload)))
        case WireTag.uint128: number = .unsigned(load(UInt128.self, value.payload))
        case WireTag.float: number = .floating(Double(load(Float.self, value.payload)))
        case WireTag.double: number = .floating(load(Double.self, value.payload))
        default: throw mismatch(type, value)
        }
        guard let result = Scalar.fitting(number) else {
            let what = "the number does not fit \(type)"
            throw DecodingError.dataCorrupted(
                DecodingError.Context(
                    codingPath: codingPath(parent: parent, place: place),
                    debugDescription: what,
                    underlyingError: error(.typeMismatch, what, at: value.payload - 1)
                )
            )
        }
        return result
    }

    @inline(__always)
    func bool(_ value: WireValue) throws -> Bool {
        let value = try stripped(value)
        if value.tag == WireTag.yes { return true }
        if value.tag == WireTag.no { return false }
        throw mismatch(Bool.self, value)
    }

    @inline(__always)
    func string(_ value: WireValue) throws -> String {
        let value = try stripped(value)
        var (start, length) = (value.payload, 0)
        if value.tag == WireTag.shortString {
            guard start < value.limit else { throw truncated(at: start) }
            length = Int(loadOnce(UInt8.self, base + start))
            start += 1
            guard length <= value.limit - start else { throw truncated(at: start) }
        } else if value.tag == WireTag.string {
            (start, length) = try content(of: value)
        } else {
            throw mismatch(String.self, value)
        }
        try charge(length, parent: parent, place: place)
        return try text(start, length)
    }

    /// The text in the bytes, if they are UTF-8.
    func text(_ start: Int, _ length: Int) throws -> String {
        guard let text = String(copyingUTF8: base + start, count: length) else {
            throw error(.invalidText, "a text is not UTF-8", at: start)
        }
        return text
    }

    // MARK: Containers

    /// Where the fields of a keyed container are.
    func fields(of value: WireValue) throws -> (start: Int, end: Int, repeats: Bool) {
        let value = try stripped(value)
        switch value.tag {
        case WireTag.keyed, WireTag.keyedRepeating:
            let (start, length) = try content(of: value)
            return (start, start + length, value.tag == WireTag.keyedRepeating)
        case WireTag.empty:
            return (value.payload, value.payload, false)
        default:
            throw mismatch([String: Any].self, value)
        }
    }

    /// What an unkeyed or packed container holds; `tag` is that of packed elements, 0 if each has its own.
    struct Elements {
        var start: Int
        var end: Int
        var count: Int?
        var tag: UInt8
        var size: Int
    }

    func elements(of value: WireValue) throws -> Elements {
        let value = try stripped(value)
        if value.tag == WireTag.empty {
            return Elements(start: value.payload, end: value.payload, count: 0, tag: 0, size: 0)
        }
        guard value.tag == WireTag.unkeyed || value.tag == WireTag.packed else { throw mismatch([Any].self, value) }
        let (header, length) = try content(of: value)
        guard length >= WireFormat.elementInfoSize else { throw truncated(at: header) }
        let info = loadOnce(UInt32.self, base + header)
        let start = header + WireFormat.elementInfoSize
        let size = length - WireFormat.elementInfoSize
        if value.tag == WireTag.unkeyed {
            // Each element has a tag at least.
            guard info == WireFormat.unknownCount || Int(info) <= size else {
                throw error(.malformed, "a count exceeds its container", at: header)
            }
            let count = info == WireFormat.unknownCount ? nil : Int(info)
            return Elements(start: start, end: start + size, count: count, tag: 0, size: 0)
        }
        guard let tag = UInt8(exactly: info), let stride = WireTag.packedSize(tag), size % stride == 0 else {
            throw error(.malformed, "a packed container's element is unknown or cut", at: header)
        }
        return Elements(start: start, end: start + size, count: size / stride, tag: tag, size: stride)
    }

    /// Whether the value is a packed container of this element, complete or not.
    func isPacked(_ value: WireValue, of tag: UInt8) -> Bool {
        let info = value.payload + WireFormat.headerSize - 1
        return value.tag == WireTag.packed && value.limit - info >= WireFormat.elementInfoSize
            && load(UInt32.self, info) == UInt32(tag)
    }

    /// The bytes of a packed container of this element, paid for; those of Bools are still to be checked.
    func packedBytes<Element: PackedElement>(
        _ value: WireValue,
        of type: Element.Type
    ) throws -> UnsafeRawBufferPointer {
        let elements = try elements(of: value)
        guard elements.tag == Element.packedTag else { throw mismatch([Element].self, value) }
        let size = elements.end - elements.start
        try charge(size, parent: parent, place: place)
        return bytes(elements.start, size)
    }

    /// From here on an array's memory is a mapping of its own (glibc's `malloc` never takes so much from its heap), which is fresh:
    /// with large pages, a copy into it takes a quarter of the time.
    private static var largeSize: Int { 32 << 20 }

    /// Copies the bytes of a packed container to where its elements are wanted, and then checks the copies of Bools.
    func copyPacked<Element: PackedElement>(
        _ bytes: UnsafeRawBufferPointer,
        to target: UnsafeMutableBufferPointer<Element>
    ) throws {
        let target = UnsafeMutableRawBufferPointer(target)
        if target.count >= Self.largeSize, let base = target.baseAddress { _mp_prefer_large_pages(base, target.count) }
        target.copyMemory(from: bytes)
        if Element.packedTag == WireTag.packedBool, target.contains(where: { $0 > 1 }) {
            throw error(.malformed, "a Bool is neither 0 nor 1")
        }
    }

    // MARK: Keys

    /// The text of the key at `offset`, and where its value is.
    @inline(__always)
    func key(at offset: Int, limit: Int) throws -> (start: Int, length: Int) {
        guard offset < limit else { throw truncated(at: offset) }
        var length = Int(loadOnce(UInt8.self, base + offset))
        var start = offset + 1
        if length == Int(WireFormat.longKey) {
            guard limit - start >= 4 else { throw truncated(at: offset) }
            length = Int(loadOnce(UInt32.self, base + start))
            start += 4
        }
        guard length <= limit - start else { throw truncated(at: offset) }
        return (start, length)
    }
}

extension WireTag {
    /// What errors call a tag.
    static func name(_ tag: UInt8) -> String {
        switch tag {
        case empty: "nothing"
        case null: "nil"
        case no, yes: "a Bool"
        case shortString, string: "a String"
        case keyed, keyedRepeating: "a keyed container"
        case unkeyed, packed: "an unkeyed container"
        case int8...double: "a number"
        default: "an unknown tag \(tag)"
        }
    }
}
