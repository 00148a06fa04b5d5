/// Where things are in a shared list's memory. Nothing here is trusted: another process can have written anything.
///
/// Python's part: number of elements n (8 bytes), n + 1 offsets of slots (8 each), the slots, n formats (8 each), n codes (1 each).
/// Ours, from the next multiple of 8, if the memory is that large: magic (8), guard (8), journal (see ``ListCells``), and for
/// each element its length (8) and the hash of its slot (8); at the end room for the largest slot.
struct ListLayout: Sendable {
    let count: Int
    /// Offsets of the slots from the start of the memory, and their end.
    private let starts: [Int]
    let formats: Int
    let codes: Int
    /// Where our part begins; nil in a list that Python made.
    let own: Int?

    static let magic: UInt64 = 0x0100_5453_494C_504D  // "MPLIST", version 1
    static let ownHeader = 64
    /// Python's formats have 8 characters at most: seven digits and an "s".
    static let largestSlot = 9_999_999 / 8 * 8

    func slot(_ index: Int) -> Range<Int> { starts[index]..<starts[index + 1] }
    func lengthEntry(_ index: Int) -> Int? { own.map { $0 + Self.ownHeader + 16 * index } }
    var journalData: Int? { own.map { $0 + Self.ownHeader + 16 * count } }
    private var largest: Int { (0..<count).map { slot($0).count }.max() ?? 0 }
    var byteCount: Int { (journalData ?? codes + count) + (own == nil ? 0 : largest) }
    /// The slots' offsets as Python has them: from the first slot.
    var offsets: [Int] { starts.map { $0 - starts[0] } }

    /// The layout for new elements.
    init(_ elements: [SharedList.Element], slotSize: Int) throws {
        guard slotSize >= 0, slotSize <= Self.largestSlot else {
            throw SharedStateError(.tooLarge, "No slot of a shared list has \(slotSize) bytes")
        }
        count = elements.count
        var next = (count + 2) * 8
        var starts = [next]
        for element in elements {
            let size =
                switch element {
                case .string(let text): text.utf8.count / 8 * 8 + 8
                case .bytes(let bytes): bytes.count / 8 * 8 + 8
                default: 8
                }
            guard size <= Self.largestSlot else {
                throw SharedStateError(.tooLarge, "A shared list cannot hold an element of \(size) bytes")
            }
            next += max(size, (slotSize + 7) / 8 * 8)
            starts.append(next)
        }
        self.starts = starts
        formats = next
        codes = formats + 8 * count
        own = (codes + count + 7) / 8 * 8
    }

    /// The layout of what is there.
    init(reading bytes: UnsafeMutableRawBufferPointer) throws {
        let malformed = SharedStateError(.malformed, "What is in the shared memory is not a list")
        guard bytes.count >= 16 else { throw malformed }
        let length = Int(bytes.load(as: Int64.self))
        // Each takes at least 8 bytes for its offset, a slot, a format and a code.
        guard length >= 0, length <= bytes.count / 25 else { throw malformed }
        let first = (length + 2) * 8
        guard bytes.count >= first else { throw malformed }
        let room = bytes.count - first
        var starts: [Int] = []
        for index in 0...length {
            let offset = Int(bytes.load(fromByteOffset: 8 + 8 * index, as: Int64.self))
            guard offset >= 0, offset <= room, offset & 7 == 0 else { throw malformed }
            if let last = starts.last, first + offset < last + 8 { throw malformed }
            starts.append(first + offset)
        }
        guard starts[0] == first else { throw malformed }
        count = length
        self.starts = starts
        formats = starts[length]
        codes = formats + 8 * length
        guard codes + length <= bytes.count else { throw malformed }
        let place = (codes + length + 7) / 8 * 8
        let biggest = (0..<length).map { starts[$0 + 1] - starts[$0] }.max() ?? 0
        let isOurs =
            place + Self.ownHeader + 16 * length + biggest <= bytes.count
            && bytes.load(fromByteOffset: place, as: UInt64.self) == Self.magic
        own = isOurs ? place : nil
    }
}
