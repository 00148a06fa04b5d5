import Foundation
import Multiprocessing
import Synchronization
import Testing

extension ProcessTests {
    @Suite struct ConditionTests {
        @Test func needsTheLock() async throws {
            for condition in [try Condition(), try Condition(lock: RecursiveLock()), try Condition(lock: Lock())] {
                for call in [
                    { try condition.wait() }, { try condition.wait(until: { true }) }, { try condition.notify() },
                    { try condition.notifyAll() }, { try condition.release() },
                ] as [@Sendable () throws -> Void] {
                    let error = await #expect(throws: SharedStateError.self) { try await onThread(call) }
                    #expect([.notOwner, .overReleased].contains(error?.code), "\(String(describing: error))")
                }
                let error = await #expect(throws: SharedStateError.self) { try await condition.wait() }
                #expect(error?.code == .notOwner)
                try await condition.withLock {
                    #expect(throws: SharedStateError.self) { try condition.notify(-1) }
                    try condition.notify(0)
                    try condition.notify()
                    try condition.notify(.max)
                    try condition.notifyAll()
                }
                #expect(throws: SharedStateError.self) { try JSONEncoder().encode(condition) }
            }
        }

        /// The lock is free while somebody waits, however often it was taken, and taken as often afterwards.
        @Test func depth() async throws {
            let condition = try Condition()
            try await onThread {
                for _ in 0..<3 { try condition.acquire() }
                let other = try Backend.forkServer.run { try condition.withLock { try condition.notify() } }
                try check(try condition.wait(timeout: .seconds(20)))
                for _ in 0..<3 { try condition.release() }
                try other.value()
                try check((try? condition.release()) == nil)
            }
            for _ in 0..<3 { try await condition.acquire() }
            let other = try Backend.forkServer.run { try condition.withLock { try condition.notify() } }
            #expect(try await condition.wait(timeout: .seconds(20)))
            #expect(try await condition.wait(timeout: .milliseconds(5)) == false)
            for _ in 0..<3 { try condition.release() }
            try await other.value()
            #expect(throws: SharedStateError.self) { try condition.release() }
        }

        @Test(arguments: StartMethod.allCases, [true, false]) func travels(method: StartMethod, isRecursive: Bool)
            async throws
        {
            let condition = isRecursive ? try Condition() : try Condition(lock: Lock())
            let child = try ChildProcess(startMethod: method) {
                try condition.withLock { try condition.wait(timeout: .seconds(20)) }
            }
            try child.start()
            while child.isAlive {
                try await condition.withLock { try condition.notify() }
                try await Task.sleep(for: .milliseconds(2))
            }
            #expect(try await child.value)
        }

