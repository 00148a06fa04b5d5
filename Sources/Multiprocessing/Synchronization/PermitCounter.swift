internal import MultiprocessingSystem
internal import Synchronization

/// What ``CountingSemaphore`` and ``BoundedSemaphore`` are made of: a count of permits in shared memory, and who holds how many.
///
/// Everything is changed under a guard, which names its holder. The truth is the capacity and the table of holders; the number
/// of free permits is worked out anew by whoever takes the guard from a dead process. So each operation has one store that
/// commits it: the holder's count, or the capacity where that grows. (Without a table, the number of free permits itself.)
///
/// Sleepers sleep on the gate: bit 0, somebody sleeps; bit 1, somebody marked it since the last release; above them, a number
/// that every release raises while somebody sleeps. Each
/// release wakes as many sleepers as it gave permits, the longest waiting first. Turns are reserved for starving sleepers as
/// in ``OwnerWordState``.
///
/// Layout, version 1: see Documentation/Layouts/Locks.md.
final class PermitCounter: Sendable {
    private static let version: UInt32 = 1
    private static let headerSize = 128
    private static let bounded: UInt64 = 1
    private static let returning: UInt64 = 2
    private static let sleepersBit: UInt32 = 1
    private static let freshBit: UInt32 = 2
    /// As for Python: more permits than any program can mean.
    private static let mostPermits = Int(Int32.max)

    private let block: SharedBlock
    private let spin = AdaptiveSpin()
    private let guardWord: OwnerWord
    private let free: SharedCount
    private let capacity: SharedCount
    private let limit: SharedCount
    private let turns: SharedCount
    private let gate: FutexWord
    private let searched: SearchTime
    let table: PermitTable?
    /// Where this process was found in the table the last time.
    private let hint = Atomic<Int>(0)

    convenience init(value: Int, isBounded: Bool, returnsPermits: Bool) throws {
        guard 0...Self.mostPermits ~= value else {
            throw SharedStateError(.invalidArgument, "A semaphore cannot have \(value) permits")
        }
        let block = try SharedBlock(
            .semaphore,
            version: Self.version,
            byteCount: Self.headerSize + (returnsPermits ? PermitTable.byteCount : 0)
        )
        let flags = (isBounded ? Self.bounded : 0) | (returnsPermits ? Self.returning : 0)
        block.word(40).pointee.store(flags, ordering: .relaxed)
        self.init(block, hasTable: returnsPermits)
        free.value = value
        capacity.value = value
        limit.value = isBounded ? value : Self.mostPermits
    }

    convenience init(from decoder: any Decoder, isBounded: Bool) throws {
        let block = try SharedBlock(from: decoder, .semaphore, version: Self.version)
        let malformed = SharedStateError(.malformed, "What arrived is not a semaphore of this kind")
        guard block.byteCount >= Self.headerSize else { throw malformed }
        let flags = block.word(40).pointee.load(ordering: .relaxed)
        let hasTable = flags & Self.returning != 0
        guard (flags & Self.bounded != 0) == isBounded,
            block.byteCount == Self.headerSize + (hasTable ? PermitTable.byteCount : 0)
        else { throw malformed }
        self.init(block, hasTable: hasTable)
    }

    private init(_ block: SharedBlock, hasTable: Bool) {
        self.block = block
        guardWord = OwnerWord(block.word(0))
        free = SharedCount(block, at: 8)
        capacity = SharedCount(block, at: 16)
        limit = SharedCount(block, at: 24)
        turns = SharedCount(block, at: 32)
        gate = block.futex(48)
        searched = SearchTime(block, at: 56)
        table = hasTable ? PermitTable(block, at: Self.headerSize, mark: 64) : nil
    }

    func encode(to encoder: any Encoder) throws {
        try block.encode(to: encoder)
    }

    // MARK: Operations

    /// Takes a permit; blocks the thread. False when the deadline passed first.
    ///
    /// - Throws: ``SharedStateError`` (`outOfResources`) if too many processes hold permits.
    func acquire(deadline: Deadline) throws -> Bool {
        try Wait.blocking(deadline: deadline, spin: spin, take) ?? false
    }

    /// Takes a permit; suspends the task. False when the deadline passed first.
    func acquire(deadline: Deadline) async throws -> Bool {
        try await Wait.suspending(deadline: deadline, take) ?? false
    }

    /// Takes a permit if there is one.
    func tryAcquire() throws -> Bool {
        try Wait.blocking(deadline: Deadline(after: .zero), spin: spin, take) ?? false
    }

