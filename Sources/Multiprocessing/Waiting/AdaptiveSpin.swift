internal import MultiprocessingSystem
internal import Synchronization

/// Looks at a word for about the price of one sleep before sleeping, as long as that has been worth it lately.
///
/// A wake-up costs tens of microseconds, a look at a word that another processor is about to write a fraction of one. But
/// looking keeps a processor from whoever would write the word, when there are more who want to run than processors. So the
/// time spent looking halves whenever it was in vain and doubles when it was not; and now and then the whole time is tried.
struct AdaptiveSpin: ~Copyable, Sendable {
    private let budget = Atomic<Int32>(Self.longest)
    private let waits = Atomic<UInt32>(0)

    /// In rounds of a pause each; some 40 microseconds.
    private static let longest: Int32 = 1024
    private static let shortest: Int32 = 16
    private static let hasCompany = availableProcessorCount > 1

    /// Whether the word changes while it is worth looking.
    func sees(_ word: FutexWord, changeFrom value: UInt32) -> Bool {
        guard Self.hasCompany else { return word.atomic.pointee.load(ordering: .relaxed) != value }
        let now = budget.load(ordering: .relaxed)
        let rounds = waits.wrappingAdd(1, ordering: .relaxed).newValue & 63 == 0 ? Self.longest : now
        for _ in 0..<rounds {
            if word.atomic.pointee.load(ordering: .relaxed) != value {
                if now < Self.longest { budget.store(min(now * 2, Self.longest), ordering: .relaxed) }
                return true
            }
            spinPause()
        }
        if now > Self.shortest { budget.store(max(now / 2, Self.shortest), ordering: .relaxed) }
        return false
    }
}
