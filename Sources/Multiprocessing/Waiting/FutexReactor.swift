internal import MultiprocessingSystem
internal import Synchronization
internal import SystemPackage

/// Sleeps on shared words for tasks, which must not block their thread.
///
/// A thread of its own sleeps on up to 127 words at once (`futex_waitv`); further ones are started when there are more. Started
/// with the first wait; none costs anything while nobody waits. Before Linux 5.16, which lacks the system call, the thread
/// looks at the words every millisecond instead while there are any.
///
/// Only the thread removes an entry, so what it sleeps on is what is asked for: a wake-up is never spent on an entry that has
/// gone, which would lose it for others.
final class FutexReactor: Sendable {
    private let shards = Mutex<[Shard]>([])

    /// Suspends while the word holds `value`, until it is woken, the deadline passes or the task is cancelled.
    ///
    /// The word has to stay mapped until this returns. Two system calls, and a wake-up of the thread.
    /// - Parameter endsWhenCancelled: false for a task that was cancelled before, and still has to wait.
    /// - Returns: `.woken` or `.changed` also when cancelled: the caller looks.
    func wait(
        _ word: FutexWord,
        while value: UInt32,
        deadline: Deadline,
        endsWhenCancelled: Bool = true
    ) async -> FutexWord.Outcome {
        guard let (shard, id) = reserve() else {
            // No thread can be had. Never block this one: look again soon.
            await DescriptorReactor.pause()
            return .woken
        }
        let outcome = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                shard.add(
                    id,
                    Shard.Entry(word: word, value: value, deadline: deadline) { continuation.resume(returning: $0) }
                )
            }
        } onCancel: {
            if endsWhenCancelled { shard.cancel(id) }
        }
        // The cancellation may have come after the end. No handler runs any more here.
        if Task.isCancelled { shard.forget(id) }
        return outcome
    }

    /// A wait of somebody who sleeps on something else.
    struct Watch: Sendable {
        fileprivate let places: [(shard: Shard, id: Int)]

        /// Ends it. What was to be called is called then if it was not yet, soon.
        func end() {
            for (shard, id) in places { shard.cancelEntry(id) }
        }
    }

    /// Has `body` called by the thread when one of the words is woken or no longer holds its value, or the deadline passes; for each of
    /// them once.
    ///
    /// The words have to stay mapped until `body` was called for each: let it keep alive what they are in. A wake-up of the thread
    /// for each word. Does not block, and neither may `body`.
    /// - Throws: `.resourceTemporarilyUnavailable` if no thread can be had.
    func watch(
        _ words: [(word: FutexWord, value: UInt32)],
        deadline: Deadline,
        _ body: @escaping @Sendable () -> Void
    ) throws(Errno) -> Watch {
        var places: [(shard: Shard, id: Int)] = []
        for _ in words {
            guard let place = reserve() else {
                for (shard, _) in places { shard.giveBack() }
                throw .resourceTemporarilyUnavailable
            }
            places.append(place)
        }
        for ((shard, id), (word, value)) in zip(places, words) {
            shard.add(id, Shard.Entry(word: word, value: value, deadline: deadline) { _ in body() })
        }
        return Watch(places: places)
    }

    /// A place at a thread that has one.
    private func reserve() -> (Shard, Int)? {
        shards.withLock { shards in
            for shard in shards {
                if let id = shard.reserve() { return (shard, id) }
            }
            let shard = Shard()
            guard (try? Thread.detach(named: "mp-futex", { shard.run() })) != nil else { return nil }
            shards.append(shard)
            return shard.reserve().map { (shard, $0) }
        }
    }
}

/// One thread of the reactor, and what it sleeps on.
private final class Shard: Sendable {
    struct Entry {
        var word: FutexWord
        var value: UInt32
        var deadline: Deadline
        var resume: @Sendable (FutexWord.Outcome) -> Void
    }

