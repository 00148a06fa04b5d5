import MultiprocessingSystem
import MultiprocessingTestKit
import Synchronization
import Testing

@testable import Multiprocessing

extension ProcessTests {
    /// What happens to one at a queue while another one is held up, or dead, between two of its steps.
    @Suite struct QueueMeetingTests {
        /// A consumer found nothing held, and is held up before it takes the guard; meanwhile somebody leases the first item.
        @Test(.enabled(if: ChaosPlan.isAvailable)) func aLeaseFromBeforeTheGuardWasTaken() async throws {
            let queue = try Queue<[UInt8]>(maximumBytes: 64 << 10)
            let leased = [UInt8](repeating: 7, count: 20_000)
            try await queue.put(contentsOf: [leased, [1]])
            let plan = ChaosPlan(.stop, .named("queue.get.looked"))
            let child = try ChildProcess {
                plan.arm()
                return try queue.get(timeout: .seconds(20))
            }
            try child.start()
            let pid = child.processIdentifier!
            #expect(try await eventually(within: .seconds(10)) { state(of: pid) == "T" })
            let lease = try await queue.lease()
            try child.send(signal: 18)
            #expect(try await child.value == [1])
            // Once round the ring, as far as there is room.
            while (try? queue.putImmediately([UInt8](repeating: 9, count: 1000))) != nil {}
            try lease.release()
            #expect(try await queue.get(timeout: .seconds(10)) == leased)
        }

        /// The same with a shutdown that discards what is there.
        @Test(.enabled(if: ChaosPlan.isAvailable)) func aShutdownFromBeforeTheGuardWasTaken() async throws {
            let queue = try Queue<Int>()
            try await queue.put(1)
            let plan = ChaosPlan(.stop, .named("queue.get.looked"))
            let child = try ChildProcess {
                plan.arm()
                try check(queueThrows: .shutDown) { _ = try queue.get(timeout: .seconds(20)) }
            }
            try child.start()
            let pid = child.processIdentifier!
            #expect(try await eventually(within: .seconds(10)) { state(of: pid) == "T" })
            // Whoever has the guard now leaves the discarding to the next.
            #expect(queue.core.memory.consumerGuard.takeIfUncontended())
            try queue.shutdown(immediate: true)
            queue.core.memory.consumerGuard.release()
            try child.send(signal: 18)
            try await child.value
            #expect(try await queue.join(timeout: .seconds(10)))
        }

        /// A producer died on its way back to the start of the ring: what needs more room than is left behind that still fits.
        @Test(.enabled(if: ChaosPlan.isAvailable)) func halfAJump() async throws {
            let queue = try Queue<[UInt8]>(maximumBytes: 100_000)
            try await queue.put([UInt8](repeating: 1, count: 70_000))
            _ = try await queue.get()
            let plan = ChaosPlan(.kill, .named("queue.put.jumping"))
            let child = try ChildProcess(options: .quiet) {
                plan.arm()
                try queue.put([UInt8](repeating: 2, count: 20_000), timeout: .seconds(20))
            }
            try child.start()
            #expect(try await child.join(timeout: .seconds(20)))
            #expect(child.exitStatus == .signalled(9))
            #expect(try queue.isEmpty)
            for size in [95_000, 99_000] {
                try await queue.put([UInt8](repeating: 3, count: size), timeout: .seconds(10))
                #expect(try await queue.get(timeout: .seconds(10)).count == size)
            }
        }

        /// Turns at the consumers' guard are reserved for consumers that found nothing to take and went to sleep elsewhere: a producer that
        /// needs that guard for room takes it in the end, and so does a look at leases.
        @Test func turnsThatNobodyComesFor() async throws {
            let queue = try Queue<[UInt8]>(maximumBytes: 64 << 10)
            let memory = queue.core.memory
            let reserved = OwnerWordState.free(reservedTurns: 200).rawValue
            for size in [60_000, 50_000] {
                try await queue.put([UInt8](repeating: 1, count: 30_000))
                _ = try await queue.get()
                memory.block.word(128).pointee.store(reserved, ordering: .relaxed)
                try await queue.put([UInt8](repeating: 2, count: size), timeout: .seconds(10))
                #expect(try queue.getImmediately().count == size)
            }
            try await queue.put([3])
            let lease = try await queue.lease(for: .milliseconds(1))
            memory.block.word(128).pointee.store(reserved, ordering: .relaxed)
            #expect(try await waitAny(of: [queue], timeout: .seconds(10)) == [0])
            #expect(!lease.isHeld)
        }

