internal import MultiprocessingSystem
internal import Synchronization

// Unsafe code: the bytes of an item that was taken are its own copy or lie in a hold; `finish` gives either back, once.

/// A hold as the process that occupies it knows it.
struct Occupied {
    var index: Int
    var state: HoldState
    var sequence: UInt64
    /// In nanoseconds of ``MonotonicTime``; `.max` if there is none.
    var deadline: UInt64
}

/// An item that was taken out of a queue and is still to be decoded.
struct TakenItem {
    private typealias Small = (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64)

    /// Its size in bytes.
    let byteCount: Int
    /// The bytes of a small item.
    private var small: Small = (0, 0, 0, 0, 0, 0, 0, 0)
    /// The bytes of a larger one: in the hold, if there is one, else a copy; nil for a small one.
    private var large: UnsafeRawPointer?
    /// The hold in which the bytes lie.
    let hold: Occupied?
    var attachments: [SharedDescriptor] = []

    /// A copy of the bytes.
    init(copying source: UnsafeMutableRawBufferPointer) {
        byteCount = source.count
        hold = nil
        if source.count <= MemoryLayout<Small>.size {
            withUnsafeMutableBytes(of: &small) { $0.copyMemory(from: UnsafeRawBufferPointer(source)) }
        } else {
            let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: source.count, alignment: 16)
            copy.copyMemory(from: UnsafeRawBufferPointer(source))
            large = UnsafeRawPointer(copy.baseAddress!)
        }
    }

    fileprivate init(_ source: UnsafeMutableRawBufferPointer, in hold: Occupied) {
        byteCount = source.count
        large = UnsafeRawPointer(source.baseAddress!)
        self.hold = hold
    }

    func withBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        if let large { return try body(UnsafeRawBufferPointer(start: large, count: byteCount)) }
        return try withUnsafeBytes(of: small) { try body(UnsafeRawBufferPointer(rebasing: $0[..<byteCount])) }
    }

    /// Gives a copy back.
    func deallocate() {
        if hold == nil { large?.deallocate() }
    }
}

extension QueueCore {
    /// How an item is taken.
    enum Purpose {
        case get
        /// For a time in nanoseconds; `.max` for as long as the process lives.
        case lease(for: UInt64)
    }

    /// Larger items are decoded where they lie, in a hold, without the guard; smaller ones are copied, which is soon done.
    static let copiedAtMost = 16 << 10
    /// A batch ends behind this many copied bytes, so that others are not kept waiting.
    private static let batchBytes = 256 << 10

    /// Takes the first item.
    ///
    /// - Parameter isImmediate: throw `empty` instead of waiting for one.
    func attemptTake(
        _ purpose: Purpose,
        isImmediate: Bool,
        _ progress: WaitProgress,
        _ turn: inout Turn
    ) throws -> Attempt<TakenItem> {
        let item: TakenItem?
        switch try enterConsuming(isImmediate, progress, &turn) {
        case .wait(let word, let value), .guarded(let word, let value): return .wait(word, while: value)
        case .done(let seen):
            let calls = producers.calls
            do {
                defer { memory.consumerGuard.release() }
                item = try takeNext(purpose)
            }
            if let item {
                wakeProducers(calls, count: 1)
                return .done(item)
            }
            return try nothing(seen, isImmediate, progress)
        }
    }

    /// Takes up to `limit` items, with one entry, when there are any.
    func attemptTake(
        upTo limit: Int,
        isImmediate: Bool,
        _ progress: WaitProgress,
        _ turn: inout Turn
    ) throws -> Attempt<[TakenItem]> {
        var items: [TakenItem] = []
        switch try enterConsuming(isImmediate, progress, &turn) {
        case .wait(let word, let value), .guarded(let word, let value): return .wait(word, while: value)
        case .done(let seen):
            let calls = producers.calls
            do {
                defer { memory.consumerGuard.release() }
                var size = 0
                while items.count < limit, size < Self.batchBytes {
                    do {
                        guard let item = try takeNext(.get) else { break }
                        items.append(item)
                        size += item.byteCount
                    } catch {
                        // Those that were taken are not to suffer; the next call comes to it again if it is still there.
                        if items.isEmpty { throw error }
                        break
                    }
                }
            }
            if items.isEmpty { return try nothing(seen, isImmediate, progress) }
            wakeProducers(calls, count: items.count)
            return .done(items)
        }
    }

