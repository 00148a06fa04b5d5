import Multiprocessing
import Testing

/// A message that says it holds a lock, and brings shared memory in which the lock has no bytes.
private struct Forgery: Codable, Sendable {
    /// What decoding it as a ``Lock`` and as a ``RecursiveLock`` came to.
    var failures: [SharedStateError.Code?] = []
    private let array: SharedArray<UInt64>

    /// Where the array's elements begin in its memory: behind the headers of the region, of the block and of the array.
    private static let elements = 64 + 64 + 64
    /// The kinds of block as layouts have them.
    private static let kinds: [UInt64] = [2, 11]

    private enum CodingKeys: CodingKey {
        case array, lock, recursive
    }

    private struct Place: Codable {
        var file = 0
        var offset: Int
        var count = 0
    }

    init() throws {
        // Large enough for memory of its own.
        array = try SharedArray(unlockedCount: 16_384)
        // Headers of blocks: kind and version, then the size.
        for (index, kind) in Self.kinds.enumerated() { array[index * 8] = kind | 1 << 32 }
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        // The array's descriptor is the first that goes along.
        try container.encode(array, forKey: .array)
        try container.encode(Place(offset: Self.elements), forKey: .lock)
        try container.encode(Place(offset: Self.elements + 64), forKey: .recursive)
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        array = try container.decode(SharedArray<UInt64>.self, forKey: .array)
        failures = [
            failure { try container.decode(Lock.self, forKey: .lock) },
            failure { try container.decode(RecursiveLock.self, forKey: .recursive) },
        ]
    }
}

extension ProcessTests {
    /// Handles that arrive with memory as no process of ours makes it: a typed error, never a trap.
    @Suite struct HandleHostileTests {
        @Test func locksWithoutBytes() async throws {
            let results = try await ChildProcess.run(arguments: Forgery()) { $0.failures.map { $0?.description } }
            #expect(results == ["malformed", "malformed"])
        }
    }
}
