internal import MultiprocessingSystem
internal import Synchronization

// Unsafe code. Invariants:
// - `layout` was checked against these bytes, or they were made for it: every offset in it is inside;
// - what is read at those offsets is bounded before it is used as a length.

/// The elements of a shared list, in its memory.
///
/// An element is set in four steps, under the guard: the new content goes into the journal; the journal's index (plus one) is
/// stored, which is the commit point; the content is copied to where it belongs; the index becomes zero. Who takes the guard from
/// a dead process copies again what the journal holds, which can be repeated at will.
///
/// The journal, from the start of our part: guard (8), index (16), format (24), length (32), hash (40), code (48).
struct ListCells {
    private let bytes: UnsafeMutableRawBufferPointer
    private let layout: ListLayout

    init(_ bytes: UnsafeMutableRawBufferPointer, _ layout: ListLayout) {
        self.bytes = bytes
        self.layout = layout
    }

    /// An element's content as it is in memory.
    private struct Content {
        var format: UInt64
        var code: UInt8
        var data: [UInt8]
    }

    private func content(_ element: SharedList.Element, slot: Int) -> Content {
        func word(_ bits: UInt64) -> [UInt8] { withUnsafeBytes(of: bits.littleEndian) { Array($0) } }
        return switch element {
        case .int(let value): Content(format: Self.format("q"), code: 0, data: word(UInt64(bitPattern: Int64(value))))
        case .double(let value): Content(format: Self.format("d"), code: 0, data: word(value.bitPattern))
        case .bool(let value): Content(format: Self.format("xxxxxxx?"), code: 0, data: word(value ? 1 << 56 : 0))
        case .null: Content(format: Self.format("xxxxxx?x"), code: 3, data: word(0))
        case .string(let text): Content(format: Self.format("\(slot)s"), code: 1, data: Array(text.utf8))
        case .bytes(let bytes): Content(format: Self.format("\(slot)s"), code: 2, data: bytes)
        }
    }

    /// Up to eight characters in a word, in the order of memory.
    private static func format(_ text: String) -> UInt64 {
        UInt64(littleEndian: text.utf8.reversed().reduce(0) { $0 << 8 | UInt64($1) })
    }

