import Multiprocessing
import Testing

@Suite(.timeLimit(.minutes(1)))
struct SmokeTests {
    @Test(arguments: StartMethod.allCases)
    func lockTravels(_ method: StartMethod) async throws {
        let lock = try Lock()
        #expect(try await lock.acquire())
        let child = try ChildProcess(startMethod: method) { () -> Bool in
            try lock.acquire(timeout: .milliseconds(50))
        }
        try child.start()
        #expect(try await child.value == false)
        try lock.release()
        let second = try ChildProcess(startMethod: method) { () -> Bool in
            try lock.acquire(timeout: .seconds(5))
        }
        try second.start()
        #expect(try await second.value == true)
        // It ended while it held it.
        #expect(try await lock.acquire(timeout: .seconds(5)))
        try lock.release()
    }

    @Test func contention() async throws {
        let lock = try Lock()
        let children = try (0..<3).map { _ in
            try ChildProcess { () -> Int in
                var n = 0
                for _ in 0..<50_000 {
                    try lock.acquire()
                    n += 1
                    try lock.release()
                }
                return n
            }
        }
        for c in children { try c.start() }
        for _ in 0..<200 {
            #expect(try await lock.acquire())
            await Task.yield()
            try lock.release()
        }
        for c in children { #expect(try await c.value == 50_000) }
    }

    @Test func asyncWaiters() async throws {
        let lock = try Lock()
        #expect(try await lock.acquire())
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for _ in 0..<300 {
                group.addTask {
                    let r = try await lock.acquire(); try lock.release(); return r
                }
            }
            try await Task.sleep(for: .milliseconds(50))
            try lock.release()
            for try await ok in group { #expect(ok) }
        }
    }
}
