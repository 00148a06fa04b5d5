internal import MultiprocessingSystem
internal import Synchronization

/// A queue of bytes with descriptors beside them: all of ``Queue`` but the coding of its items.
///
/// The order in which guards are taken: producer, consumer. None is held while anything is waited for, or while code of the user runs.
final class QueueCore: Sendable {
    let memory: QueueMemory
    let channel: DescriptorChannel
    let putSpin = AdaptiveSpin()
    let getSpin = AdaptiveSpin()
    /// For a producer that is ahead of its consumers.
    let catchUpSpin = AdaptiveSpin()
    private let closed = Atomic<Bool>(false)

    var ring: Ring { memory.ring }
    let consumers: Bell
    let producers: Bell
    let joiners: Bell

    init(memory: QueueMemory, channel: DescriptorChannel) {
        self.memory = memory
        self.channel = channel
        consumers = Bell(announcements: memory.consumersAsleep, word: memory.tail)
        producers = Bell(announcements: memory.producersAsleep, word: memory.head)
        joiners = Bell(announcements: memory.joinersAsleep, word: memory.joinEvent)
    }

    // MARK: The state of the two ends

    var tailWord: CommitWord { CommitWord(rawValue: memory.tail.pointee.load(ordering: .sequentiallyConsistent)) }
    var headWord: CommitWord { CommitWord(rawValue: memory.head.pointee.load(ordering: .sequentiallyConsistent)) }

    /// The state of the end at which items leave.
    struct Head {
        var word: CommitWord
        /// The first item in line.
        var position: RingPosition
        /// Everything from here to `position` is used by holds, or was lately.
        var free: RingPosition
        /// How many items were discarded by a shutdown.
        var discarded: UInt64
    }

    /// A consistent copy, without the guard.
    func loadHead() throws -> Head {
        // Each further round means that somebody took an item meanwhile.
        while true {
            let word = headWord
            let position = RingPosition(rawValue: memory.headField(word.copy, 0).pointee.load(ordering: .acquiring))
            let free = RingPosition(rawValue: memory.headField(word.copy, 1).pointee.load(ordering: .acquiring))
            let discarded = memory.headField(word.copy, 2).pointee.load(ordering: .acquiring)
            if headWord.agrees(with: word) {
                guard ring.isValid(position), ring.isValid(free) else { throw QueueMemory.damaged }
                return Head(word: word, position: position, free: free, discarded: discarded)
            }
        }
    }

    /// Commits what the holder of the consumer guard did: `count` more items are out of line.
    func commit(_ head: Head, taking count: UInt64) {
        let copy = head.word.committing(count).copy
        memory.headField(copy, 0).pointee.store(head.position.rawValue, ordering: .releasing)
        memory.headField(copy, 1).pointee.store(head.free.rawValue, ordering: .releasing)
        memory.headField(copy, 2).pointee.store(head.discarded, ordering: .releasing)
        chaosStep("queue.head.written")
        var current = head.word
        repeat {
            let (won, now) = memory.head.pointee.compareExchange(
                expected: current.rawValue,
                desired: current.committing(count).rawValue,
                ordering: .sequentiallyConsistent
            )
            if won { break }
            // Nudged by somebody.
            current = CommitWord(rawValue: now)
        } while true
        chaosStep("queue.head.committed")
    }

    /// Has those who sleep on a word look again.
    func nudge(_ bell: Bell, count: Int = .max) {
        let before = bell.calls
        var current = CommitWord(rawValue: bell.word.pointee.load(ordering: .relaxed))
        repeat {
            let (won, now) = bell.word.pointee.compareExchange(
                expected: current.rawValue,
                desired: current.nudged.rawValue,
                ordering: .sequentiallyConsistent
            )
            if won { break }
            current = CommitWord(rawValue: now)
        } while true
        bell.ring(before, count: count)
    }

    /// After items left: lets producers have the room.
    ///
    /// - Parameter before: what they had announced before.
    func wakeProducers(_ before: UInt64, _ head: Head, count: Int) {
        let calls = producers.calls
        guard calls & Bell.forBytes != 0, memory.maximumCount == .max else {
            producers.ring(before, count: calls & Bell.forBytes != 0 ? .max : count)
            return
        }
        // Waking them for every few bytes would keep them from getting anywhere. They look by themselves now and then.
        guard let tail = try? loadTail() else { return }
        if ring.capacity - ring.distance(from: head.free, to: tail) >= ring.capacity / 8 {
            producers.ring(before, count: .max)
        }
    }