    private struct State {
        var nextID = 0
        /// Places given out, with or without an entry yet.
        var reserved = 0
        var entries: [Int: Entry] = [:]
        /// Those to be let go at once; some are not there yet.
        var cancelled: Set<Int> = []
    }

    private static let capacity = FutexWord.mostAtOnce - 1

    private let state = Mutex(State())
    /// Changes when the thread has to look at its entries anew. In private memory; lives as long as the process.
    private let bell: FutexWord

    init() {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 64)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: 64)
        bell = FutexWord(memory)
    }

    func reserve() -> Int? {
        state.withLock { state in
            guard state.reserved < Self.capacity else { return nil }
            state.reserved += 1
            state.nextID += 1
            return state.nextID
        }
    }

    /// For a place that was given out and is not needed.
    func giveBack() {
        state.withLock { $0.reserved -= 1 }
    }

    func add(_ id: Int, _ entry: Entry) {
        state.withLock { $0.entries[id] = entry }
        ring()
    }

    func cancel(_ id: Int) {
        state.withLock { _ = $0.cancelled.insert(id) }
        ring()
    }

    /// Lets go of an entry that is there; one that has gone leaves nothing behind.
    func cancelEntry(_ id: Int) {
        let isThere = state.withLock { state in
            guard state.entries[id] != nil else { return false }
            state.cancelled.insert(id)
            return true
        }
        if isThere { ring() }
    }

    /// Drops what a late cancellation left.
    func forget(_ id: Int) {
        state.withLock { _ = $0.cancelled.remove(id) }
    }

    private func ring() {
        bell.atomic.pointee.wrappingAdd(1, ordering: .releasing)
        bell.wake()
    }

    func run() {
        var canSleepOnMany = true
        /// The entries up to this one have been slept on.
        var slept = 0
        while true {
            let rung = bell.atomic.pointee.load(ordering: .acquiring)
            settle(slept: slept)
            let (words, deadline, last) = state.withLock { state in
                let entries = state.entries.values
                let first = entries.compactMap(\.deadline.remaining).min()
                return (
                    entries.map { (word: $0.word, value: $0.value) }, Deadline(after: first),
                    state.entries.keys.max() ?? 0
                )
            }
            // One sleep on all of them, or none at all.
            let outcome: FutexWord.Outcome
            defer { if outcome != .changed { slept = max(slept, last) } }
            guard canSleepOnMany, !words.isEmpty else {
                let slice = words.isEmpty ? deadline : deadline.earlier(.milliseconds(1))
                outcome = bell.wait(while: rung, deadline: slice)
                continue
            }
            do throws(Errno) {
                outcome = try FutexWord.waitAny([(bell, rung)] + words, deadline: deadline)
            } catch {
                // Some sandboxes refuse what they do not know by EPERM. Whatever else it is (no memory), it may pass.
                if error == .noFunction || error == .notPermitted { canSleepOnMany = false }
                outcome = bell.wait(while: rung, deadline: deadline.earlier(.milliseconds(1)))
            }
        }
    }

    /// Resumes whoever has reason to look.
    private func settle(slept: Int) {
        let done = state.withLock { state in
            var done: [(id: Int, entry: Entry, outcome: FutexWord.Outcome)] = []
            for (id, entry) in state.entries {
                let isCancelled = !state.cancelled.isEmpty && state.cancelled.contains(id)
                let outcome: FutexWord.Outcome
                if isCancelled || entry.word.atomic.pointee.load(ordering: .acquiring) != entry.value {
                    outcome = id <= slept ? .woken : .changed
                } else if entry.deadline.hasPassed {
                    outcome = .timedOut
                } else {
                    continue
                }
                state.entries[id] = nil
                state.cancelled.remove(id)
                state.reserved -= 1
                done.append((id, entry, outcome))
            }
            return done
        }
        // First those that have waited longest: those of them that lose queue up again in this order.
        for (_, entry, outcome) in done.sorted(by: { $0.id < $1.id }) { entry.resume(outcome) }
    }
}
