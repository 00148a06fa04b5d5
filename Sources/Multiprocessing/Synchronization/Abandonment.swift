internal import MultiprocessingSystem
internal import Synchronization

/// That the previous holder of a lock died while it held it: whatever the lock protects may be halfway.
public struct Abandonment: Hashable, Sendable, CustomStringConvertible {
    /// The process that died, or ended, with the lock in its hands. The id may be another process's by now.
    public let processIdentifier: Int32

    /// When this process found out, by the clock that all processes of the machine share.
    ///
    /// The death itself was earlier: by some milliseconds if somebody waited for the lock then, else by any time.
    public let noticed: ContinuousClock.Instant

    public var description: String {
        "process \(processIdentifier) ended while it held the lock; noticed \(ContinuousClock.now - noticed) ago"
    }
}

/// Where a lock remembers whom it was taken over from: two words beside the owner word, written by the holder alone.
///
/// A taker that dies before it has written here is a dead owner itself, and the next one writes its name instead: so the
/// record never has to be repaired. It outlives the taker, whose successor replaces it.
///
/// Offsets: 0, the dead owner's stamp (zero: nobody died); 8, the time in nanoseconds since boot.
struct AbandonmentRecord: @unchecked Sendable {
    // Unchecked: addresses that are only used by atomic operations. No lock.
    private let stamp: UnsafeMutablePointer<Atomic<UInt64>>
    private let time: UnsafeMutablePointer<Atomic<UInt64>>

    init(_ block: SharedBlock, at offset: Int) {
        stamp = block.word(offset)
        time = block.word(offset + 8)
    }

    /// Notes whom the lock was taken over from. By the holder.
    func write(_ dead: ProcessStamp) {
        time.pointee.store(SinceBoot.nanoseconds, ordering: .relaxed)
        // Whoever sees the stamp sees its time: other threads of the holder's process may read.
        stamp.pointee.store(dead.rawValue, ordering: .releasing)
    }

    /// Forgets it. By the holder, before it releases; a load if there is nothing to forget.
    @inline(__always)
    func clear() {
        let found = stamp.pointee.load(ordering: .relaxed)
        // Not a store: should this thread not be the holder, by the program's fault, it may only drop what it saw.
        if found != 0 { _ = stamp.pointee.compareExchange(expected: found, desired: 0, ordering: .relaxed) }
    }

    /// What was noted.
    var value: Abandonment? {
        let dead = ProcessStamp(rawValue: stamp.pointee.load(ordering: .acquiring))
        guard dead != .nobody else { return nil }
        return Abandonment(
            processIdentifier: dead.processIdentifier,
            noticed: SinceBoot.instant(time.pointee.load(ordering: .relaxed))
        )
    }
}