    private func loadTail() throws -> RingPosition {
        while true {
            let word = tailWord
            let position = RingPosition(
                rawValue: memory.tailPosition(word.copy).pointee.load(ordering: .acquiring)
            )
            if tailWord.agrees(with: word) {
                guard ring.isValid(position) else { throw QueueMemory.damaged }
                return position
            }
        }
    }

    // MARK: Guards

    /// What an operation remembers between its attempts.
    struct Turn {
        /// The guard that was somebody else's the last time.
        fileprivate var awaited: FutexWord?
        /// Whether what it lacked the last time was room in bytes.
        var lackedBytes = false
    }

    /// Takes a guard, or returns nil and what to sleep on.
    @inline(__always)
    func enter(
        _ word: OwnerWord,
        _ progress: WaitProgress,
        _ turn: inout Turn
    ) -> (isTaken: Bool, deadOwner: ProcessStamp?, sleepOn: (FutexWord, UInt32)?) {
        var progress = progress
        let isAwaited = turn.awaited == word.futex
        if !isAwaited, !progress.isOverdue {
            // It slept on something else: among those who wait for the guard it is a newcomer. Not for ever, as turns may be reserved for
            // those who do not come: when nothing has happened for milliseconds, it is time to take what is free.
            progress.sleeps = 0
            progress.starved = 0
        }
        switch word.take(progress) {
        case .taken(let dead):
            // Who waits for the second of two guards takes the first meanwhile, and keeps its claim.
            if isAwaited { turn.awaited = nil }
            return (true, dead, nil)
        case .busy(let futex, let value):
            if !isAwaited { leave(&turn, progress) }
            turn.awaited = futex
            return (false, nil, (futex, value))
        }
    }

    /// No longer waits for a guard, without having taken it.
    ///
    /// It may have been woken there, as one of several, and the mark of the others is dropped then: the next has its turn, who takes the
    /// guard or marks it again.
    @inline(__always)
    func leave(_ turn: inout Turn, _ progress: WaitProgress) {
        guard let awaited = turn.awaited else { return }
        turn.awaited = nil
        if progress.sleeps > 0 { awaited.wake() }
    }

    // MARK: Looking

    /// How many items wait to be taken. Exact at some moment during the call.
    var count: Int {
        for _ in 0..<1000 {
            let head = headWord
            let tail = tailWord
            let returned = returnedCount
            guard headWord.agrees(with: head) else { continue }
            if tail.isDiscarding { return 0 }
            return Int(clamping: Int64(bitPattern: tail.sequence &- head.sequence)) + returned
        }
        // Others were faster each time. Everything moves.
        return max(0, Int(clamping: Int64(bitPattern: tailWord.sequence &- headWord.sequence))) + returnedCount
    }

    func count(of phases: HoldState.Phase...) -> Int {
        (0..<memory.usedHolds).count { index in
            guard let phase = memory.hold(index).load().phase else { return false }
            return phases.contains(phase)
        }
    }

    private var returnedCount: Int { memory.usedHolds == 0 ? 0 : count(of: .returned) }

    /// Whether a put would have to wait.
    var isFull: Bool {
        guard let head = try? loadHead(), let tail = try? loadTail() else { return false }
        return tailWord.sequence &- head.word.sequence >= memory.maximumCount
            || ring.place(RecordHeader.recordSize(1, hasDescriptors: false), tail: tail, free: head.free) == nil
    }

    // MARK: Closing

    var isClosed: Bool { closed.load(ordering: .relaxed) }

    @inline(__always)
    func requireOpen() throws {
        if closed.load(ordering: .relaxed) { throw Self.closedError }
    }

    static var closedError: SharedStateError {
        SharedStateError(.closed, "This process closed its handle of the queue")
    }

    func close() {
        guard !closed.exchange(true, ordering: .sequentiallyConsistent) else { return }
        // Whoever waits in this process finds out.
        nudge(consumers)
        nudge(producers)
        let before = joiners.calls
        memory.joinEvent.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
        joiners.ring(before, count: .max)
    }
}
