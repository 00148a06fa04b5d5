internal import MultiprocessingSystem

extension Queue: Waitable {
    public func waitSource() throws -> WaitSource {
        try core.requireOpen()
        core.consumers.announce()
        let tail = UInt32(truncatingIfNeeded: core.tailWord.rawValue)
        return WaitSource(.word(FutexWord(lowHalfOf: core.memory.tail), tail), keeping: core)
    }

    /// Whether an item is there, or none can come because the queue was shut down: then a get does not wait.
    public var isReady: Bool {
        get throws { try count > 0 || core.tailWord.isShutDown }
    }
}
