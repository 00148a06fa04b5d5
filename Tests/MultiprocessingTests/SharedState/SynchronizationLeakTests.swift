import Multiprocessing
import Testing

extension ProcessTests {
    /// What events, barriers and conditions hold is given back with them.
    @Suite struct SynchronizationLeakTests {
        @Test func descriptorsAndMappings() async throws {
            try await isolated {
                func round() throws {
                    let (event, barrier, condition) = (try Event(), try Barrier(parties: 1), try Condition())
                    let large = try Barrier(parties: 10_000)
                    let child = try ChildProcess {
                        event.set()
                        try barrier.wait()
                        try condition.withLock { try condition.notify() }
                        return large.parties
                    }
                    try child.start()
                    try check(try child.waitForValue(timeout: .seconds(20)), is: 10_000)
                    try check(event.isSet)
                    try child.close()
                }
                try round()
                let before = (openDescriptors().count, mappings())
                for _ in 0..<20 { try round() }
                let after = (openDescriptors().count, mappings())
                try check(after.0, is: before.0)
                // The allocator maps memory as well.
                try check(after.1 - before.1 < 10, "\(before.1) mappings, then \(after.1)")
            }
        }
    }
}

private func mappings() -> Int {
    (text(of: "/proc/self/maps") ?? "").split(separator: "\n").count
}