        /// Who has waited longest is first.
        @Test func order() async throws {
            let condition = try Condition()
            let waiters = try await startWaiters(condition, [.threads, .forkServer, .fork, .threads, .forkServer])
            for turn in 0..<5 {
                try await condition.withLock { try condition.notify() }
                #expect(try await waiters[turn].value())
                for waiter in waiters[(turn + 1)...] { #expect(waiter.isAlive) }
            }
            try await expectNobody(condition)
        }

        @Test func severalAtOnce() async throws {
            let condition = try Condition()
            let waiters = try await startWaiters(condition, [.threads, .forkServer, .threads, .forkServer, .threads])
            try await condition.withLock { try condition.notify(2) }
            for waiter in waiters[..<2] { #expect(try await waiter.value()) }
            try await Task.sleep(for: .milliseconds(50))
            #expect(waiters[2...].allSatisfy { $0.isAlive })
            try await condition.withLock { try condition.notifyAll() }
            for waiter in waiters { #expect(try await waiter.value()) }
            try await expectNobody(condition)
        }

        @Test func predicates() async throws {
            let condition = try Condition()
            try await condition.withLock {
                try check(try await condition.wait(until: { true }))
                try check(!(try await condition.wait(timeout: .milliseconds(10), until: { false })))
                await #expect(throws: Oops.self) { try await condition.wait(until: { throw Oops() }) }
                var looks = 0
                let isTrue = try await condition.wait(timeout: .milliseconds(10)) {
                    await Task.yield()
                    looks += 1
                    return looks == 2
                }
                try check(isTrue)
            }
            try await onThread {
                try condition.withLock {
                    try check(try condition.wait(timeout: .zero, until: { true }))
                    try check(!(try condition.wait(timeout: .milliseconds(10), until: { false })))
                    try check((try? condition.wait(until: { throw Oops() })) == nil)
                    try condition.notify()
                }
            }
        }

        /// A task that is cancelled has the lock all the same, even if it has to wait for it.
        @Test func cancellation() async throws {
            let condition = try Condition()
            let entered = try Event()
            let task = Task {
                try await condition.acquire()
                entered.set()
                do {
                    _ = try await condition.wait()
                    return "notified"
                } catch is CancellationError {
                    try condition.release()
                    return "cancelled"
                }
            }
            #expect(try await entered.wait(timeout: .seconds(20)))
            try await condition.acquire()
            task.cancel()
            try await Task.sleep(for: .milliseconds(50))
            try condition.release()
            #expect(try await task.value == "cancelled")
            // Cancelled before: the lock is given up and had again.
            let late = Task {
                try await condition.acquire()
                withUnsafeCurrentTask { $0?.cancel() }
                do { _ = try await condition.wait() } catch is CancellationError { return try condition.release() }
            }
            try await late.value
            try await expectNobody(condition)
        }

        /// A notification that was given is not lost to a cancellation that comes before the lock is had.
        @Test func cancellationAfterNotification() async throws {
            let condition = try Condition()
            let entered = try Event()
            let task = Task {
                try await condition.withLock {
                    entered.set()
                    return try await condition.wait()
                }
            }
            #expect(try await entered.wait(timeout: .seconds(20)))
            try await condition.acquire()
            try condition.notify()
            task.cancel()
            try await Task.sleep(for: .milliseconds(20))
            try condition.release()
            #expect(try await task.value)
        }

        /// Those who died while they waited neither block nor use up notifications.
        @Test(arguments: Backend.processes) func deadWaiters(backend: Backend) async throws {
            let condition = try Condition()
            let victims = try await startWaiters(condition, [backend, backend, backend])
            let survivors = try await startWaiters(condition, [.threads, .forkServer])
            for victim in victims { try victim.process!.kill() }
            for victim in victims { #expect(try await victim.join()) }
            try await condition.withLock { try condition.notify() }
            #expect(try await survivors[0].value())
            try await condition.withLock { try condition.notifyAll() }
            #expect(try await survivors[1].value())
            try await expectNobody(condition)
        }

        /// Who is killed after it was notified, and before it has the lock, hands the notification on to those who waited then.
        @Test(arguments: Backend.processes) func deathAfterNotification(backend: Backend) async throws {
            let condition = try Condition()
            let victims = try await startWaiters(condition, [backend])
            let heirs = try await startWaiters(condition, [.threads])
            try await condition.acquire()
            try condition.notify()
            // It cannot have the lock.
            try await Task.sleep(for: .milliseconds(20))
            try victims[0].process!.kill()
            #expect(try await victims[0].join())
            try condition.release()
            #expect(try await heirs[0].value())
            try await expectNobody(condition)
        }

        /// Who came later inherits nothing.
        @Test func noInheritanceForNewcomers() async throws {
            let condition = try Condition()
            let victims = try await startWaiters(condition, [.forkServer])
            try await condition.acquire()
            try condition.notify()
            try victims[0].process!.kill()
            #expect(try await victims[0].join())
            #expect(try await condition.wait(timeout: .milliseconds(100)) == false)
            try condition.release()
        }

        /// There is room for 4096, and the dead make room.
        @Test func capacity() async throws {
            let condition = try Condition()
            let full = try Event()
            let crowd = try ChildProcess {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    let entered = Counter()
                    for _ in 0..<4096 {
                        group.addTask {
                            try await condition.acquire()
                            if entered.value.add(1, ordering: .relaxed).newValue == 4096 { full.set() }
                            _ = try await condition.wait()
                        }
                    }
                    try await group.waitForAll()
                }
            }
            try crowd.start()
            #expect(try await full.wait(timeout: .seconds(50)))
            try await condition.acquire()
            let error = await #expect(throws: SharedStateError.self) { try await condition.wait(timeout: .zero) }
            #expect(error?.code == .outOfResources)
            // The lock is held still.
            try condition.notify(0)
            try crowd.kill()
            #expect(try await crowd.join())
            #expect(try await condition.wait(timeout: .milliseconds(1)) == false)
            try condition.release()
            let waiters = try await startWaiters(condition, [.threads])
            try await condition.withLock { try condition.notify() }
            #expect(try await waiters[0].value())
        }

        /// As many waits return true as notifications were given, whoever gives up or is cancelled meanwhile.
        @Test func exactness() async throws {
            let condition = try Condition()
            let books = Books(condition)
            let patient = try (0..<4).map { _ in try Backend.threads.run { try books.wait(isPatient: true) } }
            let impatient = try (0..<4).map { _ in
                try Backend.threads.run { try books.wait(isPatient: false) }
            }
            let tasks = (0..<6).map { index in
                Task {
                    while try await !books.isOver {
                        let waiter = Task { try await books.waitOnce(index) }
                        try await Task.sleep(for: .microseconds(Int.random(in: 0..<3000)))
                        waiter.cancel()
                        try await waiter.value
                    }
                }
            }
            let end = ContinuousClock.now + .seconds(3)
            while ContinuousClock.now < end {
                try await condition.withLock {
                    if books.certain > 0 {
                        let count = Int.random(in: 1...books.certain)
                        books.given += count
                        try condition.notify(count)
                    }
                }
                if Bool.random() { try await Task.sleep(for: .microseconds(Int.random(in: 0..<500))) }
            }
            // Nothing is lost: all that was given is had.
            let isSettled = try await onThread {
                try eventually(within: .seconds(20)) { try condition.withLock { books.given == books.had } }
            }
            #expect(isSettled, "\(books.given) given, \(books.had) had")
            try await condition.withLock {
                books.ending = true
                try condition.notifyAll()
            }
            for waiter in patient + impatient { try await waiter.value() }
            for task in tasks { try await task.value }
            #expect(books.given > 50)
            try await expectNobody(condition)
        }
    }
}

private struct Oops: Error {}

private final class Counter: Sendable {
    let value = Atomic(0)
}

/// Starts waiters, one after the other; each is waiting before the next one comes. Their value is whether they were notified.
func startWaiters(_ condition: Condition, _ backends: [Backend], timeout: Duration = .seconds(25)) async throws
    -> [Backend.Running<Bool>]
{
    var waiters: [Backend.Running<Bool>] = []
    for backend in backends {
        let entered = try Event()
        waiters.append(
            try backend.run {
                try condition.withLock {
                    entered.set()
                    return try condition.wait(timeout: timeout)
                }
            }
        )
        try check(try await entered.wait(timeout: .seconds(20)))
        // The lock is to be had as soon as it waits.
        try await condition.withLock {}
    }
    return waiters
}

/// Checks that no notification is left for one that comes now.
func expectNobody(_ condition: Condition) async throws {
    let isNotified = try await condition.withLock { try await condition.wait(timeout: .milliseconds(10)) }
    try check(!isNotified, "a notification was left over")
}

/// What was given to waiters, and what they had. All of it is only touched with the condition's lock.
private final class Books: @unchecked Sendable {
    private let condition: Condition
    var given = 0
    var had = 0
    var ending = false
    /// Those who wait until they are notified.
    private var patient = 0

    init(_ condition: Condition) {
        self.condition = condition
    }

    var isOver: Bool { get async throws { try await condition.withLock { ending } } }

    /// How many notifications will certainly find somebody.
    var certain: Int { max(0, patient - (given - had)) }

    func wait(isPatient: Bool) throws {
        try condition.withLock {
            while !ending {
                if isPatient { patient += 1 }
                let limit = isPatient ? nil : Duration.microseconds(Int.random(in: 0..<3000))
                let isNotified = try condition.wait(timeout: limit)
                if isPatient { patient -= 1 }
                if isNotified, !ending { had += 1 }
            }
        }
    }

    func waitOnce(_ index: Int) async throws {
        do {
            try await condition.withLock {
                if try await condition.wait(timeout: index == 0 ? .milliseconds(1) : .seconds(20)), !ending { had += 1 }
            }
        } catch is CancellationError {}
    }
}
