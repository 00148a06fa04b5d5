import Multiprocessing
import Testing

extension ProcessTests {
    /// What the other suites build on.
    @Suite struct BackendTests {
        @Test(arguments: Backend.allCases) func aValueComesBack(backend: Backend) async throws {
            let number = 6
            let running = try backend.run { number * 7 }
            #expect(try await running.value() == 42)
            #expect(try await running.join())
            #expect(!running.isAlive)
            #expect((running.process != nil) == (backend != .threads))
        }

        @Test(arguments: Backend.allCases) func blocking(backend: Backend) throws {
            let running = try backend.run { pause(.milliseconds(300)) }
            #expect(running.isAlive)
            #expect(try !running.join(timeout: .zero))
            #expect(try running.join())
            try running.value()
        }

        @Test(arguments: Backend.allCases) func anErrorComesBack(backend: Backend) async throws {
            let running = try backend.run { try check(false, "as meant") }
            await #expect(throws: CheckFailure.self) { try await running.value() }
        }

        @Test(arguments: Backend.allCases) func handlesTravel(backend: Backend) async throws {
            let lock = try Lock()
            try await lock.acquire()
            let running = try backend.run { try lock.acquire(timeout: .seconds(20)) }
            try lock.release()
            #expect(try await running.value())
        }
    }
}
