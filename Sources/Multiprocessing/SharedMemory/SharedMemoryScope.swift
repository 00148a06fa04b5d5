internal import Synchronization

/// Pieces of shared memory that are freed together.
///
///     try withSharedMemory { scope in
///         let input = try scope.memory(size: 1 << 20)
///         let list = try scope.list(["ready", false])
///         …
///     }   // both are closed, names are removed
///
/// If the program is killed in between, what had a name is removed all the same; see ``SharedMemory/Lifetime``.
///
/// Python: `multiprocessing.managers.SharedMemoryManager`, without its process.
public final class SharedMemoryScope: Sendable {
    private struct State {
        var pieces: [SharedMemory] = []
        var hasEnded = false
    }

    private let state = Mutex(State())

    /// An empty scope.
    public init() {}

    deinit { end() }

    /// How many pieces it has.
    public var count: Int { state.withLock { $0.pieces.count } }

    /// Makes anonymous memory.
    ///
    /// - Throws: ``SharedStateError`` as ``SharedMemory/init(size:hugePages:)``; `closed` after ``end()``.
    public func memory(size: Int, hugePages: Bool = false) throws -> SharedMemory {
        try adopt(SharedMemory(size: size, hugePages: hugePages))
    }

    /// Makes a named segment. Blocks the thread, as ``SharedMemory`` does.
    ///
    /// Python: `SharedMemoryManager.SharedMemory`.
    /// - Throws: ``SharedStateError`` as ``SharedMemory/init(name:size:lifetime:timeout:)``; `closed` after ``end()``.
    @available(*, noasync, message: "Use the async memory(name:size:): this one may block the thread")
    public func memory(name: String?, size: Int, timeout: Duration? = .seconds(10)) throws -> SharedMemory {
        try adopt(SharedMemory(name: name, size: size, timeout: timeout))
    }

    /// Makes a named segment. Suspends the task, as ``SharedMemory`` does.
    ///
    /// Python: `SharedMemoryManager.SharedMemory`.
    /// - Throws: as the blocking one, and `CancellationError`.
    public func memory(name: String?, size: Int, timeout: Duration? = .seconds(10)) async throws -> SharedMemory {
        try adopt(await SharedMemory(name: name, size: size, timeout: timeout))
    }

    /// Makes a list in anonymous memory.
    ///
    /// - Throws: ``SharedStateError`` as ``SharedList/init(_:slotSize:)``; `closed` after ``end()``.
    public func list(_ elements: [SharedList.Element], slotSize: Int = 8) throws -> SharedList {
        let list = try SharedList(elements, slotSize: slotSize)
        _ = try adopt(list.memory)
        return list
    }

    /// Makes a list in a named segment. Blocks the thread, as ``SharedMemory`` does.
    ///
    /// Python: `SharedMemoryManager.ShareableList`.
    /// - Throws: ``SharedStateError`` as ``SharedList/init(_:name:lifetime:slotSize:timeout:)``; `closed` after ``end()``.
    @available(*, noasync, message: "Use the async list(_:name:): this one may block the thread")
    public func list(
        _ elements: [SharedList.Element],
        name: String?,
        slotSize: Int = 8,
        timeout: Duration? = .seconds(10)
    ) throws -> SharedList {
        let list = try SharedList(elements, name: name, slotSize: slotSize, timeout: timeout)
        _ = try adopt(list.memory)
        return list
    }

    /// Makes a list in a named segment. Suspends the task, as ``SharedMemory`` does.
    ///
    /// Python: `SharedMemoryManager.ShareableList`.
    /// - Throws: as the blocking one, and `CancellationError`.
    public func list(
        _ elements: [SharedList.Element],
        name: String?,
        slotSize: Int = 8,
        timeout: Duration? = .seconds(10)
    ) async throws -> SharedList {
        let list = try await SharedList(elements, name: name, slotSize: slotSize, timeout: timeout)
        _ = try adopt(list.memory)
        return list
    }

    /// Makes the scope responsible for a piece; returns it.
    ///
    /// - Throws: ``SharedStateError`` (`closed`) after ``end()``; then the piece is closed as well.
    public func adopt(_ piece: SharedMemory) throws -> SharedMemory {
        let isTaken = state.withLock { state in
            if !state.hasEnded { state.pieces.append(piece) }
            return !state.hasEnded
        }
        guard isTaken else {
            piece.close()
            throw SharedStateError(.closed, "This scope of shared memory has ended")
        }
        return piece
    }

    /// Removes the names and closes the handles of all pieces, the last first. Other processes keep what they have attached.
    ///
    /// Some system calls for each; waits for nobody. Ending twice is nothing. Python: `SharedMemoryManager.shutdown`.
    public func end() {
        let pieces = state.withLock { state in
            defer { state.pieces = [] }
            state.hasEnded = true
            return state.pieces
        }
        for piece in pieces.reversed() {
            // Somebody may have removed the name already.
            if piece.name != nil { try? piece.unlink() }
            piece.close()
        }
    }
}

/// Runs `body` with a scope for shared memory, which ends with it.
///
/// - Throws: what `body` throws.
public func withSharedMemory<Result>(_ body: (SharedMemoryScope) throws -> Result) rethrows -> Result {
    let scope = SharedMemoryScope()
    defer { scope.end() }
    return try body(scope)
}

/// Runs `body` with a scope for shared memory, which ends with it.
///
/// - Throws: what `body` throws.
public func withSharedMemory<Result>(
    isolation: isolated (any Actor)? = #isolation,
    _ body: (SharedMemoryScope) async throws -> Result
) async rethrows -> Result {
    let scope = SharedMemoryScope()
    defer { scope.end() }
    return try await body(scope)
}
