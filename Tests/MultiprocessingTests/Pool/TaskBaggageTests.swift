import Glibc
import Multiprocessing
import Testing

/// What the running task carries under this name.
private func request() -> String { TaskBaggage.current["request"] ?? "none" }

extension ProcessTests {
    @Suite(.timeLimit(.minutes(2)))
    struct TaskBaggageTests {
        @Test(arguments: Backend.poolWorkersAnywhere) func singleTasksCarryIt(backend: Backend) async throws {
            try await withPool(processes: 1, options: backend.poolOptions) { pool async throws in
                let suffix = "!"
                try await TaskBaggage.$current.withValue(["request": "a1", "": "ü"]) {
                    #expect(try await pool.apply { TaskBaggage.current } == ["request": "a1", "": "ü"])
                    let slow = try await pool.apply { () async throws -> String in
                        await Task.yield()
                        return request() + suffix
                    }
                    #expect(slow == "a1!")
                    let shared = try pool.share("shared ")
                    #expect(try await pool.submit(sharing: shared) { $0 + request() }.value == "shared a1")
                }
                // Each task has its own, whoever is waited for.
                let tasks = try (0..<20).map { number in
                    try TaskBaggage.$current.withValue(["request": "\(number)"]) { try pool.submit { request() } }
                }
                for (number, task) in tasks.enumerated() { #expect(try await task.value == "\(number)") }
                #expect(try await pool.apply { TaskBaggage.current.isEmpty })
            }
        }

        @Test(arguments: Backend.poolWorkersAnywhere) func mapsCarryIt(backend: Backend) async throws {
            try await withPool(processes: 2, options: backend.poolOptions) { pool async throws in
                let expected = (0..<40).map { "\($0) a1" }
                try await TaskBaggage.$current.withValue(["request": "a1"]) {
                    #expect(try await pool.map(0..<40, chunkSize: 3) { "\($0) \(request())" } == expected)
                    let slow = try await pool.map(0..<40, chunkSize: 3) { number async throws -> String in
                        await Task.yield()
                        return "\(number) \(request())"
                    }
                    #expect(slow == expected)
                    let pairs = (0..<40).map { ($0, " ") }
                    #expect(try await pool.starMap(pairs) { "\($0)\($1)\(request())" } == expected)
                }
                #expect(try await pool.map(0..<4) { _ in request() } == Array(repeating: "none", count: 4))
            }
        }

        /// That of the call counts, not that of the loop, which may be elsewhere.
        @Test(arguments: Backend.poolWorkersAnywhere) func lazyMapsCarryThatOfTheirCall(backend: Backend) async throws {
            try await withPool(processes: 2, options: backend.poolOptions) { pool async throws in
                let (numbers, later) = try TaskBaggage.$current.withValue(["request": "a1"]) {
                    let input = AsyncStream { continuation in
                        for number in 0..<10 { continuation.yield(number) }
                        continuation.finish()
                    }
                    return (
                        try pool.imap(0..<10, { "\($0) \(request())" }), try pool.imap(input, { "\($0) \(request())" })
                    )
                }
                let expected = (0..<10).map { "\($0) a1" }
                try await TaskBaggage.$current.withValue(["request": "other"]) {
                    var values: [String] = []
                    for try await value in numbers { values.append(value) }
                    #expect(values == expected)
                    values = []
                    for try await value in later { values.append(value) }
                    #expect(values == expected)
                }
            }
        }

        @Test(arguments: Backend.poolProcesses) func retriedTasksCarryItAgain(backend: Backend) async throws {
            let gate = Gate()
            defer { gate.remove() }
            try await withPool(processes: 1, options: backend.poolOptions) { pool async throws in
                try await TaskBaggage.$current.withValue(["request": "a1"]) {
                    let value = try await pool.apply(retries: 1) { () -> String in
                        if !gate.wait(timeout: .zero) {
                            gate.set()
                            kill(getpid(), SIGKILL)
                        }
                        return request()
                    }
                    #expect(value == "a1")
                    gate.remove()
                    let values = try await pool.map(0..<6, chunkSize: 3, retries: 1) { number -> String in
                        if number == 4, !gate.wait(timeout: .zero) {
                            gate.set()
                            kill(getpid(), SIGKILL)
                        }
                        return request()
                    }
                    #expect(values == Array(repeating: "a1", count: 6))
                }
            }
        }

        /// It comes before the content, whose place is aligned, in a message of any size.
        @Test func baggageOfAnyLengthGoesWithContentOfAnySize() async throws {
            try await withPool(processes: 1) { pool async throws in
                for count in Array(0...9) + [TaskBaggage.maximumByteCount - 1] {
                    try await TaskBaggage.$current.withValue(["n": String(repeating: "x", count: count)]) {
                        for size in [1, 1000, 500_000] {
                            let numbers = [Int](0..<size)
                            let (last, length) = try await pool.apply {
                                (numbers[size - 1], TaskBaggage.current["n"]!.count)
                            }
                            #expect(last == size - 1 && length == count)
                        }
                    }
                }
            }
        }

        @Test func tooMuchIsRefused() async throws {
            try await withPool(processes: 1) { pool async throws in
                let long = String(repeating: "x", count: TaskBaggage.maximumByteCount)
                try await TaskBaggage.$current.withValue(["n": long]) {
                    try await check(pool: .invalidArgument) { try await pool.apply { 1 } }
                    try await check(pool: .invalidArgument) { try await pool.map(0..<3) { $0 } }
                }
                #expect(try await pool.apply { 1 } == 1)
            }
        }

        @Test func errorsComeBackAsTheyAre() async throws {
            try await withPool(processes: 1) { pool async throws in
                await TaskBaggage.$current.withValue(["request": "a1"]) {
                    await #expect(throws: CheckFailure.self) {
                        try await pool.apply { try check(false, "on purpose") }
                    }
                }
                #expect(try await pool.apply { request() } == "none")
            }
        }
    }
}
