import Glibc
import Multiprocessing
import Testing

extension ProcessTests {
    /// What a lock promises, in processes, threads and tasks.
    @Suite struct LockTests {
        @Test(arguments: Backend.allCases) func heldByAProcess(backend: Backend) async throws {
            let lock = try Lock()
            #expect(!lock.isLocked && lock.owner == nil && lock.abandonment == nil)
            #expect(try await lock.acquire())
            #expect(lock.isLocked && lock.owner == getpid())
            let isProcess = backend.startMethod != nil
            let pid = getpid()
            let other = try backend.run { () -> Bool in
                try check(lock.isLocked && lock.owner == pid)
                try check(!lock.tryAcquire())
                try check(!lock.acquire(timeout: .milliseconds(20)))
                try check(!lock.acquire(timeout: .seconds(-1)))
                guard isProcess else { return true }
                try check(failure { try lock.release() }, is: .notOwner)
                return true
            }
            #expect(try await other.value())
            #expect(lock.isLocked)
            // Any thread of the holder's process may release it.
            try await onThread { try lock.release() }
            #expect(failure { try lock.release() } == .notOwner)
            #expect(lock.tryAcquire())
            try lock.release()
        }

        @Test(arguments: Backend.allCases) func scopes(backend: Backend) async throws {
            let lock = try Lock()
            let other = try backend.run { () -> Int in
                try lock.withLock { try check(lock.isLocked) }
                struct Odd: Error {}
                do {
                    try lock.withLock { throw Odd() }
                } catch is Odd {}
                try check(!lock.isLocked)
                return try lock.withLock(timeout: .seconds(10)) { 5 }
            }
            #expect(try await other.value() == 5)
            try await lock.withLock {
                await Task.yield()
                let other = try backend.run {
                    try check(failure { try lock.withLock(timeout: .milliseconds(20)) {} }, is: .timedOut)
                }
                try await other.value()
                #expect(await failure { try await lock.withLock(timeout: .milliseconds(20)) {} } == .timedOut)
            }
            #expect(!lock.isLocked)
        }

        /// The number of turns is right, and nobody waits for ever: for each backend, two against tasks of this process.
        @Test(arguments: Backend.allCases) func contention(backend: Backend) async throws {
            try await withTemporaryDirectory { directory in
                let lock = try Lock()
                let tally = try Tally(in: directory, "turns")
                let others = try (0..<2).map { _ in
                    try backend.run {
                        for _ in 0..<200 {
                            try lock.withLock {
                                let before = tally.count
                                try tally.add()
                                try check(tally.count, is: before + 1)
                            }
                        }
                    }
                }
                for _ in 0..<100 {
                    try await lock.withLock {
                        let before = tally.count
                        await Task.yield()
                        try tally.add()
                        #expect(tally.count == before + 1)
                    }
                }
                for other in others { try await other.value() }
                #expect(tally.count == 500)
            }
        }

        // MARK: Death

        @Test(arguments: Backend.processes, [true, false])
        func ownersThatEnd(backend: Backend, isKilled: Bool) async throws {
            let lock = try Lock()
            let other = try backend.run { () -> Int32 in
                try lock.acquire()
                if isKilled { raise(SIGKILL) }
                return getpid()
            }
            let pid = try #require(other.process?.processIdentifier)
            try await onThread { _ = try other.join() }
            #expect(lock.owner == pid)
            let before = ContinuousClock.now
            #expect(try await lock.acquire(timeout: .seconds(10)))
            let abandonment = try #require(lock.abandonment)
            #expect(abandonment.processIdentifier == pid)
            #expect(abandonment.noticed >= before && abandonment.noticed <= .now)
            // For the holder only, and until it releases.
            let third = try backend.run { lock.abandonment == nil }
            #expect(try await third.value())
            try lock.release()
            #expect(lock.abandonment == nil)
            #expect(lock.tryAcquire())
            #expect(lock.abandonment == nil)
            try lock.release()
        }

        /// One that took a dead owner's lock and dies as well.
        @Test func theLatestDeadOwner() async throws {
            let lock = try Lock()
            let first = try Backend.forkServer.run { try lock.acquire() }
            _ = try await first.value()
            let second = try Backend.forkServer.run { () -> Int32? in
                try lock.acquire(timeout: .seconds(10))
                return lock.abandonment?.processIdentifier
            }
            #expect(try await second.value() == first.process?.processIdentifier)
            // A look finds out as well: a lock that is only polled does not stay a dead process's.
            #expect(lock.tryAcquire())
            #expect(lock.abandonment?.processIdentifier == second.process?.processIdentifier)
            try lock.release()
        }

