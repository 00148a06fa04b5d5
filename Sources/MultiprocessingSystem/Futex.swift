internal import Glibc
public import Synchronization
public import SystemPackage
internal import _MultiprocessingShims

/// A 32-bit word in shared memory on which processes sleep until another one wakes them.
///
/// The memory has to stay mapped as long as the value is used; whoever makes one sees to that.
public struct FutexWord: @unchecked Sendable, Equatable {
    // Unchecked: an address that is only ever used by atomic operations and by the kernel. No lock.
    private let address: UnsafeMutablePointer<Atomic<UInt32>>

    /// A word at an address, which has to be a multiple of 4.
    public init(_ address: UnsafeMutableRawPointer) {
        self.address = address.assumingMemoryBound(to: Atomic<UInt32>.self)
    }

    /// The low half of a 64-bit word.
    public init(lowHalfOf address: UnsafeMutablePointer<Atomic<UInt64>>) {
        // The kernel looks at 32 bits; on little-endian machines, the only ones that Swift runs on, the low ones come first.
        self.init(UnsafeMutableRawPointer(address))
    }

    /// The word itself.
    public var atomic: UnsafeMutablePointer<Atomic<UInt32>> { address }

    /// How a wait ended.
    public enum Outcome: Sendable {
        /// Somebody woke it, or a signal came: look again.
        case woken
        /// It did not sleep: the word no longer held the value.
        case changed
        /// The time was over.
        case timedOut
    }

    /// Sleeps while the word holds `value`, until woken or the deadline passes. One system call.
    public func wait(while value: UInt32, deadline: Deadline) -> Outcome {
        switch -_mp_futex_wait(address, value, deadline.nanoseconds) {
        case Errno.timedOut.rawValue: .timedOut
        case Errno.resourceTemporarilyUnavailable.rawValue: .changed
        default: .woken
        }
    }

    /// Looks at the word so often, with a pause for another processor in between; whether it differed from `value` at one of them.
    ///
    /// Here, and not above, so that the pause is an instruction and not a call.
    public func changes(from value: UInt32, within rounds: Int32) -> Bool {
        for _ in 0..<rounds {
            if address.pointee.load(ordering: .relaxed) != value { return true }
            _mp_spin_pause()
        }
        return false
    }

    /// Lets others have this processor so often; whether the word differed from `value` after one of the times. A system call each.
    public func changes(from value: UInt32, withinTurns turns: Int32) -> Bool {
        for _ in 0..<turns {
            if address.pointee.load(ordering: .relaxed) != value { return true }
            sched_yield()
        }
        return address.pointee.load(ordering: .relaxed) != value
    }

    /// Wakes up to `count` sleepers, the longest waiting first; returns how many there were. One system call.
    @discardableResult
    public func wake(_ count: Int32 = 1) -> Int {
        Int(max(0, _mp_futex_wake(address, count)))
    }

    /// Wakes every sleeper. One system call.
    public func wakeAll() {
        wake(.max)
    }

    /// The most words that one ``waitAny(_:deadline:)`` can sleep on.
    public static let mostAtOnce = Int(_mp_futex_most)

    /// Sleeps on several words until one of them is woken or differs from its value. One system call.
    ///
    /// - Throws: `.noFunction` on a kernel that cannot do it (before Linux 5.16); `.notPermitted` in some sandboxes.
    public static func waitAny(_ words: [(word: FutexWord, value: UInt32)], deadline: Deadline) throws(Errno) -> Outcome
    {
        let entries = words.map { _mp_futex(word: UnsafeRawPointer($0.word.address), expected: $0.value) }
        let result = _mp_futex_wait_any(entries, CInt(entries.count), deadline.nanoseconds)
        switch -result {
        case Errno.timedOut.rawValue: return .timedOut
        case Errno.resourceTemporarilyUnavailable.rawValue: return .changed
        case Errno.interrupted.rawValue: return .woken
        case 1...: throw Errno(rawValue: -result)
        default: return .woken
        }
    }
}
