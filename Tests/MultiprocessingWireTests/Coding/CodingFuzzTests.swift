import Foundation
import MultiprocessingWire
import Testing

/// Bytes made from valid messages by a seeded generator: decoding them ends with a value or a typed error.
@Suite struct CodingFuzzTests {
    /// A small generator of which every run is the same (SplitMix64).
    struct Generator: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
    }

    struct Specimen {
        var bytes: [UInt8]
        var decode: ([UInt8]) throws -> Void
    }

    private static func specimen<Value: Codable>(_ value: Value) throws -> Specimen {
        let limits = CodingLimits(maximumDepth: 64, allocationBase: 1 << 20, allocationFactor: 64)
        return Specimen(bytes: try BinaryEncoder().encode(value)) {
            _ = try BinaryDecoder(limits: limits).decode(Value.self, from: $0)
        }
    }

    private static func specimens() throws -> [Specimen] {
        [
            try specimen(Mixed()),
            try specimen([Mixed(note: "n", kind: .plain), Mixed()]),
            try specimen([1, 2, 3]),
            try specimen([[1.5], [], [2.5, 3.5]]),
            try specimen([true, false]),
            try specimen(["a", "bb", String(repeating: "c", count: 300)]),
            try specimen(["k": [1: Kind.plain], "l": [:]]),
            try specimen([Point(x: 1, y: 2): Int?.none, Point(x: 0, y: 0): 3]),
            try specimen(DoubleOptional(a: nil, b: .some(nil), c: 1, d: [nil, .some(nil), 2], e: .some(.some(nil)))),
            try specimen(Shape.group(.circle(radius: 1), .polygon([Point(x: 1, y: 2)], "p"))),
            try specimen(Tree(value: 1, children: [Tree(value: 2, children: [Tree(value: 3, children: [])])])),
            try specimen(Dog(legs: 4, name: "Rex")),
            try specimen(Set([1, 2, 3])),
            try specimen([Nothing(), Nothing()]),
            try specimen(Data([1, 2, 3, 4])),
            try specimen(URL(string: "https://example.org")!),
            try specimen(Decimal(12.5)),
            try specimen(Int128.max),
            try specimen(Dictionary(uniqueKeysWithValues: (0..<40).map { ("key\($0)", $0) })),
        ]
    }

    /// Changes a message in one to four ways.
    private static func mutate(_ original: [UInt8], splicing other: [UInt8], _ random: inout Generator) -> [UInt8] {
        var bytes = original
        for _ in 0..<Int.random(in: 1...4, using: &random) where !bytes.isEmpty {
            let position = Int.random(in: 0..<bytes.count, using: &random)
            switch Int.random(in: 0..<8, using: &random) {
            case 0:
                bytes[position] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 1:
                bytes[position] = [0, 1, 2, 3, 0x7F, 0x80, 0xFE, 0xFF].randomElement(using: &random)!
            case 2:
                // A tag for another one.
                bytes[position] = UInt8.random(in: 0...0x24, using: &random)
            case 3:
                bytes.removeSubrange(position...)
            case 4:
                let start = Int.random(in: 0..<other.count, using: &random)
                let end = Int.random(in: start...min(other.count, start + 40), using: &random)
                bytes.insert(contentsOf: other[start..<end], at: position)
            case 5:
                let end = min(bytes.count, position + Int.random(in: 1...9, using: &random))
                bytes.removeSubrange(position..<end)
            case 6:
                // A length for another one.
                let length = [0, 1, UInt64.max, 1 << 55, 1 << 31, 255].randomElement(using: &random)!
                withUnsafeBytes(of: length) { length in
                    for index in 0..<min(7, bytes.count - position) { bytes[position + index] = length[index] }
                }
            default:
                // The same bytes again and again.
                let end = min(bytes.count, position + Int.random(in: 1...20, using: &random))
                bytes.insert(contentsOf: bytes[position..<end], at: position)
            }
        }
        return bytes
    }

    private static func run(seed: UInt64, _ specimens: [Specimen]) throws -> Bool {
        var random = Generator(state: seed)
        let target = specimens.randomElement(using: &random)!
        let other = specimens.randomElement(using: &random)!
        // Now and then the valid bytes of one type for another.
        let source = Int.random(in: 0..<16, using: &random) == 0 ? other.bytes : target.bytes
        let bytes = mutate(source, splicing: other.bytes, &random)
        do {
            try target.decode(bytes)
            return true
        } catch is WireError {
            return false
        } catch is DecodingError {
            return false
        }
        // Any other error fails the test, and so does a trap.
    }

    /// Seeds that once failed; add to them, never take one away.
    private static let regressions: [UInt64] = [0]

    @Test func regressionsStayFixed() throws {
        let specimens = try Self.specimens()
        for seed in Self.regressions { _ = try Self.run(seed: seed, specimens) }
    }

    @Test func mutatedMessages() throws {
        #if DEBUG
            let rounds: UInt64 = 100_000
        #else
            let rounds: UInt64 = 3_000_000
        #endif
        let specimens = try Self.specimens()
        let start = ContinuousClock.now
        var (decoded, refused) = (0, 0)
        for seed in 1...rounds {
            do {
                if try Self.run(seed: seed, specimens) { decoded += 1 } else { refused += 1 }
            } catch {
                Issue.record("seed \(seed) ended in \(error)")
                return
            }
            if seed % 1024 == 0, ContinuousClock.now - start > .seconds(45) { break }
        }
        print("fuzz: \(decoded) decoded, \(refused) refused in \(ContinuousClock.now - start)")
        // Both outcomes have to occur, or the mutations are too weak or too strong to test anything.
        #expect(decoded > 1000)
        #expect(refused > 1000)
    }
}
