internal import MultiprocessingSystem
internal import Synchronization

/// The lock that goes with a shared value or array: one of its own, the caller's, or none.
///
/// Its own takes 16 bytes of the block: the owner word, then the task or thread that holds it, by which one that would wait
/// for itself is told so.
struct DataLock: ~Copyable, Sendable {
    private enum Kind {
        case own(OwnerWord, SharedBlock)
        case callers(Lock)
        case none
    }

    private let kind: Kind
    private let spin: AdaptiveSpin

    static let own: UInt32 = 0
    static let callers: UInt32 = 1
    static let none: UInt32 = 2

    /// Which of the three it is, as a number for layouts and messages.
    var number: UInt32 {
        switch kind {
        case .own: Self.own
        case .callers: Self.callers
        case .none: Self.none
        }
    }

    /// The caller's lock, if it is that.
    var callersLock: Lock? {
        if case .callers(let lock) = kind { lock } else { nil }
    }

    /// - Parameter block: one whose first 16 bytes are free for it.
    init(_ number: UInt32, _ block: SharedBlock, callers lock: Lock?) throws {
        switch (number, lock) {
        case (Self.own, nil): kind = .own(OwnerWord(block.word(0)), block)
        case (Self.callers, let lock?): kind = .callers(lock)
        case (Self.none, nil): kind = .none
        default: throw SharedStateError(.malformed, "Shared data arrived with a lock that it cannot have")
        }
        spin = AdaptiveSpin()
    }

    /// Runs `body` alone; it is told whether the last holder died in its turn.
    func withLock<R>(timeout: Duration?, _ body: (_ isAbandoned: Bool) throws -> R) throws -> R {
        switch kind {
        case .own(let word, let block):
            guard
                let isAbandoned = try Wait.blocking(
                    deadline: Deadline(after: timeout),
                    spin: spin,
                    { try Self.attempt(word, block, $0) }
                )
            else { throw Self.timedOut }
            return try Self.run(isAbandoned, word, block, body)
        case .callers(let lock):
            guard try lock.acquire(timeout: timeout) else { throw Self.timedOut }
            return try Self.run(lock, body)
        case .none:
            throw Self.missing
        }
    }

    /// ``withLock(timeout:_:)`` that suspends.
    func withLock<R>(
        timeout: Duration?,
        _ body: (_ isAbandoned: Bool) throws -> R,
        isolation: isolated (any Actor)? = #isolation
    ) async throws -> R {
        switch kind {
        case .own(let word, let block):
            guard
                let isAbandoned = try await Wait.suspending(
                    deadline: Deadline(after: timeout),
                    { try Self.attempt(word, block, $0) }
                )
            else { throw Self.timedOut }
            return try Self.run(isAbandoned, word, block, body)
        case .callers(let lock):
            guard try await lock.acquire(timeout: timeout) else { throw Self.timedOut }
            return try Self.run(lock, body)
        case .none:
            throw Self.missing
        }
    }

    private static var timedOut: SharedStateError {
        SharedStateError(.timedOut, "The lock of the shared data was held by another for too long")
    }

    private static var missing: SharedStateError {
        SharedStateError(.invalidArgument, "This shared data was made without a lock")
    }

    /// The task or thread that calls, unlike those of every other process: their numbers are the same in all processes, and
    /// one that died leaves its own here until the next holder has written. The factor is odd, so that different stamps stay
    /// different, and large, so that their differences are none that the small numbers of callers can make up for.
    private static var caller: UInt64 {
        Holder.current &+ ProcessStamp.current.rawValue &* 0x9e37_79b9_7f4a_7c15
    }

    private static func attempt(
        _ word: OwnerWord,
        _ block: SharedBlock,
        _ progress: WaitProgress
    ) throws -> Attempt<Bool> {
        switch word.take(progress) {
        case .taken(let dead): return .done(dead != nil)
        case .busy(let futex, let value):
            let isMine =
                word.owner == .current && block.word(8).pointee.load(ordering: .relaxed) == caller
            if isMine {
                throw SharedStateError(.wouldDeadlock, "This task or thread holds the lock of the shared data already")
            }
            return .wait(futex, while: value)
        }
    }

    private static func run<R>(
        _ isAbandoned: Bool,
        _ word: OwnerWord,
        _ block: SharedBlock,
        _ body: (Bool) throws -> R
    ) rethrows -> R {
        block.word(8).pointee.store(caller, ordering: .relaxed)
        defer {
            block.word(8).pointee.store(0, ordering: .relaxed)
            word.release()
        }
        return try body(isAbandoned)
    }

    private static func run<R>(_ lock: Lock, _ body: (Bool) throws -> R) throws -> R {
        try Scope.run({ try body(lock.abandonment != nil) }, lock.release)
    }
}
