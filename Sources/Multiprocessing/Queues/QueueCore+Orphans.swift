internal import MultiprocessingSystem

// Packets of descriptors whose items never came to be, because their producers died between sending and committing.
extension QueueCore {
    /// Makes room in a socket full of such packets, with both guards taken, of which it releases the consumers'.
    ///
    /// Packets are in the order of their tickets, and so are the items that wait for them. What is in front of the first item's
    /// packet belongs to nobody; what is behind it may be needed, and has its turn when that item is taken. Killed in between, the
    /// next one goes on with it.
    /// - Parameter tail: the end of what the caller has written, committed or not.
    /// - Returns: whether there is room now.
    func dropOrphans(before tail: RingPosition, _ deadOwner: ProcessStamp?) throws -> Bool {
        defer { memory.consumerGuard.release() }
        if deadOwner != nil { try repairHolds() }
        return channel.dropPackets(before: try firstTicket(before: tail))
    }

    /// The ticket of the first item in line whose descriptors are still to be received; nil if there is none.
    ///
    /// Reads the header of each item in front of it.
    private func firstTicket(before tail: RingPosition) throws -> UInt64? {
        var position = try loadHead().position
        while true {
            let left = ring.distance(from: position, to: tail)
            if left == 0 { return nil }
            guard left > 0, ring.isValid(position) else { throw QueueMemory.damaged }
            let header = RecordHeader(rawValue: try memory.loadWord(at: position))
            if header.isWrap {
                position = ring.nextLap(position)
                continue
            }
            guard header.byteCount <= ring.capacity, header.recordSize <= ring.capacity - position.offset else {
                throw QueueMemory.damaged
            }
            // One whose receipt was begun is lost with the consumer that died over it.
            if header.hasDescriptors, !header.isClaimed {
                return try memory.loadWord(at: ring.advanced(position, by: RecordHeader.size))
            }
            position = ring.advanced(position, by: header.recordSize)
        }
    }
}
