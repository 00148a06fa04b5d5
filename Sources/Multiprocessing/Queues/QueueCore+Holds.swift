internal import MultiprocessingSystem
internal import Synchronization

// Items that have left the line but whose bytes are still needed. All of this with the consumer guard, unless it says otherwise.
extension QueueCore {
    /// How often to look for leases whose holders died, in nanoseconds, while the queue is in use.
    private static let lookInterval: UInt64 = 100_000_000

    func heldBytes(_ hold: QueueMemory.Hold) throws -> UnsafeMutableRawBufferPointer {
        try memory.bytes(
            at: RingPosition(rawValue: hold.position.pointee.load(ordering: .acquiring)),
            count: Int(clamping: hold.byteCount.pointee.load(ordering: .relaxed))
        )
    }

    /// - Parameter duration: in nanoseconds; `.max` is for ever.
    func setDeadline(_ hold: QueueMemory.Hold, after duration: UInt64) -> UInt64 {
        let now = MonotonicTime.nanoseconds
        let deadline = duration > .max - now ? .max : now + duration
        hold.deadline.pointee.store(deadline, ordering: .relaxed)
        let look = min(deadline, now + Self.lookInterval)
        if look < memory.nextLook.pointee.load(ordering: .relaxed) {
            memory.nextLook.pointee.store(look, ordering: .relaxed)
        }
        return deadline
    }

    /// Notes an item in a free hold; nil if there is none. Not in effect before the head has passed the item.
    func occupyHold(
        _ phase: HoldState.Phase,
        _ position: RingPosition,
        _ byteCount: Int,
        _ sequence: UInt64,
        for duration: UInt64
    ) -> Occupied? {
        let used = memory.usedHolds
        guard let index = (0..<QueueMemory.holdCount).first(where: { $0 >= used || memory.hold($0).load().isFree })
        else {
            return nil
        }
        let hold = memory.hold(index)
        let old = hold.load()
        // Beyond those in use all are free.
        guard old.isFree else { return nil }
        hold.noteCompletions(old)
        hold.owner.pointee.store(ProcessStamp.current.rawValue, ordering: .relaxed)
        hold.position.pointee.store(position.rawValue, ordering: .relaxed)
        hold.byteCount.pointee.store(UInt64(byteCount), ordering: .relaxed)
        hold.sequence.pointee.store(sequence, ordering: .relaxed)
        let deadline = setDeadline(hold, after: duration)
        raise(memory.holdsInUse, to: index + 1)
        raise(memory.holdsEverUsed, to: index + 1)
        chaosStep("queue.hold.written")
        let state = old.delivering(phase)
        guard hold.change(old, to: state) else { return nil }
        chaosStep("queue.hold.occupied")
        return Occupied(index: index, state: state, sequence: sequence, deadline: deadline)
    }

    private func raise(_ word: UnsafeMutablePointer<Atomic<UInt64>>, to value: Int) {
        if word.pointee.load(ordering: .relaxed) < UInt64(value) {
            word.pointee.store(UInt64(value), ordering: .sequentiallyConsistent)
        }
    }

    /// After the death of one who had the guard: frees the hold of an item that the head has not passed, which is still in line.
    func repairHolds() throws {
        let taken = try loadHead().word.sequence
        for index in 0..<memory.usedHolds {
            let hold = memory.hold(index)
            let state = hold.load()
            if !state.isFree, hold.sequence.pointee.load(ordering: .relaxed) >= taken {
                _ = hold.change(state, to: state.ending(isDone: false))
            }
        }
        // Whatever it had in mind about those that came back.
        memory.returnedHint.pointee.store(1, ordering: .sequentiallyConsistent)
        memory.nextLook.pointee.store(0, ordering: .relaxed)
        chaosStep("queue.holds.repaired")
    }

