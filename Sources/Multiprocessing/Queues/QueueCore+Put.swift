internal import MultiprocessingSystem
internal import Synchronization

/// An item on its way into a queue. The bytes are valid while the call runs that it is passed to.
struct OutgoingItem {
    /// What the message begins with.
    var bytes: UnsafeRawBufferPointer
    /// What follows, if it is in several pieces.
    var more: [UnsafeRawBufferPointer] = []
    var attachments: [SharedDescriptor] = []

    var byteCount: Int { more.isEmpty ? bytes.count : more.reduce(bytes.count) { $0 + $1.count } }
    var recordSize: Int { RecordHeader.recordSize(byteCount, hasDescriptors: !attachments.isEmpty) }

    /// Copies all of it.
    func copy(to target: UnsafeMutableRawPointer) {
        if let base = bytes.baseAddress { target.copyMemory(from: base, byteCount: bytes.count) }
        var position = bytes.count
        for piece in more {
            if let base = piece.baseAddress { (target + position).copyMemory(from: base, byteCount: piece.count) }
            position += piece.count
        }
    }
}

extension QueueCore {
    /// Where jumping back to the start of the ring begins to be worth it, in bytes: what a processor's nearest caches hold.
    static let windowSize = 64 << 10
    /// How often it is looked, in bytes that are put, whether it can be done, and whether it is worth waiting for.
    static let stride = 16 << 10
    /// From this size on page faults are a good part of the cost of an item. With smaller ones it is better to be far ahead: then the
    /// two sides do not touch the same cache lines.
    private static let costlySize = 256

    /// Refuses what can never get in.
    func validate(_ item: OutgoingItem) throws {
        guard item.recordSize <= ring.capacity else {
            throw SharedStateError(
                .tooLarge,
                "An item of \(item.byteCount) bytes is too large for a queue of \(ring.capacity) bytes"
            )
        }
        guard item.attachments.count <= Descriptor.maximumPassed else {
            throw SharedStateError(
                .tooLarge,
                "An item with \(item.attachments.count) descriptors: \(Descriptor.maximumPassed) can travel"
            )
        }
    }

    /// Puts as many of the items as there is room for, in order, all at once; how many.
    ///
    /// - Parameter isImmediate: throw `full` instead of waiting for room.
    func attemptPut(
        _ items: UnsafeBufferPointer<OutgoingItem>,
        isImmediate: Bool,
        _ progress: WaitProgress,
        _ turn: inout Turn
    ) throws -> Attempt<Int> {
        try requireOpen()
        let seen = headWord
        if tailWord.isShutDown {
            leave(&turn, progress)
            throw Self.shutDownError
        }
        let entry = enter(memory.producerGuard, progress, &turn)
        guard entry.isTaken else { return .wait(entry.sleepOn!.0, while: entry.sleepOn!.1) }
        // A dead owner left nothing to repair: what it had not committed lies beyond the tail.
        chaosStep("queue.put.entered")
        let calls = consumers.calls
        var put = PutSession(word: tailWord)
        var sleepOn = (FutexWord(lowHalfOf: memory.head), seen.low)
        do {
            defer { memory.producerGuard.release() }
            put.tail = RingPosition(rawValue: memory.tailPosition(put.word.copy).pointee.load(ordering: .relaxed))
            guard ring.isValid(put.tail) else { throw QueueMemory.damaged }
            if entry.deadOwner != nil, case .taken(let dead) = memory.consumerGuard.take() {
                // It may have sent descriptors that would stay open for nobody.
                _ = try dropOrphans(before: put.tail, dead)
            }
            var head = try lookAtHead()
            if put.tail.offset >= Self.windowSize, put.word.sequence == head.word.sequence {
                if case .taken(let dead) = memory.consumerGuard.take() {
                    let size = items.first?.recordSize ?? 0
                    head = try rearrange(&put, dead, for: size, moving: false) ?? head
                }
            }
            while put.count < items.count {
                guard put.word.sequence &+ UInt64(put.count) &- head.word.sequence < memory.maximumCount else {
                    turn.lackedBytes = false
                    break
                }
                let item = items[put.count]
                guard let place = ring.place(item.recordSize, tail: put.tail, free: head.free) else {
                    turn.lackedBytes = true
                    let fresh = try lookAtHead()
                    if fresh.word != head.word {
                        head = fresh
                        continue
                    }
                    let isEmpty = put.count == 0 && put.word.sequence == head.word.sequence
                    guard
                        fresh.free != fresh.position
                            || isEmpty && (put.tail.offset > 0 || fresh.position != put.tail)
                    else { break }
                    let entry = enter(memory.consumerGuard, progress, &turn)
                    guard entry.isTaken else {
                        sleepOn = entry.sleepOn!
                        break
                    }
                    guard let changed = try rearrange(&put, entry.deadOwner, for: item.recordSize, moving: true)
                    else { break }
                    head = changed
                    continue
                }
                let sending = try write(item, at: place, &put)
                guard case .sent = sending else {
                    turn.lackedBytes = true
                    // Its packets may be those of producers that died, for which nobody comes.
                    let entry = enter(memory.consumerGuard, progress, &turn)
                    guard entry.isTaken else {
                        sleepOn = entry.sleepOn!
                        break
                    }
                    if try dropOrphans(before: put.tail, entry.deadOwner) { continue }
                    if put.count == 0, case .tooMany(let error) = sending { throw error }
                    break
                }
                put.count += 1
            }
            if put.count > 0 { try commit(put) }
        }
        if put.count > 0 || sleepOn.0 == FutexWord(lowHalfOf: memory.head) { leave(&turn, progress) }
        guard put.count > 0 else {
            // A guard that is busy does not make a queue full.
            if sleepOn.0 == FutexWord(lowHalfOf: memory.head) {
                if isImmediate { throw fullError }
                // Only here: an announcement costs the next consumer a system call.
                if progress.isAboutToSleep { producers.announce(forBytes: turn.lackedBytes) }
            }
            return .wait(sleepOn.0, while: sleepOn.1)
        }
        consumers.ring(calls, count: put.count)
        return .done(put.count)
    }