    /// What a scope throws that did not get its permit.
    static var timedOut: SharedStateError {
        SharedStateError(.timedOut, "No permit was to be had in time")
    }

    private func take(_ progress: WaitProgress) throws -> Attempt<Bool> {
        let dead = progress.isOverdue && free.value == 0 ? deadHolders(atOnce: progress.isLook) : []
        return try underGuard(progress, forgetting: dead) { given in
            let isMarked = gate.atomic.pointee.load(ordering: .relaxed) & Self.sleepersBit != 0
            // Without the mark there is nobody for whom turns could be reserved.
            let (permits, reserved) = (free.value, isMarked ? turns.value : 0)
            if permits > 0, reserved == 0 || progress.sleeps > 0 || progress.isStarving {
                given = try hold()
                free.value = permits + given - 1
                // If nothing happened for milliseconds and there are permits, whoever the turns were for has died.
                if reserved > 0 { turns.value = progress.isOverdue ? 0 : reserved - 1 }
                chaosStep("semaphore.counted")
                return .done(true)
            }
            // A look cannot wait until it shows that nobody comes for the permits; so each uses up a reserved turn.
            if permits > 0, progress.isLook { turns.value = reserved - 1 }
            if permits == 0, progress.isLast, progress.sleeps > 0 {
                turns.value = 0
            } else if permits == 0, progress.isStarving {
                turns.value = max(reserved, min(OwnerWordState.mostTurns, 1 << min(progress.starved, 8)))
            }
            guard progress.isAboutToSleep || progress.sleeps > 0 else {
                return .wait(free.futex, while: UInt32(truncatingIfNeeded: permits))
            }
            // Under the guard, so the release that follows sees the mark. Relaxed: the guard orders it.
            let mark = Self.sleepersBit | Self.freshBit
            return .wait(gate, while: gate.atomic.pointee.bitwiseOr(mark, ordering: .relaxed).newValue)
        }
    }

    /// Gives this process one permit more. The store commits the acquisition.
    ///
    /// - Returns: how many permits came back from the dead, whose places were needed.
    private func hold() throws -> Int {
        guard let table else { return 0 }
        var given = 0
        var place = table.find(hint: hint.load(ordering: .relaxed)) ?? table.claim()
        if place == nil {
            let permits = free.value
            repair(table.deadHolders())
            given = max(0, free.value - permits)
            place = table.claim()
        }
        guard let slot = place else {
            throw SharedStateError(
                .outOfResources,
                "More than \(PermitTable.capacity) processes would hold permits of one semaphore"
            )
        }
        hint.store(slot, ordering: .relaxed)
        table.setHeld(slot, table.held(slot) + 1)
        chaosStep("semaphore.held")
        return given
    }

    /// Gives permits back; those that this process does not hold are new ones.
    ///
    /// Waits for the guard alone, which is held for less than a microsecond; for a second at most, as its holder may have been stopped.
    /// - Throws: ``SharedStateError`` (`overReleased`, `invalidArgument`, `timedOut`); then nothing has changed.
    func release(_ count: Int) throws {
        guard 1...Self.mostPermits ~= count else {
            throw SharedStateError(.invalidArgument, "\(count) permits cannot be released")
        }
        var first = WaitProgress.first
        first.isAboutToSleep = false
        // Outside the wait, which asks for the time.
        if case .done = try attemptRelease(count, first) { return }
        // With its time over from the start, a wait goes on for as long as guards are waited for.
        let isReleased: Void? = try Wait.blocking(deadline: Deadline(after: .zero), spin: spin) {
            try attemptRelease(count, $0)
        }
        if isReleased == nil {
            throw SharedStateError(
                .timedOut,
                "Nothing was released: a process in the middle of an operation on the semaphore does not go on"
            )
        }
    }

    private func attemptRelease(_ count: Int, _ progress: WaitProgress) throws -> Attempt<Void> {
        try underGuard(progress) { given in
            let permits = free.value
            guard permits + count <= limit.value else {
                throw SharedStateError(
                    .overReleased,
                    "The semaphore has \(permits) permits of at most \(limit.value)"
                )
            }
            giveBack(count)
            free.value = permits + count
            chaosStep("semaphore.counted")
            given = count
            return .done(())
        }
    }

    /// The stores that commit a release.
    ///
    /// If the process is killed between the two, what it still holds comes back by its death, and all is as if it had released.
    private func giveBack(_ count: Int) {
        guard let table else { return }
        let slot = table.find(hint: hint.load(ordering: .relaxed))
        let held = slot.map(table.held) ?? 0
        if count > held {
            capacity.value += count - held
            chaosStep("semaphore.grown")
        }
        if held > 0, let slot {
            table.setHeld(slot, held - min(count, held))
            chaosStep("semaphore.returned")
        }
    }

