internal import MultiprocessingSystem
internal import MultiprocessingWire
internal import Synchronization

// The short way of numbers, texts and bytes, when nobody is in the way, nothing is held and nothing goes beside the bytes. The same
// protocol and the same steps as the long way, which takes over wherever this one says no. Values are encoded into the ring and decoded
// out of it, with a guard taken: no code of the user runs there. Nothing here is generic, and nothing looks at the other end's memory,
// which another processor writes, as long as what was seen of it before will do.
extension QueueCore {
    /// Puts a value; false, and nothing was put, if that takes more than writing it down.
    func putSmall(_ type: SmallType, _ source: UnsafeRawPointer) throws -> Bool {
        try requireOpen()
        let size = RecordHeader.recordSize(type.messageSize(source), hasDescriptors: false)
        guard memory.producerGuard.takeIfUncontended() else { return false }
        let calls: UInt64
        do {
            defer { memory.producerGuard.release() }
            chaosStep("queue.put.entered")
            calls = consumers.calls
            var put = PutSession(word: tailWord)
            put.tail = RingPosition(rawValue: memory.tailPosition(put.word.copy).pointee.load(ordering: .relaxed))
            let end = put.tail.offset + size
            guard ring.isValid(put.tail), end <= Self.windowSize || end % Self.stride >= size,
                Int64(bitPattern: put.word.sequence &- memory.takenSeen.pointee.load(ordering: .relaxed))
                    < Int64(clamping: memory.maximumCount),
                let place = ring.place(
                    size,
                    tail: put.tail,
                    free: RingPosition(rawValue: memory.freeSeen.pointee.load(ordering: .relaxed))
                ),
                !place.isWrapped
            else { return false }
            let record = try memory.bytes(at: place.start, count: size)
            let payload = UnsafeMutableRawBufferPointer(rebasing: record[RecordHeader.size...])
            // The value is the caller's, and is not changed by others meanwhile: the size is what was asked for.
            guard let count = type.encode(source, into: payload) else { return false }
            chaosStep("queue.put.copied")
            let header = RecordHeader(byteCount: count, hasDescriptors: false)
            record.storeBytes(of: header.rawValue, as: UInt64.self)
            put.tail = ring.advanced(put.tail, by: header.recordSize)
            put.count = 1
            noteUse(upTo: end)
            try commit(put)
        }
        consumers.ring(calls, count: 1)
        return true
    }

    /// Gets a value; false, and nothing was taken, if the first item is no such value, or somebody else is taking, or none came soon.
    func getSmall(_ type: SmallType, into target: UnsafeMutableRawPointer, _ limit: Limit) throws -> Bool {
        if let isTaken = try takeSmall(type, into: target) { return isTaken }
        if limit.isImmediate { return false }
        let seen = tailWord
        guard seen.sequence == headWord.sequence,
            getSpin.sees(
                FutexWord(lowHalfOf: memory.tail),
                changeFrom: seen.low,
                writtenOn: UInt32(truncatingIfNeeded: memory.producerProcessor.pointee.load(ordering: .relaxed))
            )
        else { return false }
        return try takeSmall(type, into: target) ?? false
    }

    /// Whether it took the first item; nil if there is none.
    @inline(__always)
    private func takeSmall(_ type: SmallType, into target: UnsafeMutableRawPointer) throws -> Bool? {
        try requireOpen()
        guard memory.usedHolds == 0 else { return false }
        if headWord.sequence >= memory.putSeen.pointee.load(ordering: .relaxed),
            tailWord.sequence == headWord.sequence
        {
            return nil
        }
        chaosStep("queue.get.looked")
        guard memory.consumerGuard.takeIfUncontended() else { return false }
        let calls: UInt64
        do {
            defer { memory.consumerGuard.release() }
            chaosStep("queue.get.entered")
            calls = producers.calls
            // Nothing is held: also now. What was there before the guard was taken may have been leased, or discarded, since.
            guard memory.usedHolds == 0, memory.returnedHint.pointee.load(ordering: .relaxed) == 0,
                memory.discardHint.pointee.load(ordering: .sequentiallyConsistent) == 0
            else { return false }
            var head = try loadHead()
            if head.word.sequence >= memory.putSeen.pointee.load(ordering: .relaxed) {
                let put = tailWord.sequence
                memory.putSeen.pointee.store(put, ordering: .relaxed)
                if head.word.sequence == put { return nil }
            }
            let header = RecordHeader(rawValue: try memory.loadWord(at: head.position))
            guard !header.isWrap, !header.hasDescriptors, header.byteCount <= Self.copiedAtMost,
                header.recordSize <= ring.capacity - head.position.offset
            else { return false }
            let start = ring.advanced(head.position, by: RecordHeader.size)
            let bytes = try memory.bytes(at: start, count: header.byteCount)
            guard type.decode(UnsafeRawBufferPointer(bytes), into: target) else { return false }
            chaosStep("queue.get.copied")
            head.position = ring.advanced(head.position, by: header.recordSize)
            head.free = head.position
            commit(head, taking: 1)
        }
        if Bell.isPending(producers.calls), let head = try? loadHead() { wakeProducers(calls, head, count: 1) }
        return true
    }
}
