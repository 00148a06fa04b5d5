internal import MultiprocessingSystem

/// A list of fixed length in shared memory, whose elements are numbers, flags, texts, bytes or nothing.
///
///     let list = try SharedList(["alpha", 1, 2.5, true, nil], name: "settings")
///     try list.set("beta", at: 0)
///
/// In the memory it is what Python's `ShareableList` has: Python attaches to a named one and the other way round. Behind that,
/// where Python does not look, this library keeps the exact lengths (Python drops zero bytes at the end of texts and bytes), a
/// guard, and a journal: processes of this library never see half an element, and one that is killed in ``set(_:at:timeout:)`` has set the
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
    private let spin = AdaptiveSpin()

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

    /// Makes a list in a named segment. Blocks the thread, as ``SharedMemory`` does.
    ///
    /// - Parameters:
    ///   - name: as for ``SharedMemory/init(name:size:lifetime:timeout:)``, and so are `lifetime` and `timeout`.
    ///   - slotSize: how many bytes each element has at least, for longer ones to come; rounded up to a multiple of 8.
    /// - Throws: ``SharedStateError``: also `exists`, `timedOut`.
    @available(*, noasync, message: "Use the async init: this one may block the thread")
    public convenience init(
        _ elements: [Element],
        name: String?,
        lifetime: SharedMemory.Lifetime = .automatic,
        slotSize: Int = 8,
        timeout: Duration? = .seconds(10)
    ) throws {
        let layout = try ListLayout(elements, slotSize: slotSize)
        let memory = try SharedMemory(name: name, size: layout.byteCount, lifetime: lifetime, timeout: timeout) {
            try ListCells($0, layout).initialize(elements)
        }
        self.init(layout, memory)
    }

    /// Makes a list in a named segment. Suspends the task, as ``SharedMemory`` does.
    ///
    /// - Parameters:
    ///   - name: as for ``SharedMemory/init(name:size:lifetime:timeout:)``, and so are `lifetime` and `timeout`.
    ///   - slotSize: how many bytes each element has at least, for longer ones to come; rounded up to a multiple of 8.
    /// - Throws: as the blocking one, and `CancellationError`.
    public convenience init(
        _ elements: [Element],
        name: String?,
        lifetime: SharedMemory.Lifetime = .automatic,
        slotSize: Int = 8,
        timeout: Duration? = .seconds(10)
    ) async throws {
        let layout = try ListLayout(elements, slotSize: slotSize)
        let memory = try await SharedMemory(name: name, size: layout.byteCount, lifetime: lifetime, timeout: timeout) {
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

    /// Attaches to the list with a name, made by this library or by Python. Blocks the thread, as ``SharedMemory`` does.
    ///
    /// - Parameter timeout: how long to wait for a size at most; nil is without end, zero or less is a single look.
    /// - Throws: ``SharedStateError`` (`notFound`, `timedOut`, `malformed` if it is no list).
    @available(*, noasync, message: "Use the async init(attaching:): this one blocks the thread")
    public convenience init(attaching name: String, timeout: Duration? = .seconds(1)) throws {
        try self.init(in: SharedMemory(attaching: name, timeout: timeout))
    }

    /// Attaches to the list with a name, made by this library or by Python. Suspends the task, as ``SharedMemory`` does.
    ///
    /// - Parameter timeout: how long to wait for a size at most; nil is without end, zero or less is a single look.
    /// - Throws: as the blocking one, and `CancellationError`.
    public convenience init(attaching name: String, timeout: Duration? = .seconds(1)) async throws {
        try self.init(in: await SharedMemory(attaching: name, timeout: timeout))
    }

    /// How many bytes of text an element can have. Does not wait.
    ///
    /// - Throws: ``SharedStateError`` (`invalidArgument`) for an index outside.
    public func slotSize(at index: Int) throws -> Int {
        try check(index)
        return layout.slot(index).count
    }

    // MARK: Access

    private func check(_ index: Int) throws {
        guard index >= 0, index < count else {
            throw SharedStateError(.invalidArgument, "There is no element \(index) in a list of \(count)")
        }
    }

    /// Refuses an element that its place cannot hold, before anything is waited for.
    func check(_ element: Element, at index: Int) throws {
        try check(index)
        try memory.withUnsafeMutableBytes { try ListCells($0, layout).check(index, element) }
    }

    /// Runs `body` on an element's memory, alone among the processes of this library. Blocks the thread while another is at it.
    func access<Result>(_ index: Int, _ deadline: Deadline, _ body: (ListCells) throws -> Result) throws -> Result {
        try check(index)
        let use = try memory.use()
        defer { withExtendedLifetime(use) {} }
        let cells = ListCells(use.bytes, layout)
        let result = try Wait.blocking(deadline: deadline, spin: spin) { progress in
            try cells.attempt(progress) { try body(cells) }
        }
        guard let result else { throw Self.timedOut }
        return result
    }

    /// Runs `body` on an element's memory, alone among the processes of this library. Suspends the task while another is at it.
    ///
    /// Nothing is held while it is suspended but the mapping, which the word that it waits for is in.
    func access<Result>(
        _ index: Int,
        _ deadline: Deadline,
        _ body: (ListCells) throws -> Result
    ) async throws -> Result {
        try check(index)
        let use = try memory.use()
        defer { withExtendedLifetime(use) {} }
        let cells = ListCells(use.bytes, layout)
        let result = try await Wait.suspending(deadline: deadline) { progress in
            try cells.attempt(progress) { try body(cells) }
        }
        guard let result else { throw Self.timedOut }
        return result
    }

    private static var timedOut: SharedStateError {
        SharedStateError(.timedOut, "A process that is at an element of a shared list does not go on")
    }

    // MARK: Travelling

    /// As its memory travels.
    public func encode(to encoder: any Encoder) throws {
        try memory.encode(to: encoder)
    }

    /// Finds the list that a message brings. A named one that came as bytes is attached to, as ``SharedMemory`` says.
    ///
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