    /// Of a slot's whole content: tells whether the length beside it is the content's. (FNV-1a.)
    private static func hash(_ bytes: some Sequence<UInt8>) -> UInt64 {
        bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01b3 }
    }

    // MARK: The guard

    private func word(_ offset: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
        (bytes.baseAddress! + offset).assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    /// One attempt to run `body` alone among the processes of this library. A list that Python made has no guard.
    ///
    /// The guard is given up before this returns, so nobody who waits holds it.
    func attempt<Result>(_ progress: WaitProgress, _ body: () throws -> Result) throws -> Attempt<Result> {
        guard let own = layout.own else { return .done(try body()) }
        let owner = OwnerWord(word(own + 8))
        switch owner.take(progress) {
        case .busy(let futex, let value): return .wait(futex, while: value)
        case .taken(let dead):
            defer { owner.release() }
            if dead != nil { applyJournal(own) }
            return .done(try body())
        }
    }

    // MARK: Writing

    /// Makes a list in memory that nobody else knows yet.
    func initialize(_ elements: [SharedList.Element]) throws {
        bytes.storeBytes(of: Int64(layout.count), as: Int64.self)
        for (index, offset) in layout.offsets.enumerated() {
            bytes.storeBytes(of: Int64(offset), toByteOffset: 8 + 8 * index, as: Int64.self)
        }
        if let own = layout.own { bytes.storeBytes(of: ListLayout.magic, toByteOffset: own, as: UInt64.self) }
        for (index, element) in elements.enumerated() {
            try check(index, element)
            write(index, element)
        }
    }

    /// Refuses what the element's slot cannot hold, or cannot give back.
    func check(_ index: Int, _ element: SharedList.Element) throws {
        let slot = layout.slot(index).count
        let data = content(element, slot: slot).data
        guard data.count <= slot else {
            throw SharedStateError(.tooLarge, "\(data.count) bytes do not fit the \(slot) of element \(index)")
        }
        let isText =
            switch element {
            case .string, .bytes: true;
            default: false
            }
        guard slot <= ListLayout.largestSlot || !isText else {
            throw SharedStateError(.tooLarge, "The slot of element \(index) is too large for text")
        }
        if layout.own == nil, isText, data.last == 0 {
            throw SharedStateError(
                .invalidArgument,
                "A list that Python made has no lengths: zero bytes at the end would be lost"
            )
        }
    }

    /// Sets an element, under the guard.
    func write(_ index: Int, _ element: SharedList.Element) {
        let slot = layout.slot(index)
        let content = content(element, slot: slot.count)
        let padded = content.data + [UInt8](repeating: 0, count: slot.count - content.data.count)
        guard let own = layout.own, let data = layout.journalData else {
            bytes.storeBytes(of: content.format, toByteOffset: layout.formats + 8 * index, as: UInt64.self)
            bytes.storeBytes(of: content.code, toByteOffset: layout.codes + index, as: UInt8.self)
            UnsafeMutableRawBufferPointer(rebasing: bytes[slot]).copyBytes(from: padded)
            return
        }
        bytes.storeBytes(of: content.format, toByteOffset: own + 24, as: UInt64.self)
        bytes.storeBytes(of: UInt64(content.data.count), toByteOffset: own + 32, as: UInt64.self)
        bytes.storeBytes(of: Self.hash(padded), toByteOffset: own + 40, as: UInt64.self)
        bytes.storeBytes(of: UInt64(content.code), toByteOffset: own + 48, as: UInt64.self)
        UnsafeMutableRawBufferPointer(rebasing: bytes[data..<(data + slot.count)]).copyBytes(from: padded)
        chaosStep("list.journalled")
        word(own + 16).pointee.store(UInt64(index + 1), ordering: .releasing)
        chaosStep("list.committed")
        applyJournal(own)
    }

    private func applyJournal(_ own: Int) {
        let index = Int(truncatingIfNeeded: word(own + 16).pointee.load(ordering: .acquiring)) &- 1
        guard index >= 0, index < layout.count, let data = layout.journalData, let entry = layout.lengthEntry(index)
        else { return }
        let slot = layout.slot(index)
        bytes.storeBytes(
            of: bytes.load(fromByteOffset: own + 24, as: UInt64.self),
            toByteOffset: layout.formats + 8 * index,
            as: UInt64.self
        )
        chaosStep("list.applying")
        bytes.storeBytes(
            of: bytes.load(fromByteOffset: own + 48, as: UInt8.self),
            toByteOffset: layout.codes + index,
            as: UInt8.self
        )
        bytes.storeBytes(
            of: bytes.load(fromByteOffset: own + 32, as: UInt64.self),
            toByteOffset: entry,
            as: UInt64.self
        )
        bytes.storeBytes(
            of: bytes.load(fromByteOffset: own + 40, as: UInt64.self),
            toByteOffset: entry + 8,
            as: UInt64.self
        )
        UnsafeMutableRawBufferPointer(rebasing: bytes[slot]).copyMemory(
            from: UnsafeRawBufferPointer(rebasing: bytes[data..<(data + slot.count)])
        )
        chaosStep("list.applied")
        word(own + 16).pointee.store(0, ordering: .releasing)
        chaosStep("list.cleared")
    }

    // MARK: Reading

    /// An element, under the guard.
    func read(_ index: Int) throws -> SharedList.Element {
        let slot = layout.slot(index)
        let code = bytes[layout.codes + index]
        let format = bytes[(layout.formats + 8 * index)..<(layout.formats + 8 * index + 8)].prefix { $0 != 0 }
        let bits = bytes.load(fromByteOffset: slot.lowerBound, as: UInt64.self)
        switch Array(format) {
        case Array("q".utf8): return .int(Int(Int64(bitPattern: bits)))
        case Array("d".utf8): return .double(Double(bitPattern: bits))
        case Array("xxxxxxx?".utf8): return .bool(bits >> 56 != 0)
        case Array("xxxxxx?x".utf8): return .null
        case let text where text.last == UInt8(ascii: "s"):
            guard let size = Int(String(decoding: text.dropLast(), as: UTF8.self)), size >= 0, size <= slot.count
            else { break }
            let content = exactBytes(slot, size: size, index)
            if code == 2 { return .bytes(content) }
            guard code == 1, let string = String(validating: content, as: UTF8.self) else { break }
            return .string(string)
        default: break
        }
        throw SharedStateError(.malformed, "Element \(index) of a shared list is of no type that is known")
    }

    /// Text or bytes as they were set by us; as Python has them, without zero bytes at the end, if it set them.
    private func exactBytes(_ slot: Range<Int>, size: Int, _ index: Int) -> [UInt8] {
        let whole = bytes[slot]
        if let entry = layout.lengthEntry(index),
            let length = Int(exactly: bytes.load(fromByteOffset: entry, as: UInt64.self)), length <= slot.count,
            bytes.load(fromByteOffset: entry + 8, as: UInt64.self) == Self.hash(whole)
        {
            return Array(whole.prefix(length))
        }
        var content = Array(whole.prefix(size))
        while content.last == 0 { content.removeLast() }
        return content
    }
}