    /// The number of free permits, those of dead processes included.
    var value: Int {
        let dead = deadHolders(atOnce: true)
        let found = try? Wait.blocking(deadline: Deadline(after: .zero), spin: spin) { progress in
            try underGuard(progress, forgetting: dead) { _ in .done(free.value) }
        }
        return found ?? free.value
    }

    // MARK: The guard

    /// Runs `body` under the guard, after repairs, and wakes whoever has reason to look then.
    ///
    /// - Parameters:
    ///   - dead: processes found dead, whose permits come back now.
    ///   - body: gets a count to set: how many permits it gave.
    @inline(__always)
    private func underGuard<Value>(
        _ progress: WaitProgress,
        forgetting dead: [ProcessStamp] = [],
        _ body: (inout Int) throws -> Attempt<Value>
    ) throws -> Attempt<Value> {
        let isRepaired: Bool
        switch guardWord.take(progress.atGuard) {
        case .busy(let word, let value): return .guarded(word, while: value)
        case .taken(let predecessor):
            chaosStep("semaphore.guarded")
            isRepaired = predecessor != nil || !dead.isEmpty
            if isRepaired { repair(dead + (predecessor.map { [$0] } ?? [])) }
        }
        var given = 0
        let result = Swift.Result { try body(&given) }
        // The dead may have given permits without waking anybody.
        let calls = isRepaired ? free.value : given
        let ring = calls > 0 ? raiseGate() : nil
        guardWord.release()
        if let ring { wake(calls, ring) }
        return try result.get()
    }

    /// Makes the count of free permits right, whatever a dead process was about. To be done again if this one is killed here.
    private func repair(_ dead: [ProcessStamp]) {
        guard let table else { return }
        table.forget(dead)
        let held = table.total
        // A permit that another process had replaced, by releasing more than it held, comes back beyond a bound.
        if capacity.value - held > limit.value { capacity.value = limit.value + held }
        chaosStep("semaphore.repaired")
        free.value = max(0, capacity.value - held)
        chaosStep("semaphore.recounted")
    }

    /// Tells sleepers that there is something to look at: changes the gate. Nil if nobody sleeps.
    ///
    /// - Returns: the gate's new value, and whether somebody may be on its way to sleep at this moment.
    private func raiseGate() -> (value: UInt32, isFresh: Bool)? {
        let old = gate.atomic.pointee.load(ordering: .relaxed)
        guard old & Self.sleepersBit != 0 else { return nil }
        // Only the mark can be gone meanwhile, taken back by one that woke nobody: then this is late, which does no harm.
        let value = (old & ~Self.freshBit) &+ 4
        gate.atomic.pointee.store(value, ordering: .relaxed)
        chaosStep("semaphore.raised")
        return (value, old & Self.freshBit != 0)
    }

    /// Wakes up to `count` sleepers.
    private func wake(_ count: Int, _ ring: (value: UInt32, isFresh: Bool)) {
        chaosStep("semaphore.opened")
        guard gate.wake(Int32(clamping: count)) < count, !ring.isFresh else { return }
        // Nobody sleeps, and nobody is about to, unless it marked the gate meanwhile. Turns mean nothing without the mark.
        _ = gate.atomic.pointee.compareExchange(
            expected: ring.value,
            desired: ring.value & ~Self.sleepersBit,
            ordering: .relaxed
        )
    }

    /// The dead among the holders. Those who wait share the search: one of them every few milliseconds, unless `atOnce`.
    private func deadHolders(atOnce: Bool) -> [ProcessStamp] {
        guard let table, atOnce || searched.isDue() else { return [] }
        return table.deadHolders()
    }
}

/// When somebody last searched for dead holders, in nanoseconds since boot.
private struct SearchTime: @unchecked Sendable {
    // Unchecked: an address that is only used by atomic operations. No lock.
    private let word: UnsafeMutablePointer<Atomic<UInt64>>

    private static let pause: UInt64 = 4_000_000

    init(_ block: SharedBlock, at offset: Int) {
        word = block.word(offset)
    }

    /// Whether it is time for another search, which is then the caller's.
    func isDue() -> Bool {
        let now = SinceBoot.nanoseconds
        let last = word.pointee.load(ordering: .relaxed)
        // A time to come is damage.
        guard now < last || now - last >= Self.pause else { return false }
        return word.pointee.compareExchange(expected: last, desired: now, ordering: .relaxed).exchanged
    }
}
