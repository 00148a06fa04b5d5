internal import MultiprocessingSystem
internal import Synchronization

/// Which process holds how many permits of a semaphore: pairs of a stamp and a count in shared memory.
///
/// Changed only under the semaphore's guard. A pair is its process's as long as the count is not zero; with zero, anybody may
/// have it. Searches go up to a high-water mark, so a table costs what its users need. All of it may be read at any time.
///
/// What is read is not trusted: the mark is bounded, and counts are added without overflow.
struct PermitTable: @unchecked Sendable {
    // Unchecked: addresses that are only used by atomic operations, under the semaphore's guard where they write.

    /// The most processes that may hold permits of one semaphore at the same time.
    static let capacity = 4000
    static let byteCount = capacity * 16

    let slots: UnsafeMutablePointer<Atomic<UInt64>>
    let highWater: UnsafeMutablePointer<Atomic<UInt64>>

    /// - Parameters:
    ///   - offset: of the pairs; all zero at first.
    ///   - mark: the offset of the high-water mark.
    init(_ block: SharedBlock, at offset: Int, mark: Int) {
        precondition(offset + Self.byteCount <= block.byteCount)
        slots = block.word(offset)
        highWater = block.word(mark)
    }

    private var used: Int { min(Int(clamping: highWater.pointee.load(ordering: .relaxed)), Self.capacity) }

    private func stamp(_ slot: Int) -> UnsafeMutablePointer<Atomic<UInt64>> { slots + 2 * slot }
    private func count(_ slot: Int) -> UnsafeMutablePointer<Atomic<UInt64>> { slots + 2 * slot + 1 }

    /// This process's slot, looked for at `hint` first; nil if it has none.
    @inline(__always)
    func find(hint: Int) -> Int? {
        let me = ProcessStamp.current.rawValue
        if hint < used, hint >= 0, stamp(hint).pointee.load(ordering: .relaxed) == me { return hint }
        return search(me)
    }

    private func search(_ me: UInt64) -> Int? {
        (0..<used).first { stamp($0).pointee.load(ordering: .relaxed) == me }
    }

    /// Gives this process a slot with a count of zero; nil if the table is full.
    func claim() -> Int? {
        let used = used
        let slot = (0..<used).first { count($0).pointee.load(ordering: .relaxed) == 0 } ?? used
        guard slot < Self.capacity else { return nil }
        // The mark first: a pair beyond it would be forgotten with its permits. Each of these is harmless by itself.
        if slot == used { highWater.pointee.store(UInt64(used + 1), ordering: .releasing) }
        chaosStep("semaphore.slot.raised")
        stamp(slot).pointee.store(ProcessStamp.current.rawValue, ordering: .releasing)
        chaosStep("semaphore.slot.claimed")
        return slot
    }

    /// How many permits this process holds, by its slot.
    @inline(__always)
    func held(_ slot: Int) -> Int { Int(min(count(slot).pointee.load(ordering: .relaxed), 1 << 48)) }

    /// Sets how many permits this process holds: one store, which commits an acquisition or a release.
    ///
    /// Releasing: the stamp, and a larger capacity, come before it.
    @inline(__always)
    func setHeld(_ slot: Int, _ permits: Int) { count(slot).pointee.store(UInt64(permits), ordering: .releasing) }

    /// How many permits are held by anybody, the dead included.
    var total: Int {
        var sum: UInt64 = 0
        for slot in 0..<used {
            let (next, overflow) = sum.addingReportingOverflow(count(slot).pointee.load(ordering: .relaxed))
            sum = overflow ? .max : next
        }
        return Int(clamping: sum)
    }

    /// The dead among those that hold permits. Needs no guard; some ten microseconds for each process that lives.
    func deadHolders() -> [ProcessStamp] {
        var dead: [ProcessStamp] = []
        for slot in 0..<used where count(slot).pointee.load(ordering: .relaxed) > 0 {
            let holder = ProcessStamp(rawValue: stamp(slot).pointee.load(ordering: .relaxed))
            // Zero with a count is damage; nobody is nobody's to bury.
            if holder != .nobody, !holder.isAlive { dead.append(holder) }
        }
        return dead
    }

    /// Takes away what these processes held. Under the guard; a stamp that was dead is dead for ever.
    func forget(_ dead: [ProcessStamp]) {
        for slot in 0..<used {
            let holder = ProcessStamp(rawValue: stamp(slot).pointee.load(ordering: .relaxed))
            guard dead.contains(holder), held(slot) > 0 else { continue }
            setHeld(slot, 0)
            chaosStep("semaphore.slot.emptied")
        }
    }
}
