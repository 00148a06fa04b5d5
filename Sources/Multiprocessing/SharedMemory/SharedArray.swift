internal import MultiprocessingSystem
internal import Synchronization

// Unsafe code. Invariants:
// - `elements` points to `count` elements in the block, which this object keeps mapped;
// - they are plain bits, so any content is initialised; indices are checked at each access.

/// A fixed number of elements in memory that several processes share: a collection that none of them copies.
///
///     let pixels = try SharedArray<UInt8>(count: width * height)
///     let child = try ChildProcess { pixels.withMutableSpan { render(into: &$0) } }
///
/// To a child goes the memory itself, so a gigabyte costs as much as a byte. Indexing is as with `Array` and traps outside the
/// bounds. The elements are plain bits: numbers, and structs, tuples and enums of them.
///
/// Single elements are read and written without any order between processes: use ``withLock(timeout:_:)``, or let each process
/// have a part of its own. A process that is killed in the middle of a change leaves the part that it has changed;
/// ``abandonments`` tells.
///
/// Python: `multiprocessing.Array`; without a lock, `RawArray`.
public final class SharedArray<Element: BitwiseCopyable>: @unchecked Sendable, Codable {
    // Unchecked: the fields are constant; `elements` is shared memory, whose users order their accesses themselves. No lock.

    private let block: SharedBlock
    private let lock: DataLock
    @usableFromInline let elements: UnsafeMutablePointer<Element>

    /// The number of elements.
    public let count: Int

    /// Makes an array of zero bits. Memory is used where it is touched; a few system calls, none for most that are small.
    ///
    /// - Parameters:
    ///   - count: how many elements.
    ///   - lock: under which ``withLock(timeout:_:)`` runs; nil for one of its own. As a ``Lock`` belongs to a process, whoever holds yours
    ///     already waits for its release: `wouldDeadlock` is thrown for a lock of the array's own alone.
    ///   - hugePages: take it from the system's pool of 2 MiB pages.
    /// - Throws: ``SharedStateError``: `invalidArgument` for a count that makes no sense, `outOfResources` with the system's error.
    public convenience init(count: Int, lock: Lock? = nil, hugePages: Bool = false) throws {
        try self.init(count, lock == nil ? DataLock.own : DataLock.callers, lock, hugePages)
    }

    /// Makes an array of copies of a value.
    ///
    /// - Throws: as ``init(count:lock:hugePages:)``.
    public convenience init(repeating value: Element, count: Int, lock: Lock? = nil, hugePages: Bool = false) throws {
        try self.init(count: count, lock: lock, hugePages: hugePages)
        elements.update(repeating: value, count: count)
    }

    /// Makes an array with the elements of a collection.
    ///
    /// - Throws: as ``init(count:lock:hugePages:)``.
    public convenience init(
        _ values: some Collection<Element>,
        lock: Lock? = nil,
        hugePages: Bool = false
    ) throws {
        try self.init(count: values.count, lock: lock, hugePages: hugePages)
        fill(values)
    }

    /// Makes an array without a lock.
    ///
    /// Python: `multiprocessing.RawArray`, `Array(lock=False)`.
    /// - Throws: as ``init(count:lock:hugePages:)``.
    public convenience init(unlockedCount count: Int, hugePages: Bool = false) throws {
        try self.init(count, DataLock.none, nil, hugePages)
    }

    /// Makes an array without a lock, with the elements of a collection.
    ///
    /// - Throws: as ``init(count:lock:hugePages:)``.
    public convenience init(unlocked values: some Collection<Element>, hugePages: Bool = false) throws {
        try self.init(values.count, DataLock.none, nil, hugePages)
        fill(values)
    }

    private func fill(_ values: some Collection<Element>) {
        let buffer = UnsafeMutableBufferPointer(start: elements, count: count)
        _ = buffer.update(fromContentsOf: values)
    }

