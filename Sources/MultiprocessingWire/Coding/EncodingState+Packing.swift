// Elements of one fixed-size type are written without tags, as long as nothing else comes into the container.

extension EncodingState {
    /// Writes an element without its tag if the container on top allows it.
    @inline(__always)
    func putElement<Scalar: WireScalar>(_ value: Scalar) throws {
        if current.kind == .packed, current.element == Scalar.wireTag {
            try makeRoom(MemoryLayout<Scalar>.size)
            buffer.put(value)
        } else if current.kind == .unkeyed, current.count == 0, current.hasHeader {
            try makeRoom(MemoryLayout<Scalar>.size)
            current.kind = .packed
            current.element = Scalar.wireTag
            buffer.put(value)
        } else {
            try unpack()
            try put(value)
        }
        current.count += 1
    }

    /// Writes many elements without their tags, at one go, if the container on top allows it.
    func putElements<Scalar: WireScalar>(_ values: UnsafeBufferPointer<Scalar>) throws {
        guard let base = values.baseAddress, !values.isEmpty else { return }
        let packs = current.kind == .packed && current.element == Scalar.wireTag
        guard packs || (current.kind == .unkeyed && current.count == 0 && current.hasHeader) else {
            for value in values { try putElement(value) }
            return
        }
        let size = values.count * MemoryLayout<Scalar>.stride
        try makeRoom(size)
        current.kind = .packed
        current.element = Scalar.wireTag
        buffer.put(base, size)
        current.count += values.count
    }

    /// Gives the elements of a packed container their tags, because something else is about to follow.
    func unpack() throws {
        guard current.kind == .packed else { return }
        let frame = current
        let size = WireTag.packedSize(frame.element)!
        let start = frame.start + WireFormat.headerSize + WireFormat.elementInfoSize
        try makeRoom(frame.count)
        buffer.spread(from: start, elements: frame.count, size: size, tag: frame.element)
        current.kind = .unkeyed
    }

    /// Writes a whole array as one packed container; a large one is copied when the message is put together.
    func putArray(_ values: some PackedCollection, element: UInt8, elementSize: Int) throws {
        let size = values.count * elementSize
        try makeRoom(WireFormat.headerSize + WireFormat.elementInfoSize)
        let start = buffer.count
        let length = WireFormat.elementInfoSize + size
        if size >= Splice.minimumSize {
            buffer.put(WireFormat.header(tag: WireTag.packed, length: WireFormat.elementInfoSize))
            buffer.put(UInt32(element))
            try spliceIn(values, size: size, header: start)
        } else {
            buffer.put(WireFormat.header(tag: WireTag.packed, length: length))
            buffer.put(UInt32(element))
            try makeRoom(size)
            values.withUnsafeBytes { buffer.append($0) }
        }
    }
}

extension WireBuffer {
    /// Puts `tag` in front of each of the last `elements` values of `size` bytes; the caller has reserved the room.
    mutating func spread(from start: Int, elements: Int, size: Int, tag: UInt8) {
        precondition(start + elements * size == count && capacity - count >= elements)
        // Backwards: each value moves up by the number of tags in front of it, onto bytes that were moved before.
        for index in (0..<elements).reversed() {
            let target = base + start + index * (size + 1)
            (target + 1).copyMemory(from: base + start + index * size, byteCount: size)
            target.storeBytes(of: tag, as: UInt8.self)
        }
        forward(by: elements)
    }
}
