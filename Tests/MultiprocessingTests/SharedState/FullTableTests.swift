import Glibc
import Synchronization
import Testing

@testable import Multiprocessing
@testable import MultiprocessingSystem

extension ProcessTests {
    /// Tables that are full.
    @Suite struct FullTableTests {
        /// One that frees its slot and is held up before that is known does not free it from under the next.
        @Test(.enabled(if: Chaos.isAvailable, "this build has no steps to be stopped at"))
        func aSlotIsFreedOnce() async throws {
            let table = try ConditionTable()
            let child = try ChildProcess(arguments: table) { table in
                let waiter = try table.enter()
                Chaos.arm(Chaos.Plan(.stop, .named("condition.freed", occurrence: 0)))
                try check(table.withdraw(waiter))
            }
            try child.start()
            let pid = try #require(child.processIdentifier)
            try #require(try await eventually(within: .seconds(20)) { state(of: pid) == "T" })
            var waiters: [ConditionTable.Waiter] = []
            while waiters.count < ConditionTable.capacity, let waiter = try? table.enter() { waiters.append(waiter) }
            #expect(waiters.count >= ConditionTable.capacity - 1)
            try child.send(signal: SIGCONT)
            try await child.value
            table.notify(.max)
            var missed = 0
            for index in waiters.indices {
                if case .wait = table.look(&waiters[index], .first) { missed += 1 }
            }
            #expect(missed == 0)
            // Nothing is lost either: the slot is free now.
            if waiters.count < ConditionTable.capacity { _ = try table.enter() }
        }

        /// One that was killed there has its slot freed by whoever needs it.
        @Test(.enabled(if: Chaos.isAvailable, "this build has no steps to be killed at"))
        func aSlotOfSomebodyKilledWhileFreeingIt() async throws {
            let table = try ConditionTable()
            let child = try ChildProcess(arguments: table, options: .quiet) { table in
                let waiter = try table.enter()
                Chaos.arm(Chaos.Plan(.kill, .named("condition.freed", occurrence: 0)))
                _ = table.withdraw(waiter)
            }
            try child.start()
            try await child.join()
            for _ in 0..<ConditionTable.capacity { _ = try table.enter() }
            try check(fails: .outOfResources) { _ = try table.enter() }
        }

        /// The places of the dead in a semaphore's table are there for the living.
        @Test func aTableOfDeadHolders() throws {
            let permits = try PermitCounter(value: 5000, isBounded: false, returnsPermits: true)
            let table = try #require(permits.table)
            // A process that there is not: the largest id, and a start at the first tick.
            for slot in 0..<PermitTable.capacity {
                table.slots[2 * slot].store(0x3f_ffff | 1 << 32, ordering: .relaxed)
                table.slots[2 * slot + 1].store(1, ordering: .relaxed)
            }
            table.highWater.pointee.store(UInt64(PermitTable.capacity), ordering: .relaxed)
            let isTaken = try permits.tryAcquire()
            #expect(isTaken)
            #expect(permits.value == 4999)
        }
    }
}
