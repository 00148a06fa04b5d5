internal import MultiprocessingSystem

extension Queue: Waitable {
    public func waitSource() throws -> WaitSource {
        try core.requireOpen()
        let tail = core.tailWord.low
        core.consumers.announce()
        return WaitSource(.word(FutexWord(lowHalfOf: core.memory.tail), tail), keeping: core)
    }

    /// Whether an item is there, or none can come because the queue was shut down: then a get does not wait.
    public var isReady: Bool {
        get throws {
            if try count > 0 || core.tailWord.isShutDown { return true }
            // Maybe nobody else comes to look whether a lease ended.
            try core.lookForEndedLeases()
            return try count > 0
        }
    }
}
