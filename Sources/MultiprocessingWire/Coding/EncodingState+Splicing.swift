// Bytes that are not in the buffer although they belong into the middle of it: large arrays and texts, which are copied
// once, when the message is put together, and the late parts of containers that were written to after their parent went on.

/// What is inserted at one place of the buffer.
struct Splice {
    /// Smaller arrays and texts are copied into the buffer at once.
    static let minimumSize = 16 << 10

    enum Content {
        case array(any PackedCollection, size: Int)
        /// More fields or elements of a container that was sealed; the first of `headers` is its own.
        case continuation(EncodingState)
        /// A whole value, in place of the byte that stands for an empty one.
        case value(EncodingState)
    }

    var position: Int
    /// Order among the splices at one position: arrays, then what ends there (innermost first), then what starts there.
    var rank: Int
    var content: Content
    /// Where the headers are whose length grows with this splice.
    var headers: [Int]
}

/// A container whose parent went on, with what is needed in case somebody still writes to it.
struct SealedContainer {
    var serial: Int
    /// The value in whose encoding it was opened; once that has ended it stays closed.
    var activation: Int
    var kind: EncodingFrame.Kind
    var count: Int
    var valueType: Any.Type
    var start: Int
    var end: Int
    var index: Int
    /// The serial of the container that it is in.
    var parent: Int
    /// The position of its key in there, or -1 - its index; paths are only made when somebody asks.
    var place: Int
    var side: EncodingState?
}

extension EncodingState {
    /// The serial of the innermost value that is being encoded by an `encode(to:)`.
    private var activation: Int {
        var index = top
        while index > 0, frames[index].isFloating { index -= 1 }
        return index < 0 ? 0 : frames[index].serial
    }

    /// Where the headers of the open containers up to frame `index` are.
    private func openHeaders(upTo index: Int) -> [Int] {
        guard index >= 0 else { return [] }
        return (0...index).filter { frames[$0].hasHeader && Self.growing.contains(frames[$0].kind) }
            .map { frames[$0].start }
    }

    private static let growing: Set<EncodingFrame.Kind> = [.keyed, .unkeyed]

    /// Ends the floating containers above `index`, and remembers them.
    func sealFrames(above index: Int) {
        let activation = activation
        while top > index {
            // What goes on later goes on with tags.
            try? unpack()
            closeTop()
            let frame = current
            sealed.append(
                SealedContainer(
                    serial: frame.serial,
                    activation: activation,
                    kind: frame.kind,
                    count: frame.count,
                    valueType: frame.valueType,
                    start: frame.start,
                    end: buffer.count,
                    index: top,
                    parent: top > 0 ? frames[top - 1].serial : 0,
                    place: placeOfTop,
                    side: nil
                )
            )
            dropFrames(above: top - 1)
        }
    }

    /// Where the innermost container is in its parent: see `SealedContainer.place`.
    private var placeOfTop: Int {
        guard top > 0 else { return -1 }
        let parent = frames[top - 1]
        return parent.kind == .keyed ? parent.keyOffset : -parent.count
    }

    /// Where the headers of a container and of those around it are, whether they are open or sealed.
    private func headers(of serial: Int, _ index: Int) -> [Int] {
        if index >= 0, index <= top, frames[index].serial == serial { return openHeaders(upTo: index) }
        guard let container = sealed.last(where: { $0.serial == serial }) else { return [] }
        let outer = headers(of: container.parent, container.index - 1)
        return Self.growing.contains(container.kind) ? [container.start] + outer : outer
    }

    /// The keys that lead to a sealed container.
    func codingPath(of container: SealedContainer) -> [any CodingKey] {
        let key =
            container.place < 0
            ? WireKey(intValue: -1 - container.place) : WireKey(stringValue: key(at: container.place))
        return codingPath(of: container.parent, container.index - 1) + [key]
    }

    /// Forgets sealed containers when the value in which they were opened has ended.
    func dropSealed(above index: Int) {
        while let last = sealed.last, last.index > index { sealed.removeLast() }
    }

    /// The place to write to for a sealed container; nil if there is no such container.
    func reopen(_ serial: Int) throws -> EncodingState? {
        guard let position = sealed.lastIndex(where: { $0.serial == serial }) else { return nil }
        let container = sealed[position]
        guard container.activation == activation, container.kind != .single else { return nil }
        if let side = container.side {
            try side.endInnerFrames()
            return side
        }
        let side = EncodingState(
            buffer: WireBuffer(),
            limits: limits,
            userInfo: userInfo,
            outerPath: codingPath(of: container),
            outerDepth: container.index
        )
        side.pushUnchecked(container.valueType, floating: false)
        var splice = Splice(
            position: container.end,
            rank: Int.max - 1 - container.index,
            content: .continuation(side),
            headers: headers(of: serial, container.index)
        )
        switch container.kind {
        case .undecided:
            splice.position = container.start
            splice.rank = .max
            splice.content = .value(side)
        default:
            side.current.kind = container.kind
            side.current.count = container.count
            side.current.hasHeader = false
        }
        sealed[position].side = side
        splices.append(splice)
        return side
    }

