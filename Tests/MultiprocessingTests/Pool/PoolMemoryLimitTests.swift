import Multiprocessing
import Testing

/// The workers' state; nothing of it is used.
private final class Room {
    func fill(_ number: Int) -> Int {
        pause(.seconds(60))
        return number
    }
}

@Sendable private func wait(_ number: Int) -> Int {
    pause(.seconds(60))
    return number
}

@Sendable private func waitLater(_ number: Int) async -> Int {
    pause(.seconds(60))
    return number
}

extension ProcessTests {
    /// The limit of memory in each form that has one of time.
    @Suite(.timeLimit(.minutes(2)))
    struct PoolMemoryLimitTests {
        /// Less than any worker has.
        private static let little = 1 << 16

        private func exceeds(_ form: String, _ body: () async throws -> some Any) async {
            let error = await #expect(throws: PoolError.self, "\(form)") { _ = try await body() }
            #expect(error?.code == .memoryExceeded, "\(form): \(String(describing: error))")
        }

        private func first<Values: AsyncSequence>(_ values: Values) async throws -> Values.Element? {
            for try await value in values { return value }
            return nil
        }

        private func later() -> AsyncStream<Int> {
            AsyncStream { continuation in
                continuation.yield(1)
                continuation.finish()
            }
        }

        @Test func functions() async throws {
            let few = Self.little
            let pairs = [(1, 2)]
            try await withPool(processes: 1) { pool async throws in
                await exceeds("submit") { try await pool.submit(memoryLimit: few) { wait(1) }.value }
                await exceeds("map") { try await pool.map(0..<3, memoryLimit: few) { wait($0) } }
                await exceeds("async map") { try await pool.map(0..<3, memoryLimit: few) { await waitLater($0) } }
                await exceeds("blocking map") {
                    try await onThread { try pool.map(0..<3, memoryLimit: few) { wait($0) } }
                }
                await exceeds("imap") { try await first(try pool.imap(0..<3, memoryLimit: few, { wait($0) })) }
                await exceeds("async imap") {
                    try await first(try pool.imap(0..<3, memoryLimit: few, { await waitLater($0) }))
                }
                await exceeds("imap of later items") {
                    try await first(try pool.imap(later(), memoryLimit: few, { wait($0) }))
                }
                await exceeds("starMap") { try await pool.starMap(pairs, memoryLimit: few) { wait($0 + $1) } }
                await exceeds("starImap") {
                    try await first(try pool.starImap(pairs, memoryLimit: few, { wait($0 + $1) }))
                }
                await exceeds("zipping starMap") {
                    try await pool.starMap(zipping: [1], [2], memoryLimit: few) { wait($0 + $1) }
                }
                await exceeds("zipping starImap") {
                    try await first(try pool.starImap(zipping: [1], [2], memoryLimit: few, { wait($0 + $1) }))
                }
                try await check(pool: .invalidArgument) { try await pool.map(0..<3, memoryLimit: 0) { $0 } }
                // The pool goes on, and so does a call with a limit that is not reached.
                #expect(try await pool.map(0..<3, memoryLimit: 1 << 40) { $0 } == [0, 1, 2])
            }
        }

        @Test func functionsThatShare() async throws {
            let few = Self.little
            try await withPool(processes: 1) { pool async throws in
                await exceeds("submit") { try await pool.submit(sharing: 1, memoryLimit: few) { wait($0) }.value }
                await exceeds("apply") { try await pool.apply(sharing: 1, memoryLimit: few) { wait($0) } }
                let kept = try pool.share(1)
                await exceeds("kept") { try await pool.apply(sharing: kept, memoryLimit: few) { wait($0) } }
                await exceeds("map") { try await pool.map(0..<3, sharing: 1, memoryLimit: few) { wait($0 + $1) } }
                await exceeds("imap") {
                    try await first(try pool.imap(0..<3, sharing: 1, memoryLimit: few, { wait($0 + $1) }))
                }
                await exceeds("imap of later items") {
                    try await first(try pool.imap(later(), sharing: 1, memoryLimit: few, { wait($0 + $1) }))
                }
            }
        }

        @Test func functionsOfAState() async throws {
            let few = Self.little
            let pairs = [(1, 2)]
            try await withPool(processes: 1, state: { Room() }) { pool async throws in
                await exceeds("submit") { try await pool.submit(memoryLimit: few) { $0.fill(1) }.value }
                await exceeds("apply") { try await pool.apply(memoryLimit: few) { room in room.fill(1) } }
                await exceeds("map") { try await pool.map(0..<3, memoryLimit: few) { $0.fill($1) } }
                await exceeds("imap") { try await first(try pool.imap(0..<3, memoryLimit: few, { $0.fill($1) })) }
                await exceeds("imap of later items") {
                    try await first(try pool.imap(later(), memoryLimit: few, { $0.fill($1) }))
                }
                await exceeds("starMap") {
                    try await pool.starMap(pairs, memoryLimit: few) { (room: inout Room, left: Int, right: Int) in
                        room.fill(left + right)
                    }
                }
                await exceeds("starImap") {
                    try await first(
                        try pool.starImap(
                            pairs,
                            memoryLimit: few,
                            { (room: inout Room, left: Int, right: Int) in room.fill(left + right) }
                        )
                    )
                }
            }
        }
    }
}
