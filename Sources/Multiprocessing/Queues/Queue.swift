internal import MultiprocessingSystem
internal import Synchronization

/// A line of values between any number of producers and consumers, in any number of processes.
///
///     let queue = try Queue<Int>()
///     let child = try ChildProcess { for number in 0..<10 { try queue.put(number) } }
///     try child.start()
///     let first = try await queue.get()
///
/// Handles travel: a queue can be captured, passed, sent through connections and queues; all of them are the same queue. It is gone when
/// the last process that has one is.
///
/// **Order.** Values of one producer come out in the order in which it put them; those of several in the order in which their puts were
/// committed. What a lease gives back comes first.
///
/// **Crashes.** A process that is killed anywhere in `put` has not put. One that is killed in `get` loses at most what it took (a
/// batch is taken at once); with ``lease(for:timeout:)`` nothing is lost. Neither holds up others for more than some
/// milliseconds. A process that is stopped (SIGSTOP) in the middle of an operation holds the others up until it goes on: their calls
/// end when their time is over.
///
/// **Memory.** Values lie encoded in shared memory of ``maximumBytes`` (each with 8 bytes and rounded up to 8), of which the machine
/// gives what was ever in use at a time. When it is full, `put` waits and ``putImmediately(_:)`` throws `full`, as with
/// ``maximumCount``. Besides, a queue costs three descriptors in each process that has it.
///
/// **Speed.** `put` encodes in the calling thread and copies once, `get` copies once more and decodes; nothing is done by other threads.
/// A system call is made only to sleep, to wake somebody who sleeps, and for values that hold handles (one on each side).
///
/// Handles among the values (locks, queues, arrays…) travel too. They cannot be leased.
///
/// Python: `multiprocessing.Queue`, `JoinableQueue` and `SimpleQueue`; `shutdown` is that of the thread queue.
public final class Queue<Element: Codable & Sendable>: Sendable, Codable {
    let core: QueueCore
    /// What came up in a batch whose other items were fine; for the next call.
    let pendingError = Mutex<(any Error)?>(nil)

    /// The default of `maximumBytes`: 64 MiB.
    public static var defaultMaximumBytes: Int { 64 << 20 }

    /// Makes an empty queue.
    ///
    /// Some system calls; the memory is used when it is touched.
    /// - Parameters:
    ///   - maximumCount: how many values may wait at a time; nil for as many as there are bytes for. What a lease gives back does not count.
    ///     Python: `maxsize`.
    ///   - maximumBytes: the memory for encoded values, in bytes, rounded up to 64; 1 KiB to 1 TiB.
    ///   - maximumDeliveries: how often a value is leased at most (1 to 127) before it becomes a dead letter; nil for ever.
    /// - Throws: ``SharedStateError`` (`invalidArgument`, `outOfResources`).
    public init(
        maximumCount: Int? = nil,
        maximumBytes: Int = defaultMaximumBytes,
        maximumDeliveries: Int? = nil
    ) throws {
        if let maximumCount, maximumCount < 1 {
            throw SharedStateError(.invalidArgument, "A queue for \(maximumCount) items can hold none: nil means no limit")
        }
        guard (QueueMemory.minimumCapacity...RingPosition.maximumOffset).contains(maximumBytes) else {
            throw SharedStateError(.invalidArgument, "A queue cannot have \(maximumBytes) bytes: 1 KiB to 1 TiB")
        }
        if let maximumDeliveries, !(1...HoldState.mostDeliveries).contains(maximumDeliveries) {
            throw SharedStateError(
                .invalidArgument,
                "\(maximumDeliveries) deliveries make no sense: 1 to \(HoldState.mostDeliveries), or nil"
            )
        }
        let memory = try QueueMemory(
            capacity: (maximumBytes + 63) & ~63,
            maximumCount: maximumCount,
            maximumDeliveries: maximumDeliveries
        )
        core = QueueCore(memory: memory, channel: try DescriptorChannel())
    }

    private enum CodingKeys: CodingKey {
        case block, channel
    }

