// The writing of tags, keys, numbers and texts. Every write makes room first and so keeps the size limit.

extension EncodingState {
    /// Makes room for `extra` bytes, unless the message then is larger than the limit.
    @inline(__always)
    func makeRoom(_ extra: Int) throws {
        if buffer.capacity - buffer.count < extra { try grow(extra) }
    }

    @inline(never)
    private func grow(_ extra: Int) throws {
        let (size, overflow) = (buffer.count + splicedBytes).addingReportingOverflow(extra)
        if overflow || size > min(limits.maximumBytes, WireFormat.maximumLength) {
            throw error(.sizeExceeded, "the message would exceed \(limits.maximumBytes) bytes")
        }
        buffer.reserve(extra)
    }

    // MARK: Values

    @inline(__always)
    func put<Scalar: WireScalar>(_ value: Scalar) throws {
        try makeRoom(1 + MemoryLayout<Scalar>.size)
        buffer.put(Scalar.wireTag)
        buffer.put(value)
    }

    @inline(__always)
    func put(_ value: Bool) throws {
        try put(tag: value ? WireTag.yes : WireTag.no)
    }

    func put(tag: UInt8) throws {
        try makeRoom(1)
        buffer.put(tag)
    }

    func put(_ value: String) throws {
        var text = value
        try text.withUTF8 { bytes in
            if bytes.count < Splice.minimumSize { try putText(bytes) }
        }
        if text.utf8.count >= Splice.minimumSize { try putLargeText(text) }
    }

    /// Writes a text that is copied when the message is put together.
    @inline(never)
    private func putLargeText(_ text: String) throws {
        try makeRoom(WireFormat.headerSize)
        let start = buffer.count
        buffer.put(WireFormat.header(tag: WireTag.string, length: 0))
        try spliceIn(LargeText(text: text), size: text.utf8.count, header: start)
    }

    private func putText(_ text: UnsafeBufferPointer<UInt8>) throws {
        try makeRoom(text.count + WireFormat.headerSize)
        if text.count <= Int(UInt8.max) {
            buffer.put(WireTag.shortString)
            buffer.put(UInt8(text.count))
        } else {
            buffer.put(WireFormat.header(tag: WireTag.string, length: text.count))
        }
        if let base = text.baseAddress { buffer.put(base, text.count) }
    }

    /// Writes any value: at once if it is of a type the format knows, else by its `encode(to:)`.
    func putValue<Value: Encodable>(_ value: Value) throws {
        if let native = nativeTypes[Value.self] {
            return try withUnsafePointer(to: value) { try native.write(UnsafeRawPointer($0), to: self) }
        }
        try putWalked(value)
    }

    /// Writes a value by its `encode(to:)`.
    func putWalked<Value: Encodable>(_ value: Value) throws {
        let enclosing = top
        try push(Value.self, floating: false)
        do {
            try value.encode(to: ValueEncoder(state: self, serial: currentSerial, index: top))
            if let pendingError { throw pendingError }
        } catch {
            dropFrames(above: enclosing)
            throw error
        }
        closeFrames(above: enclosing)
        if !sealed.isEmpty { dropSealed(above: enclosing) }
    }

    // MARK: Fields and elements

    /// Writes the name of the next field of the container on top, and makes `room` for its value.
    func putKey(_ name: String, room: Int = 0) throws {
        var name = name
        try name.withUTF8 { try putKeyText($0, room: room) }
    }

    /// Writes a field; takes it back if its value fails, so that the caller may catch the error and go on.
    func putField<Value: Encodable>(_ value: Value, _ name: String, isPayload: Bool) throws {
        let mark = mark
        do {
            try putKey(name)
            if let native = nativeTypes[Value.self] {
                try withUnsafePointer(to: value) { try native.write(UnsafeRawPointer($0), to: self) }
            } else {
                // An optional in an optional is written as `Optional` itself would write it.
                if isPayload, Value.self is any AnyOptional.Type { try put(tag: WireTag.some) }
                try putWalked(value)
            }
        } catch {
            rollBack(to: mark)
            throw error
        }
    }

    @inline(__always)
    private func putKeyText(_ text: UnsafeBufferPointer<UInt8>, room: Int) throws {
        try makeRoom(text.count + 5 + room)
        let bit = Self.maskBit(text)
        if current.keyMask & bit != 0 { lookForRepeat(of: text) }
        current.keyMask |= bit
        current.keyOffset = buffer.count
        current.count += 1
        if text.count < Int(WireFormat.longKey) {
            buffer.put(UInt8(text.count))
        } else {
            guard let length = UInt32(exactly: text.count) else {
                throw error(.sizeExceeded, "a key is longer than 4 GiB")
            }
            buffer.put(WireFormat.longKey)
            buffer.put(length)
        }
        if let base = text.baseAddress { buffer.put(base, text.count) }
    }

    /// Where the bytes and the splices end, to go back to when a value fails.
    struct Mark {
        var count: Int
        var splices: Int
        var splicedBytes: Int
        var keyOffset: Int
        var fields: Int
    }

    var mark: Mark {
        Mark(
            count: buffer.count,
            splices: splices.count,
            splicedBytes: splicedBytes,
            keyOffset: current.keyOffset,
            fields: current.count
        )
    }

    /// Takes back what was written since `mark`, so that a caller may catch the error and go on.
    func rollBack(to mark: Mark) {
        buffer.truncate(to: mark.count)
        splices.removeSubrange(mark.splices...)
        splicedBytes = mark.splicedBytes
        current.keyOffset = mark.keyOffset
        current.count = mark.fields
    }

    // MARK: Containers

    /// Makes the frame on top a keyed container, or finds that it is one already.
    func openKeyed() {
        switch current.kind {
        case .undecided:
            buffer.reserve(WireFormat.headerSize)
            buffer.put(UInt64(0))
            current.kind = .keyed
        case .keyed:
            break
        default:
            fail("a keyed container was asked for after another kind of container or a value")
        }
    }

    /// Makes the frame on top an unkeyed container, or finds that it is one already.
    func openUnkeyed() {
        switch current.kind {
        case .undecided:
            buffer.reserve(WireFormat.headerSize + WireFormat.elementInfoSize)
            buffer.put(UInt64(0))
            buffer.put(UInt32(0))
            current.kind = .unkeyed
        case .unkeyed, .packed:
            break
        default:
            fail("an unkeyed container was asked for after another kind of container or a value")
        }
    }

    /// Keeps an error for the next place that can throw.
    func fail(_ what: String) {
        if pendingError == nil { pendingError = error(.unsupported, what) }
    }
}