    /// Enters if there may be something to take; returns the tail as it was before looking.
    private func enterConsuming(
        _ isImmediate: Bool,
        _ progress: WaitProgress,
        _ turn: inout Turn
    ) throws -> Attempt<CommitWord> {
        try requireOpen()
        let seen = tailWord
        if seen.sequence == headWord.sequence, memory.usedHolds == 0 {
            leave(&turn, progress)
            switch try nothing(seen, isImmediate, progress) as Attempt<TakenItem> {
            case .wait(let word, let value), .guarded(let word, let value): return .wait(word, while: value)
            case .done: return .done(seen)
            }
        }
        let entry = enter(memory.consumerGuard, progress, &turn)
        guard entry.isTaken else { return .wait(entry.sleepOn!.0, while: entry.sleepOn!.1) }
        do {
            if entry.deadOwner != nil { try repairHolds() }
            chaosStep("queue.get.entered")
            if memory.usedHolds > 0 { try sweep(now: progress.isOverdue) }
            if tailWord.isDiscarding {
                try discardAll()
                throw Self.shutDownError
            }
        } catch {
            memory.consumerGuard.release()
            throw error
        }
        return .done(seen)
    }

    /// There is nothing to take: what to wait for, if that is wanted and can come.
    ///
    /// Announces the sleep only here: an announcement costs the next producer a system call. The look after it is the one that the
    /// kernel takes before it puts the caller to sleep.
    private func nothing<Value>(
        _ seen: CommitWord,
        _ isImmediate: Bool,
        _ progress: WaitProgress
    ) throws -> Attempt<Value> {
        // There may be items that cannot be leased now, because as many are leased as there is room to note.
        if seen.isShutDown, seen.sequence == headWord.sequence { throw Self.shutDownError }
        if isImmediate { throw Self.emptyError }
        if progress.isAboutToSleep { consumers.announce() }
        return .wait(FutexWord(lowHalfOf: memory.tail), while: seen.low)
    }

    static var emptyError: SharedStateError { SharedStateError(.empty, "The queue is empty") }

    private func wakeProducers(_ before: UInt64, count: Int) {
        guard Bell.isPending(producers.calls), let head = try? loadHead() else { return }
        wakeProducers(before, head, count: count)
    }

    // MARK: With the guard

    /// Takes what came back, or else the first in line.
    private func takeNext(_ purpose: Purpose) throws -> TakenItem? {
        if memory.returnedHint.pointee.load(ordering: .relaxed) != 0, let item = try takeReturned(purpose) {
            return item
        }
        while true {
            var head = try loadHead()
            guard tailWord.sequence != head.word.sequence else { return nil }
            var header = RecordHeader(rawValue: try memory.loadWord(at: head.position))
            if header.isWrap {
                head.position = ring.nextLap(head.position)
                header = RecordHeader(rawValue: try memory.loadWord(at: head.position))
            }
            guard !header.isWrap, header.byteCount <= ring.capacity,
                header.recordSize <= ring.capacity - head.position.offset
            else { throw QueueMemory.damaged }
            var start = ring.advanced(head.position, by: RecordHeader.size)
            var attachments: [SharedDescriptor] = []
            if header.hasDescriptors {
                if case .lease = purpose { throw Self.cannotLease }
                guard !header.isClaimed else {
                    // Lost with the consumer that had begun to receive its descriptors and died.
                    advance(&head, by: header.recordSize)
                    commit(head, taking: 1)
                    continue
                }
                let ticket = try memory.loadWord(at: start)
                try memory.storeWord(header.claiming.rawValue, at: head.position)
                chaosStep("queue.get.claimed")
                do {
                    attachments = try channel.receive(ticket: ticket)
                } catch {
                    advance(&head, by: header.recordSize)
                    commit(head, taking: 1)
                    throw error
                }
                start = ring.advanced(start, by: RecordHeader.ticketSize)
            }
            let bytes = try memory.bytes(at: start, count: header.byteCount)
            var item: TakenItem
            switch purpose {
            case .get where header.byteCount <= Self.copiedAtMost:
                item = TakenItem(copying: bytes)
            case .get:
                let hold = occupyHold(.taken, start, header.byteCount, head.word.sequence, for: .max)
                // Without a free hold it takes a copy, and others a little longer.
                item = hold.map { TakenItem(bytes, in: $0) } ?? TakenItem(copying: bytes)
            case .lease(let duration):
                guard let hold = occupyHold(.leasing, start, header.byteCount, head.word.sequence, for: duration)
                else {
                    if count(of: .dead) == QueueMemory.holdCount { throw Self.deadLettersFull }
                    return nil
                }
                item = TakenItem(bytes, in: hold)
            }
            chaosStep("queue.get.copied")
            item.attachments = attachments
            advance(&head, by: header.recordSize)
            commit(head, taking: 1)
            return item
        }
    }

