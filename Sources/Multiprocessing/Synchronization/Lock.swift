internal import MultiprocessingSystem
internal import Synchronization

/// Mutual exclusion between processes, and between the threads and tasks in them.
///
///     let lock = try Lock()
///     let child = try ChildProcess { try lock.withLock { append(line, to: log) } }
///
/// Held by a process: whichever of its threads or tasks took it, any of them may release it. When the holder dies, however,
/// the next to take the lock gets it, and ``abandonment`` tells it whose it was.
///
/// Policy: first come first served among those who have waited a millisecond; see <doc:SharedState>. Taking and releasing
/// costs no system call while nobody waits.
///
/// Python: `multiprocessing.Lock`, which any process may release, and which stays locked when its holder dies.
public final class Lock: Sendable, Codable {
    private static let version: UInt32 = 1

    private let block: SharedBlock
    private let spin = AdaptiveSpin()
    private let owner: OwnerWord

    /// Makes a lock that nobody holds.
    ///
    /// - Throws: ``SharedStateError`` (`outOfResources`).
    public init() throws {
        block = try SharedBlock(.lock, version: Self.version, byteCount: 128)
        owner = OwnerWord(block.word(0))
    }

    public init(from decoder: any Decoder) throws {
        block = try SharedBlock(from: decoder, .lock, version: Self.version)
        owner = OwnerWord(block.word(0))
    }

    public func encode(to encoder: any Encoder) throws {
        try block.encode(to: encoder)
    }

    private func attempt(_ progress: WaitProgress) -> Attempt<Bool> {
        switch owner.take(progress) {
        case .taken: .done(true)
        case .busy(let word, let value): .wait(word, while: value)
        }
    }

    @available(*, noasync, message: "Use the async acquire: this one blocks the thread")
    @discardableResult
    public func acquire(timeout: Duration? = nil) throws -> Bool {
        try Wait.blocking(deadline: Deadline(after: timeout), spin: spin, attempt) ?? false
    }

    @discardableResult
    public func acquire(timeout: Duration? = nil) async throws -> Bool {
        try await Wait.suspending(deadline: Deadline(after: timeout), attempt) ?? false
    }

    public func release() throws {
        guard owner.release() else { throw SharedStateError(.notOwner, "This process does not hold the lock") }
    }
}
