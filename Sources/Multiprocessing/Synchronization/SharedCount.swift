internal import MultiprocessingSystem
internal import Synchronization

/// A number in shared memory that is changed under a guard, and may be read at any time.
///
/// A number that nobody can have put there (damage) reads as the nearest possible one, so that arithmetic does not trap.
struct SharedCount: @unchecked Sendable {
    // Unchecked: an address that is only used by atomic operations. Whoever writes holds the structure's guard.
    private let word: UnsafeMutablePointer<Atomic<UInt64>>

    init(_ block: SharedBlock, at offset: Int) {
        word = block.word(offset)
    }

    /// Storing releases: a process may be killed behind any store, and its successor has to find those before it.
    @inline(__always)
    var value: Int {
        get { min(Int(clamping: word.pointee.load(ordering: .relaxed)), Self.most) }
        nonmutating set { word.pointee.store(UInt64(newValue), ordering: .releasing) }
    }

    /// Small enough that sums of some do not overflow.
    private static let most = 1 << 48

    /// For those who look at it for a while to see whether it changes; nobody sleeps on it.
    var futex: FutexWord { FutexWord(lowHalfOf: word) }
}
