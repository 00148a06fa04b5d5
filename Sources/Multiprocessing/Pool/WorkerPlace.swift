/// How far a worker was in a chunk when it ended.
enum ChunkPosition: Sendable, Equatable {
    /// At an item, counted within the chunk.
    case item(Int)
    /// At none: decoding arguments, or encoding results.
    case noItem
}

/// Memory that a worker process shares with its pool: which task it has begun, and which item of it.
///
/// A store, and no message, for each; it is there when the process has been killed.
struct WorkerPlace: Codable, Sendable {
    /// Both count from one; zero is none.
    private let (taskWord, itemWord): (SharedAtomic<UInt64>, SharedAtomic<UInt64>)

    /// - Throws: ``SharedStateError`` (`outOfResources`).
    init() throws {
        taskWord = try SharedAtomic(0)
        itemWord = try SharedAtomic(0)
    }

    func note(task: Int) {
        // In this order: an item without its task would be taken for one of the task before.
        itemWord.store(0)
        taskWord.store(UInt64(task) + 1)
    }

    func note(item: Int?) { itemWord.store(UInt64((item ?? -1) + 1)) }

    /// The task that the worker has begun last.
    var task: Int? {
        let value = taskWord.load()
        return value == 0 ? nil : Int(truncatingIfNeeded: value - 1)
    }

    /// Where the worker is, or was, in a task.
    func position(in task: Int) -> ChunkPosition {
        let item = itemWord.load()
        // Read last: if it is still this task's, so was the item. Another task's: it has begun no item of this one.
        return self.task == task && item > 0 ? .item(Int(truncatingIfNeeded: item - 1)) : .noItem
    }
}
