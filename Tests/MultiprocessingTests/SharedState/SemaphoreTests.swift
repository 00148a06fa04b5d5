import Glibc
import Multiprocessing
import Testing

extension ProcessTests {
    /// What a semaphore promises, in processes, threads and tasks.
    @Suite struct SemaphoreTests {
        @Test(arguments: Backend.allCases, [true, false])
        func permitsAreShared(backend: Backend, returnsPermits: Bool) async throws {
            let semaphore = try CountingSemaphore(value: 2, returnsPermits: returnsPermits)
            #expect(try await semaphore.acquire())
            let other = try backend.run {
                try check(semaphore.value, is: 1)
                try semaphore.withPermit {
                    try check(semaphore.value, is: 0)
                    try check(!semaphore.tryAcquire())
                    try check(!semaphore.acquire(timeout: .milliseconds(20)))
                    try check(failure { try semaphore.withPermit(timeout: .zero) {} }, is: .timedOut)
                }
                try check(semaphore.tryAcquire())
                try semaphore.release()
            }
            try await other.value()
            #expect(semaphore.value == 1)
            try semaphore.release()
            #expect(semaphore.value == 2)
            #expect(try await semaphore.withPermit { semaphore.value } == 1)
            #expect(await failure { try await semaphore.withPermit { throw CancellationError() } } == nil)
            #expect(semaphore.value == 2)
        }

        @Test func wrongArguments() async throws {
            #expect(failure { try CountingSemaphore(value: -1) } == .invalidArgument)
            #expect(failure { try BoundedSemaphore(value: 1 << 31) } == .invalidArgument)
            let semaphore = try CountingSemaphore(value: Int(Int32.max))
            #expect(failure { try semaphore.release() } == .overReleased)
            #expect(failure { try semaphore.release(0) } == .invalidArgument)
            #expect(failure { try semaphore.release(.min) } == .invalidArgument)
            #expect(failure { try semaphore.release(.max) } == .invalidArgument)
            #expect(semaphore.value == Int(Int32.max))
            // A handle of one kind is not taken for the other.
            let child = try ChildProcess(arguments: semaphore) { $0.value }
            try child.start()
            #expect(try await child.value == Int(Int32.max))
        }

        /// What a process releases without holding it is new.
        @Test(arguments: Backend.processes) func growth(backend: Backend) async throws {
            let semaphore = try CountingSemaphore(value: 1)
            let bounded = try BoundedSemaphore(value: 1)
            try await semaphore.acquire()
            try await bounded.acquire()
            let other = try backend.run {
                try semaphore.release(3)
                try bounded.release()
                try check(failure { try bounded.release() }, is: .overReleased)
                try check(failure { try bounded.release(2) }, is: .overReleased)
            }
            try await other.value()
            #expect(semaphore.value == 3 && bounded.value == 1)
            try semaphore.release()
            #expect(semaphore.value == 4)
            #expect(failure { try bounded.release() } == .overReleased)
        }

        // MARK: Death

        @Test(arguments: Backend.processes, [true, false])
        func permitsOfTheDeadComeBack(backend: Backend, isKilled: Bool) async throws {
            let semaphore = try CountingSemaphore(value: 3)
            let bounded = try BoundedSemaphore(value: 3)
            let signals = try CountingSemaphore(value: 3, returnsPermits: false)
            try await semaphore.acquire()
            let other = try backend.run {
                for _ in 0..<2 {
                    try semaphore.acquire()
                    try bounded.acquire()
                    try signals.acquire()
                }
                if isKilled { raise(SIGKILL) }
            }
            try await onThread { _ = try other.join() }
            // By waiting, by a look, and by asking.
            #expect(try await semaphore.acquire(timeout: .seconds(10)))
            #expect(try semaphore.tryAcquire())
            #expect(try !semaphore.tryAcquire())
            #expect(bounded.value == 3)
            #expect(signals.value == 1)
            try semaphore.release(3)
            #expect(semaphore.value == 3)
        }

        /// A bound holds even if somebody had replaced what a dead process held.
        @Test func theBoundHoldsAfterADeath() async throws {
            let bounded = try BoundedSemaphore(value: 2)
            let other = try Backend.forkServer.run { () -> Int in
                try bounded.acquire()
                sleepForever()
            }
            try check(try await eventually(within: .seconds(20)) { bounded.value == 1 })
            try bounded.release()
            #expect(bounded.value == 2)
            try other.process?.kill()
            try await onThread { _ = try other.join() }
            #expect(bounded.value == 2)
            #expect(try bounded.tryAcquire())
            #expect(bounded.value == 1)
        }

