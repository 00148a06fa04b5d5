internal import MultiprocessingSystem
internal import Synchronization

// Unsafe code. Invariants:
// - all offsets of words are constants of this file or follow from a hold's index, which is checked; the block was made, or checked
//   when it arrived, to hold them all and the ring behind them;
// - a range of the ring is handed out only if it lies in the ring. What is in it is bytes of somebody, to be judged as such;
// - who may write what: the tail and the ring between tail and `free` the holder of the producer guard; the head, the holds and the
//   ring between `free` and head the holder of the consumer guard. A hold's state may be changed by its owner too (compare-and-swap).

/// A queue's shared memory; Documentation/Layouts/Queue.md describes it.
struct QueueMemory: @unchecked Sendable {
    // Unchecked: constants, and addresses of words that are used by atomic operations only. For the ring see above.

    static let version: UInt32 = 2
    static let holdCount = 1024
    static let ringOffset = holdsOffset + holdCount * holdSize
    static let minimumCapacity = 1024

    private static let holdsOffset = 512
    private static let holdSize = 64

    let block: SharedBlock
    /// The block's payload, which stays where it is as long as the block lives.
    private let base: UnsafeMutableRawPointer
    let ring: Ring
    /// `.max` if there is none.
    let maximumCount: UInt64
    /// `.max` if there is none.
    let maximumDeliveries: Int

    /// Taken by whoever puts.
    let producerGuard: OwnerWord
    /// Taken by whoever takes, and by whoever needs the room that was left.
    let consumerGuard: OwnerWord
    /// Items put. The futex on which consumers sleep.
    let tail: UnsafeMutablePointer<Atomic<UInt64>>
    /// How many items had been taken, and where the room ended, when a producer last looked: it may be more by now. Written under the
    /// producer guard, so that the memory of the head, which consumers write, need not be looked at for each item.
    let takenSeen: UnsafeMutablePointer<Atomic<UInt64>>
    let freeSeen: UnsafeMutablePointer<Atomic<UInt64>>
    /// The processor on which the last producer ran when it committed, from 1; 0 if that is not known.
    let producerProcessor: UnsafeMutablePointer<Atomic<UInt64>>
    /// Up to where in the ring memory was ever in use, in bytes. Written under the producer guard.
    let everUsed: UnsafeMutablePointer<Atomic<UInt64>>
    /// Items taken from the line. The futex on which producers sleep.
    let head: UnsafeMutablePointer<Atomic<UInt64>>
    /// How many items had been put when a consumer last looked: it may be more by now. Written under the consumer guard.
    let putSeen: UnsafeMutablePointer<Atomic<UInt64>>
    /// The number of the last packet of descriptors. Written under the producer guard.
    let ticket: UnsafeMutablePointer<Atomic<UInt64>>
    /// Not zero when consumers, producers (bit 63: for bytes) or joiners sleep, or did lately.
    let consumersAsleep: UnsafeMutablePointer<Atomic<UInt64>>
    let producersAsleep: UnsafeMutablePointer<Atomic<UInt64>>
    let joinersAsleep: UnsafeMutablePointer<Atomic<UInt64>>
    /// The futex of joiners: changes when something was done with.
    let joinEvent: UnsafeMutablePointer<Atomic<UInt64>>
    /// Not zero when a hold may be in the phase `returned`.
    let returnedHint: UnsafeMutablePointer<Atomic<UInt64>>
    /// Not zero when what is there may be discarded: from before the tail says so.
    let discardHint: UnsafeMutablePointer<Atomic<UInt64>>
    /// Calls of `taskDone`.
    let done: UnsafeMutablePointer<Atomic<UInt64>>
    /// Above the index of every hold in use. Written under the consumer guard.
    let holdsInUse: UnsafeMutablePointer<Atomic<UInt64>>
    /// Above the index of every hold that was ever in use. Written under the consumer guard.
    let holdsEverUsed: UnsafeMutablePointer<Atomic<UInt64>>
    /// When to look for leases that ran out, in nanoseconds of ``MonotonicTime``. Written under the consumer guard.
    let nextLook: UnsafeMutablePointer<Atomic<UInt64>>

    /// Makes the memory of an empty queue.
    init(capacity: Int, maximumCount: Int?, maximumDeliveries: Int?) throws {
        let block = try SharedBlock(.queue, version: Self.version, byteCount: Self.ringOffset + capacity)
        block.base.storeBytes(of: UInt64(capacity), as: UInt64.self)
        block.base.storeBytes(of: maximumCount.map { UInt64($0) } ?? .max, toByteOffset: 8, as: UInt64.self)
        block.base.storeBytes(of: maximumDeliveries.map { UInt64($0) } ?? .max, toByteOffset: 16, as: UInt64.self)
        try self.init(adopting: block)
    }

    /// The memory of a queue that came from another process.
    init(adopting block: SharedBlock) throws {
        guard block.byteCount >= Self.ringOffset + Self.minimumCapacity else { throw Self.damaged }
        let capacity = block.base.load(as: UInt64.self)
        guard capacity & 7 == 0, capacity == UInt64(block.byteCount - Self.ringOffset),
            capacity <= UInt64(RingPosition.maximumOffset)
        else { throw Self.damaged }
        self.block = block
        base = block.base
        ring = Ring(capacity: Int(capacity))
        maximumCount = block.base.load(fromByteOffset: 8, as: UInt64.self)
        maximumDeliveries = Int(clamping: block.base.load(fromByteOffset: 16, as: UInt64.self))
        producerGuard = OwnerWord(block.word(64))
        consumerGuard = OwnerWord(block.word(128))
        holdsInUse = block.word(136)
        nextLook = block.word(144)
        holdsEverUsed = block.word(152)
        tail = block.word(192)
        ticket = block.word(216)
        takenSeen = block.word(224)
        freeSeen = block.word(232)
        producerProcessor = block.word(240)
        everUsed = block.word(248)
        head = block.word(256)
        putSeen = block.word(312)
        consumersAsleep = block.word(320)
        producersAsleep = block.word(328)
        joinersAsleep = block.word(336)
        returnedHint = block.word(384)
        discardHint = block.word(392)
        done = block.word(448)
        joinEvent = block.word(456)
    }