    /// The queue of which a handle arrived from another process.
    ///
    /// - Throws: ``SharedStateError`` (`cannotTravel`, `malformed`).
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let block = try SharedBlock(from: container.superDecoder(forKey: .block), .queue, version: QueueMemory.version)
        let channel = try DescriptorChannel(from: container.superDecoder(forKey: .channel))
        core = QueueCore(memory: try QueueMemory(adopting: block), channel: channel)
    }

    /// Sends a handle along with the message that is being encoded.
    ///
    /// - Throws: ``SharedStateError`` (`cannotTravel` where only bytes go, `closed`).
    public func encode(to encoder: any Encoder) throws {
        try core.requireOpen()
        var container = encoder.container(keyedBy: CodingKeys.self)
        try core.memory.block.encode(to: container.superEncoder(forKey: .block))
        try core.channel.encode(to: container.superEncoder(forKey: .channel))
    }

    // MARK: Looking

    /// How many values may wait at a time; nil for as many as there are bytes for.
    public var maximumCount: Int? {
        core.memory.maximumCount == .max ? nil : Int(clamping: core.memory.maximumCount)
    }

    /// The memory for encoded values, in bytes.
    public var maximumBytes: Int { core.ring.capacity }

    /// How many values wait to be taken; those that a lease gave back included.
    ///
    /// Exact at some moment during the call. No system call, no lock. Zero after an immediate shutdown.
    /// - Throws: ``SharedStateError`` (`closed`).
    ///
    /// Python: `qsize()`, an approximation there and missing on some systems.
    public var count: Int {
        get throws {
            try core.requireOpen()
            return core.count
        }
    }

    /// Whether no value waits to be taken; exact like ``count``. Python: `empty()`.
    public var isEmpty: Bool { get throws { try count == 0 } }

    /// Whether a value would have to wait until another one is taken, however small; exact like ``count``. Python: `full()`.
    public var isFull: Bool {
        get throws {
            try core.requireOpen()
            return core.isFull
        }
    }

    // MARK: Ending

    /// Lets no more values in. What is there can still be taken; then `get` throws `shutDown` and iterations end.
    ///
    /// All who wait look again at once. Does not block. What is leased and comes back later can still be taken.
    /// - Parameter isImmediate: discard what is there as well; it counts as done.
    /// - Throws: ``SharedStateError`` (`closed`).
    ///
    /// Python: `shutdown(immediate=False)` of `queue.Queue`.
    public func shutdown(immediate isImmediate: Bool = false) throws {
        try core.shutDown(isImmediate: isImmediate)
    }

    /// Whether the queue was shut down, by whatever process.
    public var isShutDown: Bool { core.tailWord.isShutDown }

    /// Closes this process's handle: each later use of it throws `closed`, and so do calls that wait in it. Others are not affected.
    ///
    /// Not needed for cleanliness: descriptors and memory are given back when the last reference goes. A second close is harmless.
    ///
    /// Python: `close()`. There is no feeder thread, so `join_thread` and `cancel_join_thread` have no counterpart.
    public func close() {
        core.close()
    }

    // MARK: Done

    /// Says that a value that was got is done with; ``join(timeout:)`` returns when every one is.
    ///
    /// A compare-and-swap; a system call if somebody joins and this was the last.
    /// - Throws: ``SharedStateError`` (`overReleased` if more values would be done than were put, `closed`).
    ///
    /// Python: `task_done()`.
    public func taskDone() throws {
        try core.taskDone()
    }

    /// Blocks until every value that was put is done with: marked, completed, discarded, or a dead letter.
    ///
    /// - Parameter timeout: nil waits without end, zero looks once.
    /// - Returns: false if the time was over first.
    /// - Throws: ``SharedStateError`` (`closed`, `malformed`).
    ///
    /// Python: `join()`, which has no timeout.
    @available(*, noasync, message: "Use the async join: this one blocks the thread")
    @discardableResult
    public func join(timeout: Duration? = nil) throws -> Bool {
        try core.join(timeout)
    }

    /// Waits until every value that was put is done with: marked, completed, discarded, or a dead letter. Blocks no thread.
    ///
    /// - Parameter timeout: nil waits without end, zero looks once.
    /// - Returns: false if the time was over first.
    /// - Throws: `CancellationError`; ``SharedStateError`` (`closed`, `malformed`).
    @discardableResult
    public func join(timeout: Duration? = nil) async throws -> Bool {
        try await core.join(timeout)
    }
}