        /// All sleepers get their permits when a process dies that held several.
        @Test func sleepersOfADeadHolder() async throws {
            let semaphore = try CountingSemaphore(value: 3)
            let other = try Backend.forkServer.run { () -> Int in
                for _ in 0..<3 { try semaphore.acquire() }
                sleepForever()
            }
            try check(try await eventually(within: .seconds(20)) { semaphore.value == 0 })
            let children = try (0..<2).map { _ in
                try Backend.forkServer.run { try semaphore.acquire(timeout: .seconds(20)) }
            }
            async let own = semaphore.acquire(timeout: .seconds(20))
            try await Task.sleep(for: .milliseconds(50))
            try other.process?.kill()
            #expect(try await own)
            for child in children { #expect(try await child.value()) }
            try check(try await eventually { semaphore.value == 2 })
        }

        /// Many processes in turn: slots are used again.
        @Test func manyHolders() async throws {
            let semaphore = try CountingSemaphore(value: 20)
            for _ in 0..<5 {
                let others = try (0..<4).map { index in
                    try Backend.forkServer.run {
                        try semaphore.acquire(timeout: .seconds(20))
                        if index > 1 { try semaphore.release() }
                    }
                }
                for other in others { try await other.value() }
            }
            #expect(semaphore.value == 20)
        }

        // MARK: Tasks

        @Test func manyTasksWait() async throws {
            let semaphore = try CountingSemaphore(value: 0)
            let count = 400
            try await withThrowingTaskGroup(of: Bool.self) { group in
                for _ in 0..<count { group.addTask { try await semaphore.acquire(timeout: .seconds(50)) } }
                for _ in 0..<50 { await Task.detached(priority: .low) { await Task.yield() }.value }
                for _ in 0..<count / 2 { try semaphore.release() }
                try semaphore.release(count / 2)
                for try await isTaken in group { #expect(isTaken) }
            }
            #expect(semaphore.value == 0)
        }

        /// Timeouts and cancellations that come at the moment of a release lose no permit, and invent none.
        @Test(arguments: [true, false]) func racesLoseNoPermit(returnsPermits: Bool) async throws {
            let semaphore = try CountingSemaphore(value: 3, returnsPermits: returnsPermits)
            let others = try (0..<2).map { _ in
                try Backend.forkServer.run { () -> Int in
                    var taken = 0
                    for _ in 0..<300 where try semaphore.acquire(timeout: .microseconds(Int.random(in: 0..<3000))) {
                        taken += 1
                        if taken % 16 == 0 { pause(.microseconds(500)) }
                        try semaphore.release()
                    }
                    return taken
                }
            }
            for _ in 0..<10 {
                await withTaskGroup(of: Void.self) { group in
                    for _ in 0..<300 {
                        group.addTask {
                            let task = Task {
                                let limit = Duration.microseconds(Int.random(in: 0..<4000))
                                guard try await semaphore.acquire(timeout: Bool.random() ? limit : nil) else { return }
                                await Task.yield()
                                try semaphore.release()
                            }
                            if Bool.random() {
                                try? await Task.sleep(for: .microseconds(Int.random(in: 0..<3000)))
                                task.cancel()
                            }
                            _ = await task.result
                        }
                    }
                }
            }
            for other in others { _ = try await other.value() }
            #expect(semaphore.value == 3)
            // They are really there.
            for _ in 0..<3 { #expect(try semaphore.tryAcquire()) }
            #expect(try !semaphore.tryAcquire())
        }

        @Test(arguments: Backend.processes) func signals(backend: Backend) async throws {
            let (made, room) = (
                try CountingSemaphore(value: 0, returnsPermits: false),
                try CountingSemaphore(value: 4, returnsPermits: false)
            )
            let other = try backend.run {
                for _ in 0..<500 {
                    try check(room.acquire(timeout: .seconds(20)))
                    try made.release()
                }
            }
            for _ in 0..<500 {
                #expect(try await made.acquire(timeout: .seconds(20)))
                try room.release()
            }
            try await other.value()
            #expect(made.value == 0 && room.value == 4)
        }
    }
}