    static var damaged: SharedStateError {
        SharedStateError(.malformed, "The queue's shared memory holds what no queue writes")
    }

    // MARK: The two copies of each end's state

    /// A word in front of the ring.
    private func word(_ offset: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
        (base + offset).assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    func tailPosition(_ copy: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
        word(200 + (copy & 1) * 8)
    }

    /// Three words: the head, the end of what may be overwritten, and how many items were discarded.
    func headField(_ copy: Int, _ field: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
        word(264 + (copy & 1) * 24 + field * 8)
    }

    // MARK: Holds

    /// A place for an item that has left the line but whose bytes are still needed.
    struct Hold {
        fileprivate let base: UnsafeMutablePointer<Atomic<UInt64>>

        var state: UnsafeMutablePointer<Atomic<UInt64>> { base }
        var owner: UnsafeMutablePointer<Atomic<UInt64>> { base + 1 }
        var position: UnsafeMutablePointer<Atomic<UInt64>> { base + 2 }
        var byteCount: UnsafeMutablePointer<Atomic<UInt64>> { base + 3 }
        /// In nanoseconds of ``MonotonicTime``.
        var deadline: UnsafeMutablePointer<Atomic<UInt64>> { base + 4 }
        /// The number of the item, from zero.
        var sequence: UnsafeMutablePointer<Atomic<UInt64>> { base + 5 }
        /// How many items were done with here at some moment: the state does not count for ever. Written under the consumer guard.
        private var completionsSeen: UnsafeMutablePointer<Atomic<UInt64>> { base + 6 }

        /// How many items were done with here. At any time.
        var completions: UInt64 {
            // The earlier number first.
            let seen = completionsSeen.pointee.load(ordering: .acquiring)
            return load().completions(after: seen)
        }

        /// Notes how many items were done with here, long before the state's number comes round. Before each use, with the consumer guard.
        func noteCompletions(_ state: HoldState) {
            let seen = completionsSeen.pointee.load(ordering: .relaxed)
            let now = state.completions(after: seen)
            if now &- seen > 1 << 32 { completionsSeen.pointee.store(now, ordering: .releasing) }
        }

        func load() -> HoldState {
            HoldState(rawValue: state.pointee.load(ordering: .sequentiallyConsistent))
        }

        /// The commit of whatever happens to a hold; false if it is no longer as it was.
        func change(_ old: HoldState, to new: HoldState) -> Bool {
            state.pointee.compareExchange(
                expected: old.rawValue,
                desired: new.rawValue,
                ordering: .sequentiallyConsistent
            ).exchanged
        }
    }

    func hold(_ index: Int) -> Hold {
        precondition(index >= 0 && index < Self.holdCount)
        return Hold(base: word(Self.holdsOffset + index * Self.holdSize))
    }

    var usedHolds: Int {
        min(Int(clamping: holdsInUse.pointee.load(ordering: .acquiring)), Self.holdCount)
    }

    // MARK: The ring

    /// Bytes of the ring.
    func bytes(at position: RingPosition, count: Int) throws -> UnsafeMutableRawBufferPointer {
        guard ring.isValid(position), count >= 0, count <= ring.capacity - position.offset else { throw Self.damaged }
        return UnsafeMutableRawBufferPointer(start: base + Self.ringOffset + position.offset, count: count)
    }

    func loadWord(at position: RingPosition) throws -> UInt64 {
        try bytes(at: position, count: 8).load(as: UInt64.self)
    }

    func storeWord(_ value: UInt64, at position: RingPosition) throws {
        try bytes(at: position, count: 8).storeBytes(of: value, as: UInt64.self)
    }
}

/// The word in front of each record in the ring.
struct RecordHeader {
    var rawValue: UInt64

    /// The rest of the lap is unused.
    static let wrap = RecordHeader(rawValue: 1 << 48)
    private static let descriptors: UInt64 = 1 << 49
    private static let claimed: UInt64 = 1 << 50
    /// In bytes.
    static let size = 8
    /// In bytes; in front of the payload of an item with descriptors.
    static let ticketSize = 8

    init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    init(byteCount: Int, hasDescriptors: Bool) {
        rawValue = UInt64(byteCount) | (hasDescriptors ? Self.descriptors : 0)
    }

    var byteCount: Int { Int(rawValue & 0xffff_ffff_ffff) }
    var isWrap: Bool { rawValue & Self.wrap.rawValue != 0 }
    var hasDescriptors: Bool { rawValue & Self.descriptors != 0 }
    /// Whether somebody had begun to receive its descriptors.
    var isClaimed: Bool { rawValue & Self.claimed != 0 }
    var claiming: RecordHeader { RecordHeader(rawValue: rawValue | Self.claimed) }

    /// In the ring, with its header.
    var recordSize: Int { Self.recordSize(byteCount, hasDescriptors: hasDescriptors) }

    static func recordSize(_ byteCount: Int, hasDescriptors: Bool) -> Int {
        (size + (hasDescriptors ? ticketSize : 0) + byteCount + 7) & ~7
    }
}