        /// Those who wait already find out by themselves.
        @Test func waitersOfADeadOwner() async throws {
            let lock = try Lock()
            let holder = try Backend.forkServer.run { () -> Int in
                try lock.acquire()
                sleepForever()
            }
            try check(try await eventually(within: .seconds(20)) { lock.isLocked })
            let waiters = try (0..<2).map { _ in
                try Backend.forkServer.run { () -> Int32? in
                    try lock.withLock(timeout: .seconds(20)) { lock.abandonment?.processIdentifier }
                }
            }
            async let own = lock.withLock(timeout: .seconds(20)) { lock.abandonment?.processIdentifier }
            try await Task.sleep(for: .milliseconds(50))
            try holder.process?.kill()
            let found = [try await waiters[0].value(), try await waiters[1].value(), try await own]
            // One took it over; the others got it from a living one.
            #expect(found.compactMap(\.self) == [holder.process?.processIdentifier])
        }

        /// One that does not hold the lock cannot hide from the holder that what the lock protects may be halfway.
        @Test func foreignReleasesChangeNothing() async throws {
            let lock = try Lock()
            let first = try Backend.forkServer.run { try lock.acquire() }
            _ = try await first.value()
            try await lock.acquire()
            let other = try Backend.forkServer.run { failure { try lock.release() } == .notOwner }
            #expect(try await other.value())
            #expect(lock.abandonment?.processIdentifier == first.process?.processIdentifier)
            try lock.release()
        }

        /// A copy of the holder's process does not hold the lock.
        @Test func forkedCopies() async throws {
            let lock = try Lock()
            try await lock.acquire()
            let copy = try Backend.fork.run {
                try check(failure { try lock.release() }, is: .notOwner)
                try check(!lock.tryAcquire())
            }
            try await copy.value()
            try lock.release()
        }

        /// One that cannot read its own start time, for want of descriptors, keeps one identity all the same.
        @Test func withoutDescriptors() async throws {
            let lock = try Lock()
            let copy = try Backend.fork.run { () -> Bool in
                var limit = rlimit()
                getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
                var none = rlimit(rlim_cur: 0, rlim_max: limit.rlim_max)
                setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &none)
                let isTaken = lock.tryAcquire()
                setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
                try lock.release()
                return isTaken
            }
            #expect(try await copy.value())
            #expect(!lock.isLocked)
        }

        // MARK: Tasks

        /// More tasks wait than the pool has threads; the pool runs others meanwhile.
        @Test func manyTasksWait() async throws {
            let lock = try Lock()
            try await lock.acquire()
            let count = 400
            try await withThrowingTaskGroup(of: Bool.self) { group in
                for _ in 0..<count {
                    group.addTask {
                        let isTaken = try await lock.acquire(timeout: .seconds(50))
                        if isTaken { try lock.release() }
                        return isTaken
                    }
                }
                // Tasks of all priorities run while those wait.
                for _ in 0..<50 { await Task.detached(priority: .low) { await Task.yield() }.value }
                try lock.release()
                var taken = 0
                for try await isTaken in group where isTaken { taken += 1 }
                #expect(taken == count)
            }
            #expect(!lock.isLocked)
        }

        @Test func cancellation() async throws {
            let lock = try Lock()
            try await lock.acquire()
            let waiter = Task { try await lock.acquire() }
            try await Task.sleep(for: .milliseconds(30))
            waiter.cancel()
            await #expect(throws: CancellationError.self) { try await waiter.value }
            try lock.release()
            #expect(!lock.isLocked)
            // A free lock is taken even so.
            let late = Task {
                withUnsafeCurrentTask { $0?.cancel() }
                return try await lock.acquire()
            }
            #expect(try await late.value)
            try lock.release()
        }

        // MARK: Fairness

        /// Three processes take the lock again as soon as they have released it, until they are told to stop. One that comes along
        /// gets its turn after a millisecond or so of theirs, which is what it would not by luck: a sleeper loses to those who are awake.
        @Test func aSlowOneGetsItsTurn() async throws {
            let lock = try Lock()
            // Memory that copies of this process share; written only under the lock.
            let memory = mmap(nil, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)!
            defer { munmap(memory, 4096) }
            let address = Int(bitPattern: memory)
            @Sendable func turns() -> Int { UnsafePointer(bitPattern: address)!.pointee }
            // Behind the number of turns, and written by this process alone.
            @Sendable func tellToStop() { UnsafeMutablePointer<Int>(bitPattern: address)![1] = 1 }
            let others = try (0..<3).map { _ in
                try Backend.fork.run {
                    let words = UnsafeMutablePointer<Int>(bitPattern: address)!
                    var goesOn = true
                    while goesOn {
                        goesOn = try lock.withLock(timeout: .seconds(20)) {
                            words[0] += 1
                            return words[1] == 0
                        }
                    }
                }
            }
            try check(try await eventually(within: .seconds(20)) { turns() > 1000 })
            let overtaken = try await onThread { () -> [Int] in
                var overtaken: [Int] = []
                defer { tellToStop() }
                while overtaken.count < 50 {
                    let before = turns()
                    try check(lock.acquire(timeout: .seconds(20)), "no turn came")
                    overtaken.append(turns() - before)
                    try lock.release()
                    pause(.microseconds(300))
                }
                return overtaken
            }
            for other in others { try await other.value() }
            // A turn takes some 50 nanoseconds at the least: this is five milliseconds of them.
            #expect(overtaken.sorted()[25] < 100_000)
        }
    }
}
