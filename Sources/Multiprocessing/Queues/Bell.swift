internal import MultiprocessingSystem
internal import Synchronization

/// Wakes those who sleep on a word, with a system call only if somebody may sleep.
///
/// A sleeper reads the word, announces itself and looks once more before it sleeps on what it read; whoever changes the word looks for
/// announcements afterwards. Both are sequentially consistent, so one of them sees the other. An announcement is never taken back by
/// the sleeper, which may be dead by then: it is forgotten when a wake-up found nobody left, and only if all of them were made
/// before the change. Who made one then and does not sleep yet finds the word changed.
struct Bell: @unchecked Sendable {
    // Unchecked: addresses of words that are used by atomic operations only. No lock.
    let announcements: UnsafeMutablePointer<Atomic<UInt64>>
    let word: UnsafeMutablePointer<Atomic<UInt64>>

    // Bits: 0, there are announcements; 63, one is by somebody who needs room in bytes, any amount; between them, how many were ever
    // made, so that the same value never means other announcements.
    private static let pending: UInt64 = 1
    private static let unit: UInt64 = 2
    static let forBytes: UInt64 = 1 << 63

    /// After the word was read on which the caller is going to sleep, and before its last look.
    func announce(forBytes: Bool = false) {
        announcements.pointee.wrappingAdd(Self.unit, ordering: .sequentiallyConsistent)
        let bits = Self.pending | (forBytes ? Self.forBytes : 0)
        announcements.pointee.bitwiseOr(bits, ordering: .sequentiallyConsistent)
        chaosStep("bell.announced")
    }

    /// What was announced; read before a change, for ``ring(_:count:)`` after it.
    @inline(__always)
    var calls: UInt64 { announcements.pointee.load(ordering: .sequentiallyConsistent) }

    /// Whether somebody may sleep.
    @inline(__always)
    static func isPending(_ calls: UInt64) -> Bool { calls & pending != 0 }

    /// Wakes up to `count` sleepers after the word was changed, if there may be any.
    ///
    /// - Parameter before: ``calls`` as they were before the change.
    @inline(__always)
    func ring(_ before: UInt64, count: Int) {
        let now = calls
        if Self.isPending(now) { wake(before, now, Int32(clamping: count)) }
    }

    @inline(never)
    private func wake(_ before: UInt64, _ now: UInt64, _ limit: Int32) {
        chaosStep("bell.ringing")
        if FutexWord(lowHalfOf: word).wake(limit) < limit, now == before {
            let forgotten = now & ~(Self.pending | Self.forBytes)
            _ = announcements.pointee.compareExchange(
                expected: now,
                desired: forgotten,
                ordering: .sequentiallyConsistent
            )
        }
        chaosStep("bell.rung")
    }
}
