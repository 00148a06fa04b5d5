internal import MultiprocessingSystem
internal import Synchronization

// What was put and is not done with, and the end of it all.
extension QueueCore {
    /// How many items were put and not marked done. Never too small, too large only while others are at work.
    var unfinished: Int {
        // What was done is read before what was put.
        var done = memory.done.pointee.load(ordering: .sequentiallyConsistent)
        let used = min(
            Int(clamping: memory.holdsEverUsed.pointee.load(ordering: .acquiring)),
            QueueMemory.holdCount
        )
        for index in 0..<used { done &+= memory.hold(index).completions }
        let word = headWord
        done &+= memory.headField(word.copy, 2).pointee.load(ordering: .acquiring)
        return max(0, Int(clamping: Int64(bitPattern: tailWord.sequence &- done)))
    }

    func taskDone() throws {
        try requireOpen()
        var done = memory.done.pointee.load(ordering: .sequentiallyConsistent)
        repeat {
            guard unfinished > 0 else {
                throw SharedStateError(.overReleased, "More items were marked done than were put")
            }
            let (won, now) = memory.done.pointee.compareExchange(
                expected: done,
                desired: done &+ 1,
                ordering: .sequentiallyConsistent
            )
            if won { break }
            done = now
        } while true
        chaosStep("queue.done.counted")
        wakeJoinersIfFinished()
    }

    /// After something was counted as done.
    func wakeJoinersIfFinished() {
        let calls = joiners.calls
        guard Bell.isPending(calls), unfinished == 0 else { return }
        memory.joinEvent.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
        chaosStep("queue.done.waking")
        joiners.ring(calls, count: .max)
    }

    func attemptJoin(_ progress: WaitProgress, _ turn: inout Turn) throws -> Attempt<Void> {
        try requireOpen()
        let event = UInt32(truncatingIfNeeded: memory.joinEvent.pointee.load(ordering: .sequentiallyConsistent))
        if progress.isAboutToSleep { joiners.announce() }
        if unfinished == 0 {
            leave(&turn, progress)
            return .done(())
        }
        if tailWord.isDiscarding || progress.isOverdue && memory.usedHolds > 0 {
            // What a dead process left undone.
            let entry = enter(memory.consumerGuard, progress, &turn)
            guard entry.isTaken else { return .wait(entry.sleepOn!.0, while: entry.sleepOn!.1) }
            defer { memory.consumerGuard.release() }
            if entry.deadOwner != nil { try repairHolds() }
            try sweep(now: progress.isOverdue)
            if tailWord.isDiscarding { try discardAll() }
            if unfinished == 0 { return .done(()) }
        }
        leave(&turn, progress)
        return .wait(FutexWord(lowHalfOf: memory.joinEvent), while: event)
    }

    /// One step: of items put at the same time, each is either before it or refused.
    func shutDown(isImmediate: Bool) throws {
        try requireOpen()
        let bits = CommitWord.shutDown | (isImmediate ? CommitWord.discarding : 0)
        // First: consumers that have seen items before do not look at the tail for each of them.
        if isImmediate { memory.discardHint.pointee.store(1, ordering: .sequentiallyConsistent) }
        chaosStep("queue.shutdown.hinted")
        memory.tail.pointee.bitwiseOr(bits, ordering: .sequentiallyConsistent)
        chaosStep("queue.shutdown.said")
        if isImmediate, case .taken(let dead) = memory.consumerGuard.take() {
            // If somebody else has the guard: whoever gets, or joins, next does it.
            defer { memory.consumerGuard.release() }
            if dead != nil { try repairHolds() }
            try discardAll()
        }
        chaosStep("queue.shutdown.discarded")
        nudge(consumers)
        nudge(producers)
        let calls = joiners.calls
        memory.joinEvent.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
        joiners.ring(calls, count: .max)
    }

    /// Takes up to `limit` items that were delivered as often as may be.
    func attemptTakeDead(
        upTo limit: Int,
        _ progress: WaitProgress,
        _ turn: inout Turn
    ) throws -> Attempt<[TakenItem]> {
        try requireOpen()
        guard memory.usedHolds > 0 else {
            leave(&turn, progress)
            return .done([])
        }
        let entry = enter(memory.consumerGuard, progress, &turn)
        guard entry.isTaken else { return .wait(entry.sleepOn!.0, while: entry.sleepOn!.1) }
        defer { memory.consumerGuard.release() }
        if entry.deadOwner != nil { try repairHolds() }
        try sweep(now: progress.isOverdue)
        var items: [TakenItem] = []
        for index in 0..<memory.usedHolds where items.count < limit {
            let hold = memory.hold(index)
            let state = hold.load()
            guard state.phase == .dead else { continue }
            items.append(TakenItem(copying: try heldBytes(hold)))
            chaosStep("queue.dead.copied")
            // It was counted as done when it became a dead letter.
            _ = hold.change(state, to: state.ending(isDone: false))
        }
        if !items.isEmpty { noteRoom() }
        return .done(items)
    }
}
