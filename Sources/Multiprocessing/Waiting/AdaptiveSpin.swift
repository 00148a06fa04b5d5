internal import MultiprocessingSystem
internal import Synchronization

/// Looks at a word for about the price of one sleep before sleeping, as long as that has been worth it lately.
///
/// A wake-up costs some microseconds, a look at a word that another processor is about to write a fraction of one. But looking
/// keeps a processor from whoever would write the word, when there are more who want to run than processors. So it is a trial:
/// as long as a fair share of the last ones saw a change, each wait begins with one; else only every sixteenth does, and the
/// others just glance. A trial is as long as a wake-up takes, whatever the last ones needed: with shorter ones two partners of
/// which one fell asleep would keep each other asleep, because each then takes a wake-up's time to answer.
struct AdaptiveSpin: ~Copyable, Sendable {
    /// The share of trials that saw a change lately, in 256ths.
    private let share = Atomic<Int32>(256)
    private let glances = Atomic<UInt32>(0)

    /// In rounds of a pause each; some 25 microseconds.
    private static let trial: Int32 = 1024
    private static let glance: Int32 = 16
    /// From this share on it is worth it: a look that is not in vain saves several that are.
    private static let worthwhile: Int32 = 64
    private static let hasCompany = availableProcessorCount > 1

    private static let processors = availableProcessorCount
    private let hasRoom: Bool

    /// - Parameter partners: how many threads have to run at the same time for the word to change soon: the one that looks, the one
    ///   that writes, and those that it gets from what it writes. With fewer processors, looking keeps one of them waiting.
    init(partners: Int = 2) {
        hasRoom = Self.processors >= partners
    }

    /// Whether the word changes while it is worth looking.
    func sees(_ word: FutexWord, changeFrom value: UInt32) -> Bool {
        guard hasRoom else { return word.atomic.pointee.load(ordering: .relaxed) != value }
        guard Self.hasCompany else { return word.atomic.pointee.load(ordering: .relaxed) != value }
        let share = share.load(ordering: .relaxed)
        guard share >= Self.worthwhile || glances.wrappingAdd(1, ordering: .relaxed).newValue & 15 == 0 else {
            return word.changes(from: value, within: Self.glance)
        }
        // Threads that update it at once lose an update or two, which does not matter.
        guard word.changes(from: value, within: Self.trial) else {
            self.share.store(share - share / 8, ordering: .relaxed)
            return false
        }
        if share < 256 { self.share.store(share + (263 - share) / 8, ordering: .relaxed) }
        return true
    }
}
