internal import MultiprocessingSystem

/// A list of fixed length in shared memory, whose elements are numbers, flags, texts, bytes or nothing.
///
///     let list = try SharedList(["alpha", 1, 2.5, true, nil], name: "settings")
///     try list.set("beta", at: 0)
///
/// In the memory it is what Python's `ShareableList` has: Python attaches to a named one and the other way round. Behind that,
/// where Python does not look, this library keeps the exact lengths (Python drops zero bytes at the end of texts and bytes), a
/// guard, and a journal: processes of this library never see half an element, and one that is killed in ``set(_:at:)`` has set the
/// element or not. A Python process knows nothing of the guard; with one that writes, use a lock of your own.
///
/// Each element has a slot of fixed size: 8 bytes at least, and for text and bytes the next multiple of 8 above their length.
///
/// Python: `multiprocessing.shared_memory.ShareableList`.
public final class SharedList: Sendable, Codable {
    /// What a list can hold.
    public enum Element: Hashable, Sendable, Codable {
        case int(Int)
        case double(Double)
        case bool(Bool)
        case string(String)
        case bytes([UInt8])
        /// Nothing. Python: `None`.
        case null
    }

    /// The memory that the list is in.
    public let memory: SharedMemory
    private let layout: ListLayout

    /// The number of elements, which never changes.
    public var count: Int { layout.count }
    /// The name by which Python and others can attach; nil if the memory is anonymous.
    public var name: String? { memory.name }

    /// Makes a list in anonymous memory.
    ///
    /// - Parameter slotSize: how many bytes each element has at least, for longer ones to come; rounded up to a multiple of 8.
    /// - Throws: ``SharedStateError``: `tooLarge` for an element that needs more than 9,999,999 bytes, `outOfResources`.
    public convenience init(_ elements: [Element], slotSize: Int = 8) throws {
        let layout = try ListLayout(elements, slotSize: slotSize)
        let memory = try SharedMemory(size: layout.byteCount)
        try memory.withUnsafeMutableBytes { try ListCells($0, layout).initialize(elements) }
        self.init(layout, memory)
    }

    /// Makes a list in a named segment.
    ///
    /// - Parameters:
    ///   - name: as for ``SharedMemory/init(name:size:lifetime:)``.
    ///   - slotSize: how many bytes each element has at least, for longer ones to come; rounded up to a multiple of 8.
    /// - Throws: ``SharedStateError``: also `exists`.
    public convenience init(
        _ elements: [Element],
        name: String?,
        lifetime: SharedMemory.Lifetime = .automatic,
        slotSize: Int = 8
    ) throws {
        let layout = try ListLayout(elements, slotSize: slotSize)
        let memory = try SharedMemory(name: name, size: layout.byteCount, lifetime: lifetime) {
            try ListCells($0, layout).initialize(elements)
        }
        self.init(layout, memory)
    }

    private init(_ layout: ListLayout, _ memory: SharedMemory) {
        self.memory = memory
        self.layout = layout
    }

    /// Uses the list that is in a piece of shared memory, made by this library or by Python.
    ///
    /// - Throws: ``SharedStateError`` (`malformed`, `closed`).
    public init(in memory: SharedMemory) throws {
        layout = try memory.withUnsafeMutableBytes { try ListLayout(reading: $0) }
        self.memory = memory
    }

    /// Attaches to the list with a name, made by this library or by Python.
    ///
    /// - Throws: ``SharedStateError`` (`notFound`, `malformed` if it is no list).
    public convenience init(attaching name: String) throws {
        try self.init(in: SharedMemory(attaching: name))
    }

    private func with<Result>(index: Int, _ body: (ListCells) throws -> Result) throws -> Result {
        guard index >= 0, index < count else {
            throw SharedStateError(.invalidArgument, "There is no element \(index) in a list of \(count)")
        }
        return try memory.withUnsafeMutableBytes { try body(ListCells($0, layout)) }
    }

    /// An element. Waits for a process that is setting one, some microseconds; for 10 s if that process is stopped.
    ///
    /// - Throws: ``SharedStateError``: `invalidArgument` for an index outside, `malformed`, `timedOut`, `closed`.
    public subscript(index: Int) -> Element {
        get throws { try with(index: index) { cells in try cells.guarded { try cells.read(index) } } }
    }

    /// Replaces an element, by one of any type that fits its slot.
    ///
    /// - Throws: ``SharedStateError``: `tooLarge` if it does not fit, and nothing has changed; as reading.
    public func set(_ element: Element, at index: Int) throws {
        try with(index: index) { cells in
            try cells.check(index, element)
            try cells.guarded { cells.write(index, element) }
        }
    }

    /// How many bytes of text an element can have.
    ///
    /// - Throws: ``SharedStateError`` (`invalidArgument`) for an index outside.
    public func slotSize(at index: Int) throws -> Int {
        try with(index: index) { _ in layout.slot(index).count }
    }

    /// All elements, each as it is when its turn comes.
    ///
    /// - Throws: as reading one.
    public func elements() throws -> [Element] {
        try (0..<count).map { try self[$0] }
    }

    /// How often an element occurs. Python: `ShareableList.count`.
    public func count(of element: Element) throws -> Int {
        try elements().count { $0 == element }
    }

    /// Where an element occurs first; nil if it does not. Python: `ShareableList.index`.
    public func firstIndex(of element: Element) throws -> Int? {
        try elements().firstIndex(of: element)
    }

    // MARK: Travelling

    /// As its memory travels.
    public func encode(to encoder: any Encoder) throws {
        try memory.encode(to: encoder)
    }

    /// - Throws: ``SharedStateError`` (`malformed` if what arrived is no list).
    public convenience init(from decoder: any Decoder) throws {
        try self.init(in: SharedMemory(from: decoder))
    }
}

extension SharedList.Element: ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByStringLiteral, ExpressibleByNilLiteral
{
    public init(integerLiteral value: Int) { self = .int(value) }
    public init(floatLiteral value: Double) { self = .double(value) }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(stringLiteral value: String) { self = .string(value) }
    public init(nilLiteral: ()) { self = .null }
}