    /// Moves the head over the record that begins at it.
    private func advance(_ head: inout Head, by size: Int) {
        head.position = ring.advanced(head.position, by: size)
        head.free = memory.usedHolds == 0 ? head.position : oldestHold(before: head.position)
    }

    private func takeReturned(_ purpose: Purpose) throws -> TakenItem? {
        memory.returnedHint.pointee.store(0, ordering: .sequentiallyConsistent)
        var first: (index: Int, state: HoldState, sequence: UInt64)?
        var others = false
        for index in 0..<memory.usedHolds {
            let hold = memory.hold(index)
            let state = hold.load()
            guard state.phase == .returned else { continue }
            let sequence = hold.sequence.pointee.load(ordering: .relaxed)
            if first != nil { others = true }
            if first.map({ sequence < $0.sequence }) ?? true { first = (index, state, sequence) }
        }
        if others { memory.returnedHint.pointee.store(1, ordering: .sequentiallyConsistent) }
        guard let first else { return nil }
        let hold = memory.hold(first.index)
        let bytes = try heldBytes(hold)
        switch purpose {
        case .get:
            let item = TakenItem(copying: bytes)
            chaosStep("queue.get.returnedCopied")
            // With the guard, nobody else changes a hold in this phase.
            _ = hold.change(first.state, to: first.state.ending(isDone: false))
            noteRoom()
            return item
        case .lease(let duration):
            let state = first.state.delivering(.leasing)
            hold.owner.pointee.store(ProcessStamp.current.rawValue, ordering: .relaxed)
            let deadline = setDeadline(hold, after: duration)
            chaosStep("queue.lease.renewing")
            _ = hold.change(first.state, to: state)
            return TakenItem(
                bytes,
                in: Occupied(index: first.index, state: state, sequence: first.sequence, deadline: deadline)
            )
        }
    }

    /// Takes everything that waits away, after a shutdown that says so. It counts as done.
    func discardAll() throws {
        for index in 0..<memory.usedHolds {
            let hold = memory.hold(index)
            let state = hold.load()
            if state.phase == .returned { _ = hold.change(state, to: state.ending(isDone: true)) }
        }
        var head = try loadHead()
        // Nobody puts any more.
        let count = tailWord.sequence &- head.word.sequence
        if count > 0 {
            let position = RingPosition(
                rawValue: memory.tailPosition(tailWord.copy).pointee.load(ordering: .acquiring)
            )
            guard ring.isValid(position) else { throw QueueMemory.damaged }
            head.discarded &+= count
            head.position = position
            head.free = oldestHold(before: position)
            commit(head, taking: count)
        }
        wakeJoinersIfFinished()
    }

    private static var cannotLease: SharedStateError {
        SharedStateError(
            .cannotTravel,
            "The first item holds descriptors (a lock, a queue, …), which cannot be sent twice: take it by get"
        )
    }

    private static var deadLettersFull: SharedStateError {
        SharedStateError(
            .outOfResources,
            "The queue has \(QueueMemory.holdCount) dead letters: take them by deadLetters"
        )
    }
}
