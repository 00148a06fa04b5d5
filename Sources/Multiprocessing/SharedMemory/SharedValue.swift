internal import MultiprocessingSystem
internal import Synchronization

/// A value in memory that several processes share.
///
///     let progress = try SharedValue(0)
///     let child = try ChildProcess { try progress.withLock { $0 += 1 } }
///
/// Reading never waits, and never sees half a value: a new value is written beside the old one and takes its place in one
/// step. So a process that is killed while it writes has written all of it or nothing, and keeps nobody waiting.
///
/// The type is one whose values are plain bits: numbers, and structs, tuples and enums of them. A pointer in it means nothing
/// to another process.
///
/// Python: `multiprocessing.Value`; without a lock, `RawValue`.
public final class SharedValue<Value: BitwiseCopyable>: Sendable, Codable {
    private let block: SharedBlock
    private let lock: DataLock

    /// Makes a shared value with a lock of its own. No system call.
    ///
    /// - Throws: ``SharedStateError`` (`outOfResources`).
    public convenience init(_ value: Value) throws {
        try self.init(value, DataLock.own, nil)
    }

    /// Makes a shared value that is changed under a lock of yours, which may go with other data as well.
    ///
    /// A ``Lock`` belongs to a process, and any of its threads may release it. So whoever holds yours and then changes the value waits
    /// for a release, as in acquiring it twice; only a lock of the value's own tells that the caller waits for itself.
    /// - Throws: ``SharedStateError`` (`outOfResources`).
    public convenience init(_ value: Value, lock: Lock) throws {
        try self.init(value, DataLock.callers, lock)
    }

    /// Makes a shared value without a lock: for one writer at a time. Concurrent writers can mix their values, unless the
    /// value has at most 8 bytes.
    ///
    /// Python: `multiprocessing.RawValue`, `Value(lock=False)`.
    /// - Throws: ``SharedStateError`` (`outOfResources`).
    public convenience init(unlocked value: Value) throws {
        try self.init(value, DataLock.none, nil)
    }

    private init(_ value: Value, _ number: UInt32, _ callers: Lock?) throws {
        block = try SharedBlock(.value, version: ValueCell.version, byteCount: ValueCell.byteCount(of: Value.self))
        lock = try DataLock(number, block, callers: callers)
        ValueCell(block).prepare(Value.self, lock: number)
        ValueCell(block).store(value)
    }

    /// The lock that was given to ``init(_:lock:)``.
    public var callersLock: Lock? { lock.callersLock }

    /// The value now. Reading takes no lock and makes no system call.
    ///
    /// Setting takes the lock, if there is one, and blocks the thread meanwhile; ``set(_:timeout:)`` has a deadline and an
    /// asynchronous form. Setting it within its own ``withLock(timeout:_:)`` would wait for itself, and traps.
    ///
    /// Python: `Value.value`.
    public var value: Value {
        get { ValueCell(block).load() }
        @available(*, noasync, message: "Use set or withLock: the setter blocks the thread")
        set {
            do {
                try set(newValue)
            } catch {
                preconditionFailure("\(error)")
            }
        }
    }

    /// Replaces the value, under the lock if there is one. Blocks the thread while another holds it.
    ///
    /// - Throws: ``SharedStateError`` (`timedOut`, `wouldDeadlock`).
    @available(*, noasync, message: "Use the async set: this one blocks the thread")
    public func set(_ value: Value, timeout: Duration? = nil) throws {
        if lock.number == DataLock.none { return ValueCell(block).store(value) }
        try lock.withLock(timeout: timeout) { _ in ValueCell(block).store(value) }
    }

    /// Replaces the value, under the lock if there is one. Suspends while another holds it.
    ///
    /// - Throws: ``SharedStateError`` (`timedOut`, `wouldDeadlock`), `CancellationError`.
    public func set(_ value: Value, timeout: Duration? = nil) async throws {
        if lock.number == DataLock.none { return ValueCell(block).store(value) }
        try await lock.withLock(timeout: timeout) { _ in ValueCell(block).store(value) }
    }

    /// Changes the value alone: others see the old value until `body` has returned, and for good if it throws or if its
    /// process is killed in it. Blocks the thread while another holds the lock.
    ///
    /// - Parameters:
    ///   - timeout: how long to wait for the lock; nil is without end.
    ///   - body: works on a copy. It must not use the lock again.
    /// - Throws: ``SharedStateError`` (`timedOut`, `wouldDeadlock`, `invalidArgument` if there is no lock); what `body` throws.
    @available(*, noasync, message: "Use the async withLock: this one blocks the thread")
    public func withLock<Result>(
        timeout: Duration? = nil,
        _ body: (inout Value) throws -> Result
    ) throws -> Result {
        try lock.withLock(timeout: timeout) { _ in try change(body) }
    }

    /// ``withLock(timeout:_:)`` that suspends while another holds the lock.
    ///
    /// - Throws: as the blocking one, and `CancellationError`.
    public func withLock<Result>(
        timeout: Duration? = nil,
        isolation: isolated (any Actor)? = #isolation,
        _ body: (inout Value) throws -> Result
    ) async throws -> Result {
        try await lock.withLock(timeout: timeout) { _ in try change(body) }
    }

    private func change<Result>(_ body: (inout Value) throws -> Result) rethrows -> Result {
        let cell = ValueCell(block)
        var value: Value = cell.load()
        let result = try body(&value)
        cell.store(value)
        return result
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

    /// - Throws: ``SharedStateError`` (`malformed`) if what arrived is no value of this size.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        block = try SharedBlock(from: container.superDecoder(forKey: .block), .value, version: ValueCell.version)
        let number = try ValueCell(block).check(Value.self)
        lock = try DataLock(number, block, callers: try container.decodeIfPresent(Lock.self, forKey: .lock))
    }
}
