/// How far a worker was in a chunk when it ended.
enum ChunkPosition: Sendable, Equatable {
    /// At an item, counted within the chunk.
    case item(Int)
    /// At none: decoding arguments, or encoding results.
    case noItem
}

/// A word in memory that a worker process shares with its pool: which item of which chunk it is at.
///
/// A store, and no system call, for each item; it is there when the process has been killed. The high half is the task's number,
/// the low half the item's place and one, zero for none.
struct ItemPlace: Codable, Sendable {
    private let word: SharedAtomic<UInt64>

    /// - Throws: ``SharedStateError`` (`outOfResources`).
    init() throws {
        word = try SharedAtomic(0)
    }

    private static func high(_ task: Int) -> UInt64 { UInt64(UInt32(truncatingIfNeeded: task)) << 32 }

    func note(task: Int, item: Int?) {
        word.store(Self.high(task) | UInt64(UInt32(truncatingIfNeeded: (item ?? -1) + 1)))
    }

    /// Where the worker is, or was, in a task that it has begun.
    func position(in task: Int) -> ChunkPosition {
        let value = word.load()
        let low = Int(value & 0xffff_ffff)
        // Another task's: it has begun no item of this one.
        return value & ~0xffff_ffff == Self.high(task) && low > 0 ? .item(low - 1) : .noItem
    }
}
