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
    /// Below zero, so many waits for a writer on the caller's processor are left that sleep at once.
    private let politeness = Atomic<Int32>(-16)

    /// In rounds of a pause each; some 25 microseconds.
    private static let trial: Int32 = 1024
    private static let glance: Int32 = 16
    /// How often to let others have the processor if the writer needs it.
    private static let turns: Int32 = 4
    /// Longer than this, in nanoseconds, and somebody else had it.
    private static let longTurns: UInt64 = 50_000
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
    ///
    /// - Parameter processor: where whoever will write the word ran last, from 1, as ``ThisProcess/processor``; 0 if that is not known.
    ///   If that is the caller's own, it is in the writer's way as long as it looks; if it is another, no count of processors says
    ///   more.
    func sees(_ word: FutexWord, changeFrom value: UInt32, writtenOn processor: UInt32 = 0) -> Bool {
        if processor != 0, processor == ThisProcess.processor { return comesInTurns(word, value) }
        guard hasRoom else { return word.atomic.pointee.load(ordering: .relaxed) != value }
        guard Self.hasCompany || processor != 0 else { return word.atomic.pointee.load(ordering: .relaxed) != value }
        let share = share.load(ordering: .relaxed)
        guard share >= Self.worthwhile || glances.wrappingAdd(1, ordering: .relaxed).newValue & 15 == 0 else {
            return word.changes(from: value, within: Self.glance)
        }
        let hasChanged = word.changes(from: value, within: Self.trial)
        learn(hasChanged, share)
        return hasChanged
    }

    /// Whether the word changes when its writer, who ran on this very processor, gets it.
    ///
    /// As cheap as sleeping, and the kernel sees that two want to run, and gives one of them another processor if there is one; of
    /// two that only ever wake each other it would not. But where others want the processor, it is theirs then for milliseconds,
    /// and only a sleeper gets it back at once when it is woken.
    @inline(never)
    private func comesInTurns(_ word: FutexWord, _ value: UInt32) -> Bool {
        let left = politeness.load(ordering: .relaxed)
        guard left >= 0 else {
            politeness.store(left + 1, ordering: .relaxed)
            return word.atomic.pointee.load(ordering: .relaxed) != value
        }
        let begin = MonotonicTime.nanoseconds
        let hasChanged = word.changes(from: value, withinTurns: Self.turns)
        if MonotonicTime.nanoseconds - begin > Self.longTurns { politeness.store(-1024, ordering: .relaxed) }
        return hasChanged
    }

    /// Whether something comes true while it is worth looking; a change of the word may make it true.
    ///
    /// - Parameter trials: how many times as long as others a look may take.
    func sees(_ word: FutexWord, trials: Int32, _ isTrue: () -> Bool) -> Bool {
        if isTrue() { return true }
        let share = share.load(ordering: .relaxed)
        guard Self.hasCompany,
            share >= Self.worthwhile || glances.wrappingAdd(1, ordering: .relaxed).newValue & 15 == 0
        else { return false }
        for _ in 0..<trials * (Self.trial / Self.glance) {
            let value = word.atomic.pointee.load(ordering: .acquiring)
            if isTrue() {
                learn(true, share)
                return true
            }
            _ = word.changes(from: value, within: Self.glance)
        }
        learn(false, share)
        return false
    }

    /// Threads that do so at once lose an update or two, which does not matter.
    private func learn(_ wasWorthIt: Bool, _ share: Int32) {
        if !wasWorthIt {
            self.share.store(share - share / 8, ordering: .relaxed)
        } else if share < 256 {
            self.share.store(share + (263 - share) / 8, ordering: .relaxed)
        }
    }
}