    private init(_ count: Int, _ number: UInt32, _ callers: Lock?, _ hugePages: Bool) throws {
        let (bytes, overflows) = count.multipliedReportingOverflow(by: MemoryLayout<Element>.stride)
        guard count >= 0, !overflows, bytes <= Segment.largest else {
            throw SharedStateError(.invalidArgument, "No shared array has \(count) elements of \(Element.self)")
        }
        block = try SharedBlock(
            .array,
            version: ArrayLayout.version,
            byteCount: ArrayLayout.header + bytes,
            hugePages: hugePages
        )
        lock = try DataLock(number, block, callers: callers)
        elements = (block.base + ArrayLayout.header).assumingMemoryBound(to: Element.self)
        self.count = count
        block.base.storeBytes(of: UInt64(count), toByteOffset: ArrayLayout.count, as: UInt64.self)
        let size = UInt32(MemoryLayout<Element>.stride)
        block.base.storeBytes(of: size, toByteOffset: ArrayLayout.stride, as: UInt32.self)
        block.base.storeBytes(of: number, toByteOffset: ArrayLayout.lock, as: UInt32.self)
    }

    /// The lock that was given to the initialiser.
    public var callersLock: Lock? { lock.callersLock }

    /// How many processes have died within ``withLock(timeout:_:)``, as its next holders found out: the elements that such a
    /// process was changing may be half changed.
    public var abandonments: Int {
        Int(truncatingIfNeeded: block.word(ArrayLayout.abandonments).pointee.load(ordering: .relaxed))
    }

    /// Changes elements alone. Blocks the thread while another holds the lock.
    ///
    /// - Parameters:
    ///   - timeout: how long to wait for the lock; nil is without end.
    ///   - body: gets the elements in place. It must not use the lock again.
    /// - Throws: ``SharedStateError`` (`timedOut`, `wouldDeadlock`, `invalidArgument` if there is no lock); what `body` throws.
    @available(*, noasync, message: "Use the async withLock: this one blocks the thread")
    public func withLock<Result>(
        timeout: Duration? = nil,
        _ body: (inout MutableSpan<Element>) throws -> Result
    ) throws -> Result {
        try lock.withLock(timeout: timeout) { isAbandoned in
            note(isAbandoned)
            return try withMutableSpan(body)
        }
    }

    /// ``withLock(timeout:_:)`` that suspends while another holds the lock.
    ///
    /// - Throws: as the blocking one, and `CancellationError`.
    public func withLock<Result>(
        timeout: Duration? = nil,
        isolation: isolated (any Actor)? = #isolation,
        _ body: (inout MutableSpan<Element>) throws -> Result
    ) async throws -> Result {
        try await lock.withLock(timeout: timeout) { isAbandoned in
            note(isAbandoned)
            return try withMutableSpan(body)
        }
    }

    private func note(_ isAbandoned: Bool) {
        if isAbandoned { block.word(ArrayLayout.abandonments).pointee.wrappingAdd(1, ordering: .relaxed) }
        chaosStep("array.locked")
    }

    // MARK: Travelling

    private enum CodingKeys: CodingKey {
        case block, lock
    }

    /// - Throws: ``SharedStateError`` (`cannotTravel`) where only bytes can go.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try block.encode(to: container.superEncoder(forKey: .block))
        try container.encodeIfPresent(lock.callersLock, forKey: .lock)
    }

    /// - Throws: ``SharedStateError`` (`malformed`) if what arrived is no array of such elements.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        block = try SharedBlock(from: container.superDecoder(forKey: .block), .array, version: ArrayLayout.version)
        let stride = MemoryLayout<Element>.stride
        guard block.byteCount >= ArrayLayout.header,
            let count = Int(exactly: block.base.load(fromByteOffset: ArrayLayout.count, as: UInt64.self)),
            block.base.load(fromByteOffset: ArrayLayout.stride, as: UInt32.self) == UInt32(stride),
            count <= (block.byteCount - ArrayLayout.header) / stride
        else {
            throw SharedStateError(.malformed, "The shared array that arrived is not one of \(Element.self)")
        }
        self.count = count
        let number = block.base.load(fromByteOffset: ArrayLayout.lock, as: UInt32.self)
        lock = try DataLock(number, block, callers: try container.decodeIfPresent(Lock.self, forKey: .lock))
        elements = (block.base + ArrayLayout.header).assumingMemoryBound(to: Element.self)
    }
}

/// Layout, version 1: lock (bytes 0–15, see ``DataLock``), number of elements (16), stride of an element (24, 32 bits), kind of
/// lock (28, 32 bits), abandonments (32); the elements from 64.
private enum ArrayLayout {
    static let version: UInt32 = 1
    static let count = 16
    static let stride = 24
    static let lock = 28
    static let abandonments = 32
    static let header = 64
}
