internal import MultiprocessingSystem
internal import MultiprocessingWire
internal import Synchronization

/// How far a worker was in a chunk when it ended.
enum ChunkPosition: Sendable, Equatable {
    /// At an item, counted within the chunk.
    case item(Int)
    /// At none: decoding arguments, or encoding results.
    case noItem
    /// Somewhere before an item, counted within the chunk: neither that one nor any behind it has begun.
    case before(Int)
}

/// What a worker process notes beside its connection's ring, in memory that it shares with its pool: which task it has begun, and
/// at which item of which chunk it is.
///
/// A store each, and no system call; they are there when the process has been killed. They are words of the connection's, which
/// has to live as long as this is used.
///
/// And what the pool notes beside the other ring: that the worker is about to be killed for a task. The worker begins no other one
/// then, so that what had nothing to do with it does not begin in vain. Each of the two stores its own word before it loads the
/// other's, in one order for all (sequentially consistent): at least one of them sees what the other did.
struct WorkerPlace: Sendable {
    private let ring: MessageRing
    private let orders: MessageRing

    /// - Parameters:
    ///   - ring: the one to the pool.
    ///   - orders: the one from the pool.
    init(beside ring: MessageRing, _ orders: MessageRing) {
        self.ring = ring
        self.orders = orders
    }

    // MARK: The task: its number and one, zero for none

    /// Notes that a task begins. Does not return while the worker is about to be killed for the one before.
    func note(task: Int) {
        ring.note(0).pointee.store(UInt64(task) + 1, ordering: .sequentiallyConsistent)
        while orders.note(0).pointee.load(ordering: .sequentiallyConsistent) != 0 {
            ThisProcess.pause(.microseconds(100))
        }
    }

    /// The task that the worker has begun last; nil if it has not begun any.
    var task: Int? {
        let note = ring.note(0).pointee.load(ordering: .sequentiallyConsistent)
        return note == 0 ? nil : Int(truncatingIfNeeded: note - 1)
    }

    /// Keeps the worker from beginning anything after a task, for which it is to be killed; false if it has begun something.
    func condemn(for task: Int) -> Bool {
        orders.note(0).pointee.store(1, ordering: .sequentiallyConsistent)
        if self.task == task { return true }
        orders.note(0).pointee.store(0, ordering: .sequentiallyConsistent)
        return false
    }

    // MARK: The item: the high half is the task's number, the low half the item's place and one, zero for none

    private static func high(_ task: Int) -> UInt64 { UInt64(UInt32(truncatingIfNeeded: task)) << 32 }

    /// Notes the items of a task's chunk.
    func reporter(
        of task: Int,
        _ loose: LooseChunk?,
        send: @escaping @Sendable (EncodedPieces) throws -> Void
    ) -> ChunkReporter {
        ChunkReporter(word: ring.note(1), tag: Self.high(task), loose: loose, send: send)
    }

    /// Where the worker is, or was, in a task that it has begun.
    func position(in task: Int) -> ChunkPosition {
        let value = ring.note(1).pointee.load(ordering: .acquiring)
        let low = Int(value & 0xffff_ffff)
        // Another task's: it has begun no item of this one.
        return value & ~0xffff_ffff == Self.high(task) && low > 0 ? .item(low - 1) : .noItem
    }
}
