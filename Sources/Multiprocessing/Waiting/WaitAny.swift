internal import MultiprocessingSystem
internal import Synchronization
internal import SystemPackage

/// Blocks the thread until at least one of several things is ready: a connection with a message or without a peer, a queue with
/// an item, a process that has ended, a descriptor that is readable…
///
///     for place in try waitAny(of: [connection, child, FileDescriptor.standardInput]) { … }
///
/// Some system calls for each thing, and one for the wait; with queues among other things some more, every half second again.
///
/// Python: `multiprocessing.connection.wait`.
/// - Parameter timeout: how long to wait; nil for as long as it takes, zero or less to look once.
/// - Returns: the places in the array of all that are ready; none when the time was over first, or the array is empty.
/// - Throws: what asking them throws: ``SharedStateError`` (`closed`, `invalidArgument`), ``ProcessError``.
@available(*, noasync, message: "Use the async waitAny: this one blocks the thread")
public func waitAny(of items: [any Waitable], timeout: Duration? = nil) throws -> [Int] {
    try WaitAny.blocking(items, deadline: Deadline(after: timeout))
}

/// Suspends until at least one of several things is ready.
///
/// - Parameter timeout: how long to wait; nil for as long as it takes, zero or less to look once.
/// - Returns: the places in the array of all that are ready; none when the time was over first, or the array is empty.
/// - Throws: as the blocking one, and `CancellationError`.
public func waitAny(of items: [any Waitable], timeout: Duration? = nil) async throws -> [Int] {
    try await WaitAny.suspending(items, deadline: Deadline(after: timeout))
}

enum WaitAny {
    /// Sleepers look again by themselves, as in ``Wait``.
    private static let longestSleep: Duration = .milliseconds(500)

    private static func ready(_ items: [any Waitable]) throws -> [Int] {
        try items.indices.filter { try items[$0].isReady }
    }

    private struct Sources: Sendable {
        var all: [WaitSource]
        var descriptors: [CInt] = []
        var words: [(word: FutexWord, value: UInt32)] = []
        var patience = longestSleep

        init(_ items: [any Waitable]) throws {
            all = try items.map { try $0.waitSource() }
            for source in all {
                switch source.kind {
                case .descriptor(let number): descriptors.append(number)
                case .descriptors(let numbers): descriptors += numbers
                case .word(let word, let value): words.append((word, value))
                case .soon: patience = .milliseconds(1)
                }
            }
        }
    }

    /// A wake-up that came to who only looks may have been meant for one who would take what there is: it is passed on.
    private static func passOn(_ sources: Sources) {
        for (word, value) in sources.words where word.atomic.pointee.load(ordering: .relaxed) != value { word.wake() }
    }

    static func blocking(_ items: [any Waitable], deadline: Deadline) throws -> [Int] {
        while true {
            let early = try ready(items)
            if !early.isEmpty || items.isEmpty || deadline.hasPassed { return early }
            let sources = try Sources(items)
            let found = try ready(items)
            if !found.isEmpty { return found }
            let limit = deadline.earlier(sources.patience)
            do throws(Errno) {
                if sources.words.isEmpty {
                    _ = try waitUntilReady(sources.descriptors.map { Interest($0) }, deadline: limit)
                } else {
                    try sleep(sources, limit)
                }
            } catch {
                throw SharedStateError(.outOfResources, "Several things cannot be waited for at once", errno: error)
            }
            passOn(sources)
            withExtendedLifetime(sources) {}
        }
    }

    private static func sleep(_ sources: Sources, _ limit: Deadline) throws(Errno) {
        if sources.descriptors.isEmpty { return try FutexWord.waitAnyOrLook(sources.words, deadline: limit) }
        let event = SharedDescriptor(try Descriptor.event())
        // The words are kept mapped by what this keeps, until the reactor's thread has let go of all of them.
        let watch = try Runtime.current.futexReactor.watch(sources.words, deadline: limit) {
            event.descriptor.signalEvent()
            withExtendedLifetime(sources) {}
        }
        defer { watch.end() }
        _ = try waitUntilReady((sources.descriptors + [event.number]).map { Interest($0) }, deadline: limit)
    }

    static func suspending(_ items: [any Waitable], deadline: Deadline) async throws -> [Int] {
        while true {
            let isCancelled = Task.isCancelled
            let early = try ready(items)
            if !early.isEmpty || items.isEmpty { return early }
            if isCancelled { throw CancellationError() }
            if deadline.hasPassed { return [] }
            let sources = try Sources(items)
            let found = try ready(items)
            if !found.isEmpty { return found }
            await sleep(sources, deadline.earlier(sources.patience))
            passOn(sources)
            withExtendedLifetime(sources) {}
        }
    }

    private static func sleep(_ sources: Sources, _ limit: Deadline) async {
        let runtime = Runtime.current
        let (words, descriptors) = (sources.words, sources.descriptors)
        if words.isEmpty { return await runtime.descriptorReactor.wait(descriptors, deadline: limit) }
        await withTaskGroup(of: Void.self) { group in
            if !descriptors.isEmpty {
                group.addTask { await runtime.descriptorReactor.wait(descriptors, deadline: limit) }
            }
            for (word, value) in words {
                group.addTask { _ = await runtime.futexReactor.wait(word, while: value, deadline: limit) }
            }
            await group.next()
            group.cancelAll()
        }
    }
}

extension FutexWord {
    /// ``waitAny(_:deadline:)``; where the kernel cannot do that, or there are too many words, a short sleep.
    fileprivate static func waitAnyOrLook(
        _ words: [(word: FutexWord, value: UInt32)],
        deadline: Deadline
    ) throws(Errno) {
        if words.count <= mostAtOnce {
            do throws(Errno) {
                _ = try waitAny(words, deadline: deadline)
                return
            } catch {
                // Some sandboxes refuse what they do not know by EPERM.
                if error != .noFunction, error != .notPermitted { throw error }
            }
        }
        ThisProcess.pause(.milliseconds(1))
    }
}