    /// Looks for leases that ran out and for holders that died, if it is time to.
    func sweep(now isOverdue: Bool) throws {
        let now = MonotonicTime.nanoseconds
        guard isOverdue || now >= memory.nextLook.pointee.load(ordering: .relaxed) else { return }
        var next = now &+ Self.lookInterval
        var lives: [ProcessStamp: Bool] = [:]
        var used = 0
        var returned = 0
        var ended = false
        for index in 0..<memory.usedHolds {
            let hold = memory.hold(index)
            var state = hold.load()
            guard let phase = state.phase else { throw QueueMemory.damaged }
            if [.taken, .leasing, .leased].contains(phase) {
                let owner = ProcessStamp(rawValue: hold.owner.pointee.load(ordering: .relaxed))
                let isAlive = lives[owner] ?? owner.isAlive
                lives[owner] = isAlive
                let deadline = hold.deadline.pointee.load(ordering: .relaxed)
                // Also while it is being decoded: its holder may have been stopped. Decoding bears bytes that change meanwhile, and
                // what comes of them is dropped, as `begin` fails then.
                if !isAlive || phase != .taken && deadline <= now {
                    let new =
                        phase == .taken
                        ? state.ending(isDone: false) : state.returning(maximumDeliveries: memory.maximumDeliveries)
                    chaosStep("queue.sweep.returning")
                    // Its holder may have come first.
                    if hold.change(state, to: new) {
                        if new.phase == .returned { returned += 1 } else { ended = true }
                    }
                    state = hold.load()
                } else if phase != .taken {
                    next = min(next, deadline)
                }
            }
            if state.phase == .returned { memory.returnedHint.pointee.store(1, ordering: .sequentiallyConsistent) }
            if !state.isFree { used = index + 1 }
        }
        memory.holdsInUse.pointee.store(UInt64(used), ordering: .sequentiallyConsistent)
        memory.nextLook.pointee.store(next, ordering: .relaxed)
        chaosStep("queue.sweep.done")
        if returned > 0 { nudge(consumers, count: returned) }
        if ended {
            noteRoom()
            wakeJoinersIfFinished()
        }
    }

    /// Gives back what leases held that ended, if it is time to look and nobody else has the guard. Does not wait.
    func lookForEndedLeases() throws {
        guard memory.usedHolds > 0, MonotonicTime.nanoseconds >= memory.nextLook.pointee.load(ordering: .relaxed)
        else { return }
        var progress = WaitProgress.first
        progress.isAboutToSleep = false
        // Also from a dead owner, and when turns are reserved for others, who may never come.
        progress.isOverdue = true
        progress.sleeps = 1
        guard case .taken(let dead) = memory.consumerGuard.take(progress) else { return }
        defer { memory.consumerGuard.release() }
        if dead != nil { try repairHolds() }
        try sweep(now: false)
    }

    /// After a hold ended: producers that lack room may find some. Without the guard.
    func noteRoom() {
        if Bell.isPending(producers.calls) { nudge(producers) }
        if Bell.isPending(consumers.calls), memory.usedHolds == QueueMemory.holdCount { nudge(consumers, count: 1) }
    }

    // MARK: Room

    /// Where the oldest hold begins, or `head` if there is none.
    func oldestHold(before head: RingPosition) -> RingPosition {
        var oldest = head
        var longest = 0
        for index in 0..<memory.usedHolds {
            let hold = memory.hold(index)
            guard !hold.load().isFree else { continue }
            let position = RingPosition(rawValue: hold.position.pointee.load(ordering: .relaxed))
            let distance = ring.distance(from: position, to: head)
            if distance > longest, distance <= ring.capacity { (oldest, longest) = (position, distance) }
        }
        return oldest
    }

    /// Gives the room of holds that ended to the producers.
    ///
    /// - Parameter moving: move the bytes of those that remain towards the head, so that one lease does not hold up the ring. One is moved
    ///   only as far as its new place does not overlap the old, so that one word changes its place: killed before, nothing has happened.
    ///   Therefore a hold may cost the ring up to twice its size.
    func reclaim(moving: Bool) throws {
        var head = try loadHead()
        try sweep(now: moving)
        if moving {
            var limit = head.position
            let holds = (0..<memory.usedHolds).map(memory.hold).filter { !$0.load().isFree }
            let sorted = holds.map { hold in
                let position = RingPosition(rawValue: hold.position.pointee.load(ordering: .relaxed))
                return (hold: hold, position: position, distance: ring.distance(from: position, to: head.position))
            }.sorted { $0.distance < $1.distance }
            for (hold, position, distance) in sorted {
                guard ring.isValid(position), distance >= 0, distance <= ring.capacity else {
                    throw QueueMemory.damaged
                }
                let bytes = try heldBytes(hold)
                let size = (bytes.count + 7) & ~7
                let target = ring.before(limit, size: size)
                // What is being decoded in place has to stay.
                let isMovable = [.leased, .returned, .dead].contains(hold.load().phase)
                if isMovable, ring.distance(from: position, to: target) >= size {
                    try memory.bytes(at: target, count: bytes.count).copyMemory(from: UnsafeRawBufferPointer(bytes))
                    chaosStep("queue.reclaim.copied")
                    hold.position.pointee.store(target.rawValue, ordering: .sequentiallyConsistent)
                    chaosStep("queue.reclaim.moved")
                    limit = target
                } else {
                    limit = position
                }
            }
        }
        let free = oldestHold(before: head.position)
        guard free != head.free else { return }
        head = try loadHead()
        head.free = free
        commit(head, taking: 0)
    }
}