        /// Runs `body` again and again until one who sleeps on a guard was woken for no other reason.
        private static func isWoken(at word: FutexWord, by body: () async throws -> Void) async throws -> Bool {
            let isOver = Flag()
            let sleeper = Task {
                try await onThread {
                    defer { isOver.value.store(true, ordering: .relaxed) }
                    return sleeps(on: word)
                }
            }
            while !isOver.value.load(ordering: .relaxed) { try await body() }
            return try await sleeper.value
        }

        private static var awakened: WaitProgress {
            var progress = WaitProgress.first
            progress.sleeps = 1
            return progress
        }

        /// Leaves a guard that this process has as if one of several who slept on it had been woken, the caller.
        private static func releaseToMe(_ word: UnsafeMutablePointer<Atomic<UInt64>>) {
            word.pointee.store(0, ordering: .releasing)
        }

        /// A consumer that slept on the guard and finds nothing to take when it is woken: the next one there is not left asleep.
        @Test func aConsumerPassesOnItsWakeUp() async throws {
            let queue = try Queue<Int>()
            let core = queue.core
            let word = core.memory.block.word(128)
            #expect(
                try await Self.isWoken(at: FutexWord(lowHalfOf: word)) {
                    try await queue.put(1)
                    try check(core.memory.consumerGuard.takeIfUncontended())
                    var turn = QueueCore.Turn()
                    guard case .wait = try core.attemptTake(.get, isImmediate: false, .first, &turn) else {
                        throw Unexpected()
                    }
                    Self.releaseToMe(word)
                    _ = try queue.getImmediately()
                    guard case .wait = try core.attemptTake(.get, isImmediate: false, Self.awakened, &turn) else {
                        throw Unexpected()
                    }
                }
            )
        }

        /// A producer that slept on the consumers' guard, and finds room without it.
        @Test func aProducerPassesOnItsWakeUp() async throws {
            let core = try Queue<[UInt8]>(maximumBytes: 1024).core
            let word = core.memory.block.word(128)
            let bytes = [UInt8](repeating: 1, count: 400)
            func put(_ progress: WaitProgress, _ turn: inout QueueCore.Turn) throws -> Bool {
                try bytes.withUnsafeBytes { bytes in
                    try withUnsafePointer(to: OutgoingItem(bytes: bytes)) { item in
                        let items = UnsafeBufferPointer(start: item, count: 1)
                        if case .done = try core.attemptPut(items, isImmediate: false, progress, &turn) { return true }
                        return false
                    }
                }
            }
            #expect(
                try await Self.isWoken(at: FutexWord(lowHalfOf: word)) {
                    var turn = QueueCore.Turn()
                    while core.count < 2 { try check(put(.first, &turn)) }
                    let leased = try core.begin(core.take(.lease(for: .max), QueueCore.Limit(.zero)))
                    try check(core.memory.consumerGuard.takeIfUncontended())
                    try check(!put(.first, &turn))
                    Self.releaseToMe(word)
                    try core.complete(leased)
                    core.finish(try core.take(.get, QueueCore.Limit(.zero)))
                    try check(put(Self.awakened, &turn))
                    while core.count > 0 { core.finish(try core.take(.get, QueueCore.Limit(.zero))) }
                }
            )
        }
    }
}

/// Whether somebody wakes the caller within ten seconds, whatever the word comes to hold.
private func sleeps(on word: FutexWord) -> Bool {
    let deadline = Deadline(after: .seconds(10))
    while true {
        switch word.wait(while: word.atomic.pointee.load(ordering: .relaxed), deadline: deadline) {
        case .woken: return true
        case .changed: continue
        case .timedOut: return false
        }
    }
}

private final class Flag: Sendable {
    let value = Atomic(false)
}

private struct Unexpected: Error {}
