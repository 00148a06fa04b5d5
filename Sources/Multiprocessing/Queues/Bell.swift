internal import MultiprocessingSystem
internal import Synchronization

/// Wakes those who sleep on a word, with a system call only if somebody may sleep.
///
/// A sleeper announces itself and looks once more before it sleeps; whoever changes the word looks for announcements afterwards.
/// Both are sequentially consistent, so one of them sees the other. An announcement is never taken back by the sleeper, which may be
/// dead by then: it goes when a wake-up found nobody left, and only if nobody announced himself since.
struct Bell: @unchecked Sendable {
    // Unchecked: addresses of words that are used by atomic operations only. No lock.
    let announcements: UnsafeMutablePointer<Atomic<UInt64>>
    let word: UnsafeMutablePointer<Atomic<UInt64>>

    /// Marks that somebody waits for room in bytes, of which it may need any amount.
    static let forBytes: UInt64 = 1 << 63

    func announce(forBytes: Bool = false) {
        announcements.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
        if forBytes { announcements.pointee.bitwiseOr(Self.forBytes, ordering: .sequentiallyConsistent) }
        chaosStep("bell.announced")
    }

    /// The announcements; zero if nobody sleeps.
    @inline(__always)
    var calls: UInt64 { announcements.pointee.load(ordering: .sequentiallyConsistent) }

    /// Wakes up to `count` sleepers after the word was changed.
    @inline(never)
    func ring(_ calls: UInt64, count: Int) {
        chaosStep("bell.ringing")
        let limit = Int32(clamping: count)
        if FutexWord(lowHalfOf: word).wake(limit) < limit {
            _ = announcements.pointee.compareExchange(expected: calls, desired: 0, ordering: .sequentiallyConsistent)
        }
        chaosStep("bell.rung")
    }
}
