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

        /// The stamp of a process that there is not: the largest id, and a start at the first tick.
        private static let dead: UInt64 = 0x3f_ffff | 1 << 32

        @Test func anArrayWhoseCountOfDeathsIsFull() async throws {
            let array = try SharedArray([1, 2])
            let words = array.withSpan {
                $0.withUnsafeBufferPointer { UnsafeMutableRawPointer(mutating: $0.baseAddress!) }
            }
            words.storeBytes(of: Self.dead, toByteOffset: -64, as: UInt64.self)
            words.storeBytes(of: UInt64.max, toByteOffset: -32, as: UInt64.self)
            #expect(try await array.withLock(timeout: .seconds(20)) { $0[1] } == 2)
            #expect(array.abandonments == 0)
        }

        @Test(arguments: [UInt64.max, 1 << 63, 3, 0]) func aListWhoseJournalMakesNoSense(index: UInt64) throws {
            let list = try SharedList(["alpha", 5])
            try list.memory.withUnsafeMutableBytes { bytes in
                let offsets = stride(from: 0, to: bytes.count, by: 8)
                let own = try #require(
                    offsets.first { bytes.load(fromByteOffset: $0, as: UInt64.self) == 0x0100_5453_494C_504D }
                )
                bytes.storeBytes(of: Self.dead, toByteOffset: own + 8, as: UInt64.self)
                bytes.storeBytes(of: index, toByteOffset: own + 16, as: UInt64.self)
            }
            #expect(try list.elements() == ["alpha", 5])
        }
    }
}
