internal import MultiprocessingSystem
internal import Synchronization

/// A flag that processes, threads and tasks wait for.
///
///     let ready = try Event()
///     let child = try ChildProcess { try prepare(); ready.set() }
///     try child.start()
///     try await ready.wait()
///
/// Whoever waits when the event is set returns, even if it is cleared again before that waiter gets to run: a pulse reaches
/// everybody who waited. Nothing is held, so nobody's death, at whatever instruction, blocks anybody: if the process that sets
/// the event is killed before it has woken the others, they find out by themselves, after half a second at most.
///
/// Looking, setting and clearing cost an atomic operation each, and one system call where somebody sleeps. An event takes 128
/// bytes of shared memory. A copy of the handle in another process is the same event.
///
/// Python: `multiprocessing.Event`, where a waiter may miss a pulse.
public final class Event: Sendable, Codable, CustomStringConvertible {
    private static let version: UInt32 = 1

    // The only state. Bit 0: set. Bit 1: somebody sleeps on the low half, or did. The others: how often it was cleared, by
    // which a waiter that slept through a pulse knows of it. A sleeper knows all 62 bits, so that no number of pulses is too many.
    private static let isSet: UInt64 = 1
    private static let hasSleepers: UInt64 = 2
    private static let generation: UInt64 = 4

    private let block: SharedBlock
    private let spin = AdaptiveSpin()

    private var word: UnsafeMutablePointer<Atomic<UInt64>> { block.word(0) }

    /// Makes an event that is not set. No system call, except for the first piece of shared memory of a process.
    ///
    /// - Throws: ``SharedStateError`` (`outOfResources`).
    public init() throws {
        block = try SharedBlock(.event, version: Self.version, byteCount: 64)
    }

    /// Finds the event that a message names; called when a handle arrives in a process.
    ///
    /// - Throws: ``SharedStateError`` (`cannotTravel`, `malformed`).
    public init(from decoder: any Decoder) throws {
        block = try SharedBlock(from: decoder, .event, version: Self.version)
        guard block.byteCount == 64 else { throw SharedStateError(.malformed, "What arrived is no event") }
    }

    /// Writes a handle into a message to another process; the event itself stays where it is.
    ///
    /// - Throws: ``SharedStateError`` (`cannotTravel`) where only bytes go, into a file for instance.
    public func encode(to encoder: any Encoder) throws {
        try block.encode(to: encoder)
    }

    /// Whether it is set. One load. Python: `is_set`.
    public var isSet: Bool { word.pointee.load(ordering: .acquiring) & Self.isSet != 0 }

    /// Sets it and wakes everybody who waits. Does nothing if it is set.
    ///
    /// Never waits. One atomic operation, and a system call if somebody sleeps.
    public func set() {
        var current = word.pointee.load(ordering: .relaxed)
        while current & Self.isSet == 0 {
            chaosStep("event.set.looked")
            let (won, now) = word.pointee.compareExchange(
                expected: current,
                desired: current & ~Self.hasSleepers | Self.isSet,
                ordering: .acquiringAndReleasing
            )
            if won {
                chaosStep("event.set.stored")
                if current & Self.hasSleepers != 0 { FutexWord(lowHalfOf: word).wakeAll() }
                chaosStep("event.set.woken")
                return
            }
            current = now
        }
    }

    /// Unsets it. Those who waited while it was set return nevertheless.
    ///
    /// Never waits. One atomic operation.
    public func clear() {
        var current = word.pointee.load(ordering: .relaxed)
        while current & Self.isSet != 0 {
            chaosStep("event.clear.looked")
            let (won, now) = word.pointee.compareExchange(
                expected: current,
                desired: (current & ~Self.isSet) &+ Self.generation,
                ordering: .acquiringAndReleasing
            )
            if won { return chaosStep("event.clear.stored") }
            current = now
        }
    }

    /// Blocks the thread until it is set.
    ///
    /// No system call if it is set, or if it gets set while the thread looks at it for some microseconds.
    /// - Parameter timeout: how long to wait; nil is without end, zero or less is a look.
    /// - Returns: false if the time was over first, which is no error.
    @available(*, noasync, message: "Use the async wait: this one blocks the thread")
    @discardableResult
    public func wait(timeout: Duration? = nil) throws -> Bool {
        if isSet { return true }
        if let timeout, timeout <= .zero { return false }
        var arrival: UInt64?
        return try Wait.blocking(deadline: Deadline(after: timeout), spin: spin) { _ in attempt(&arrival) } ?? false
    }

    /// Suspends the task until it is set. Blocks no thread.
    ///
    /// - Parameter timeout: how long to wait; nil is without end, zero or less is a look.
    /// - Returns: false if the time was over first, which is no error.
    /// - Throws: `CancellationError` if the task is cancelled while the event is not set.
    @discardableResult
    public func wait(timeout: Duration? = nil) async throws -> Bool {
        if isSet { return true }
        if let timeout, timeout <= .zero { return false }
        var arrival: UInt64?
        return try await Wait.suspending(deadline: Deadline(after: timeout)) { _ in attempt(&arrival) } ?? false
    }

    /// - Parameter arrival: the generation that the waiter found when it came; nil before the first look.
    private func attempt(_ arrival: inout UInt64?) -> Attempt<Bool> {
        var current = word.pointee.load(ordering: .acquiring)
        while true {
            let generation = current / Self.generation
            if current & Self.isSet != 0 || generation != arrival ?? generation { return .done(true) }
            arrival = generation
            let marked = current | Self.hasSleepers
            if marked != current {
                let (won, now) = word.pointee.compareExchange(
                    expected: current,
                    desired: marked,
                    ordering: .acquiring
                )
                guard won else {
                    current = now
                    continue
                }
            }
            chaosStep("event.wait.marked")
            return .wait(FutexWord(lowHalfOf: word), while: UInt32(truncatingIfNeeded: marked))
        }
    }

    public var description: String { "<Event \(isSet ? "set" : "unset")>" }
}