    /// The state of the head, noted for the short way of puts to come. With the producer guard.
    private func lookAtHead() throws -> Head {
        let head = try loadHead()
        // Killed in between: each of the two is old at worst.
        memory.takenSeen.pointee.store(head.word.sequence, ordering: .relaxed)
        memory.freeSeen.pointee.store(head.free.rawValue, ordering: .relaxed)
        return head
    }

    /// What a put has written but not committed.
    struct PutSession {
        var word: CommitWord
        var tail = RingPosition.start
        var count = 0
    }

    /// Writes an item beyond the tail, unless its descriptors cannot be sent.
    private func write(
        _ item: OutgoingItem,
        at place: Ring.Placement,
        _ put: inout PutSession
    ) throws -> DescriptorChannel.Sending {
        let header = RecordHeader(byteCount: item.byteCount, hasDescriptors: !item.attachments.isEmpty)
        let record = try memory.bytes(at: place.start, count: header.recordSize)
        var payload = RecordHeader.size
        if header.hasDescriptors {
            // The number is used up before the packet is sent, so that no two packets have the same.
            let ticket = memory.ticket.pointee.load(ordering: .relaxed) &+ 1
            memory.ticket.pointee.store(ticket, ordering: .sequentiallyConsistent)
            chaosStep("queue.put.ticketed")
            let sending = try channel.send(item.attachments, ticket: ticket)
            guard case .sent = sending else { return sending }
            chaosStep("queue.put.sent")
            record.storeBytes(of: ticket, toByteOffset: RecordHeader.size, as: UInt64.self)
            payload += RecordHeader.ticketSize
        }
        if place.isWrapped { try memory.storeWord(RecordHeader.wrap.rawValue, at: put.tail) }
        chaosStep("queue.put.marked")
        item.copy(to: record.baseAddress! + payload)
        chaosStep("queue.put.copied")
        record.storeBytes(of: header.rawValue, as: UInt64.self)
        put.tail = place.end
        noteUse(upTo: place.start.offset + header.recordSize)
        return .sent
    }

    /// Notes that the ring's memory up to an offset was used, or will be soon. With the producer guard.
    @inline(__always)
    func noteUse(upTo offset: Int) {
        if memory.everUsed.pointee.load(ordering: .relaxed) < UInt64(offset) {
            let end = (offset + Self.stride - 1) & ~(Self.stride - 1)
            memory.everUsed.pointee.store(UInt64(end), ordering: .relaxed)
        }
    }