    /// Makes the first frame the innermost one, unless one of its values is being encoded: that would be cut off.
    private func endInnerFrames() throws {
        guard top > 0 else { return }
        try requireFloating(above: 0)
        sealFrames(above: 0)
    }

    /// Keeps an array until the message is put together.
    func spliceIn(_ values: some PackedCollection, size: Int, header: Int) throws {
        let (total, overflow) = (buffer.count + splicedBytes).addingReportingOverflow(size)
        if overflow || total > min(limits.maximumBytes, WireFormat.maximumLength) {
            throw error(.sizeExceeded, "the message would exceed \(limits.maximumBytes) bytes")
        }
        splicedBytes += size
        splices.append(
            Splice(
                position: buffer.count,
                rank: 0,
                content: .array(values, size: size),
                headers: openHeaders(upTo: top) + [header]
            )
        )
    }

    // MARK: Putting the message together

    /// Ends what is open, adds the splices to the lengths, and tells how large the message is.
    func finish() throws -> Int {
        if let pendingError { throw pendingError }
        closeFrames(above: -1)
        var total = buffer.count
        // Room that is there from the start is not asked for, so what fits into it has not been counted yet.
        guard total <= limits.maximumBytes else {
            throw error(.sizeExceeded, "the message would exceed \(limits.maximumBytes) bytes")
        }
        guard !splices.isEmpty else { return total }
        splices.sort { ($0.position, $0.rank) < ($1.position, $1.rank) }
        for splice in splices {
            var growth: Int
            switch splice.content {
            case .array(_, let size):
                growth = size
            case .value(let side):
                growth = try side.finish() - 1
            case .continuation(let side):
                let count = side.frames[0].count
                let kind = side.frames[0].kind
                growth = try side.finish()
                if kind == .keyed {
                    // A key may be in both parts.
                    let header = buffer.get(UInt64.self, at: splice.headers[0])
                    buffer.set(header & ~0xFF | UInt64(WireTag.keyedRepeating), at: splice.headers[0])
                } else {
                    let stored = UInt32(exactly: count) ?? WireFormat.unknownCount
                    buffer.set(stored, at: splice.headers[0] + WireFormat.headerSize)
                }
            }
            total += growth
            for header in splice.headers {
                buffer.set(buffer.get(UInt64.self, at: header) + UInt64(growth) << 8, at: header)
            }
        }
        if total > min(limits.maximumBytes, WireFormat.maximumLength) {
            throw error(.sizeExceeded, "the message would exceed \(limits.maximumBytes) bytes")
        }
        return total
    }

    /// Hands out the bytes in order, piece by piece, none of them empty; `finish()` comes first.
    ///
    /// The pieces stay valid as long as the state is open: arrays and texts that are spliced in are large, so that their
    /// bytes are in heap memory (or a constant), which the splice keeps alive and nobody can change.
    /// - Parameter instead: takes a splice of this message itself in a way of its own, if it returns true.
    func forEachPiece(
        _ body: (UnsafeRawBufferPointer) throws -> Void,
        instead: (Splice) -> Bool = { _ in false }
    ) rethrows {
        var position = 0
        for splice in splices {
            if splice.position > position {
                try buffer.withUnsafeBytes {
                    try body(UnsafeRawBufferPointer(rebasing: $0[position..<splice.position]))
                }
            }
            position = splice.position
            if instead(splice) { continue }
            switch splice.content {
            case .array(let values, _):
                try values.withUnsafeBytes(body)
            case .continuation(let side):
                try side.forEachPiece(body)
            case .value(let side):
                try side.forEachPiece(body)
                position += 1
            }
        }
        if buffer.count > position {
            try buffer.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[position...])) }
        }
    }

    // MARK: Without a copy

    /// From this size on, an array of bytes is worth a piece of its own.
    private static let sharedSize = 1 << 20

    private static func shared(_ splice: Splice) -> [UInt8]? {
        guard case .array(let values, let size) = splice.content, size >= sharedSize else { return nil }
        return values as? [UInt8]
    }

    /// Whether the message has very large arrays of bytes in it.
    var holdsSharedArrays: Bool { splices.contains { Self.shared($0) != nil } }

    /// The message in pieces, of which the very large arrays of bytes are the value's own.
    func arrays() -> [[UInt8]] {
        var arrays: [[UInt8]] = []
        var copied: [UInt8] = []
        forEachPiece(
            { copied.append(contentsOf: $0) },
            instead: { splice in
                guard let array = Self.shared(splice) else { return false }
                arrays.append(copied)
                arrays.append(array)
                copied = []
                return true
            }
        )
        return copied.isEmpty ? arrays : arrays + [copied]
    }
}