    /// Before an item goes to memory that never was in use: looks for about the time that the kernel takes to find some whether
    /// consumers empty the line. Then the ring begins anew, in memory that is there and in the caches.
    ///
    /// Without the guard: what others do meanwhile makes it wait, or not wait, in vain.
    func letConsumersCatchUp(_ size: Int) {
        guard size >= Self.costlySize else { return }
        let tail = tailWord
        let place = RingPosition(rawValue: memory.tailPosition(tail.copy).pointee.load(ordering: .relaxed))
        guard place.offset >= Self.windowSize, place.offset + size <= ring.capacity,
            UInt64(place.offset + size) > memory.everUsed.pointee.load(ordering: .relaxed)
        else { return }
        // A trial takes some 25 microseconds, as do the page faults of 64 KiB.
        let trials = Int32(max(1, min(size >> 16, 16)))
        _ = catchUpSpin.sees(FutexWord(lowHalfOf: memory.head), trials: trials) {
            Int64(bitPattern: tail.sequence &- headWord.sequence) <= 0
        }
    }

    /// The commit point of every put.
    @inline(__always)
    func commit(_ put: PutSession) throws {
        memory.tailPosition(put.word.committing(UInt64(put.count)).copy).pointee
            .store(put.tail.rawValue, ordering: .releasing)
        memory.producerProcessor.pointee.store(UInt64(ThisProcess.processor), ordering: .relaxed)
        chaosStep("queue.put.written")
        var current = put.word
        repeat {
            // Also at the first attempt: the shutdown may have come after the look at it and before the word was read.
            if current.isShutDown { throw Self.shutDownError }
            let (won, now) = memory.tail.pointee.compareExchange(
                expected: current.rawValue,
                desired: current.committing(UInt64(put.count)).rawValue,
                ordering: .sequentiallyConsistent
            )
            if won { break }
            current = CommitWord(rawValue: now)
        } while true
        chaosStep("queue.put.committed")
    }

    /// Makes room, with both guards taken, of which it releases the consumers'; nil if there is none to be made.
    ///
    /// What holds left is joined to the rest. A queue that is empty moves back to the start of its ring, so that a small one stays in
    /// few pages and in the caches, and an item as large as the ring finds it in one piece; also if holds lie in the ring, but leave
    /// room for two such items before them. Tail first, with a marker by which the head finds it: killed in between, the queue is
    /// empty and consistent, and the next to come here, or to take an item, has the head follow.
    ///
    /// - Parameter moving: whether to move what holds left, and to look whether their owners are alive.
    private func rearrange(
        _ put: inout PutSession,
        _ deadOwner: ProcessStamp?,
        for size: Int,
        moving: Bool
    ) throws -> Head? {
        defer { memory.consumerGuard.release() }
        if deadOwner != nil { try repairHolds() }
        let old = try loadHead()
        let isEmpty = put.count == 0 && old.word.sequence == put.word.sequence
        // Somebody died in between.
        if isEmpty, old.position != put.tail { follow(old, put.tail) }
        if old.free != old.position { try reclaim(moving: moving) }
        let head = try loadHead()
        let hasHolds = head.free != head.position
        let hasRoom = !hasHolds || !moving && head.free.lap == put.tail.lap && head.free.offset / 2 >= size
        guard isEmpty, put.tail.offset > 0, hasRoom else {
            return head.free != old.free || head.position != old.position ? head : nil
        }
        try memory.storeWord(RecordHeader.wrap.rawValue, at: put.tail)
        put.tail = ring.nextLap(put.tail)
        try commit(put)
        put.word = tailWord
        chaosStep("queue.put.jumping")
        follow(head, put.tail)
        return try lookAtHead()
    }

    /// Has the head of an empty queue go where the tail has jumped to.
    private func follow(_ head: Head, _ tail: RingPosition) {
        let free = head.free == head.position ? tail : head.free
        commit(Head(word: head.word, position: tail, free: free, discarded: head.discarded), taking: 0)
    }

    static var shutDownError: SharedStateError {
        SharedStateError(.shutDown, "The queue was shut down")
    }

    var fullError: SharedStateError {
        memory.maximumCount == .max
            ? SharedStateError(.full, "The queue's \(ring.capacity) bytes are full")
            : SharedStateError(.full, "The queue is full: it holds up to \(memory.maximumCount) items")
    }
}
