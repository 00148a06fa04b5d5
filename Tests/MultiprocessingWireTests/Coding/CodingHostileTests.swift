import Foundation
import MultiprocessingWire
import Testing

/// Bytes that no encoder wrote, and values beyond the limits: each ends in an error of the right kind.
@Suite struct CodingHostileTests {
    private static let version: UInt8 = 0x51

    private func header(_ tag: UInt8, _ length: UInt64) -> [UInt8] {
        withUnsafeBytes(of: (UInt64(tag) | length << 8).littleEndian) { Array($0) }
    }

    private func decode<Value: Decodable>(_ type: Value.Type, _ bytes: [UInt8]) -> WireError.Code? {
        wireCode { _ = try BinaryDecoder().decode(type, from: [Self.version] + bytes) }
    }

    @Test func brokenMessages() {
        let huge: UInt64 = 1 << 55
        #expect(wireCode { _ = try BinaryDecoder().decode(Int.self, from: []) } == .truncated)
        #expect(wireCode { _ = try BinaryDecoder().decode(Int.self, from: [0x52, 0x02]) } == .unsupportedVersion)
        #expect(decode(Int.self, []) == .truncated)
        #expect(decode(Int.self, [0x13, 1, 2]) == .truncated)
        #expect(decode(Int.self, [0x00]) == .malformed)
        #expect(decode(Int.self, [0xFF]) == .malformed)
        #expect(decode(Int?.self, [0x02, 0x02]) == .trailingBytes)
        #expect(decode(Int.self, [0x02]) == .typeMismatch)
        #expect(decode(Int8.self, [0x11, 0xFF, 0x01]) == .typeMismatch)
        #expect(decode(String.self, [0x06, 5, 0x61]) == .truncated)
        #expect(decode(String.self, [0x06]) == .truncated)
        #expect(decode(String.self, [0x06, 2, 0xC3, 0x28]) == .invalidText)
        #expect(decode(String.self, [0x06, 3, 0xED, 0xA0, 0x80]) == .invalidText)
        #expect(decode(String.self, header(0x07, huge)) == .truncated)
        #expect(decode(String.self, [0x07, 1]) == .truncated)
        #expect(decode([Int].self, header(0x0B, huge)) == .truncated)
        #expect(decode([Int].self, header(0x0B, 2) + [0, 0]) == .truncated)
        // Packed: unknown element, element cut, not a Bool.
        #expect(decode([Int].self, header(0x0B, 4) + [0x99, 0, 0, 0]) == .malformed)
        #expect(decode([Int].self, header(0x0B, 4) + [0x13, 1, 0, 0]) == .malformed)
        #expect(decode([Int].self, header(0x0B, 4) + [0x02, 0, 0, 0]) == .malformed)
        #expect(decode([Int].self, header(0x0B, 5) + [0x13, 0, 0, 0, 1]) == .malformed)
        #expect(decode([Bool].self, header(0x0B, 5) + [0x0C, 0, 0, 0, 2]) == .malformed)
        #expect(decode(Set<Bool>.self, header(0x0B, 5) + [0x0C, 0, 0, 0, 2]) == .malformed)
        // Unkeyed: the count exceeds what is there.
        #expect(decode([Nothing].self, header(0x0A, 5) + [0xFE, 0xFF, 0xFF, 0xFF, 0x01]) == .malformed)
        #expect(decode(Data.self, header(0x0A, 5) + [0xFE, 0xFF, 0xFF, 0xFF, 0x01]) == .malformed)
        // Keyed: key cut, value missing, value longer than its container.
        #expect(decode(Point.self, header(0x08, 1) + [9]) == .truncated)
        #expect(decode(Point.self, header(0x08, 2) + [1, 0x78]) == .truncated)
        #expect(decode(Point.self, header(0x08, 3) + [1, 0x78, 0x13]) == .truncated)
        #expect(decode(Point.self, header(0x08, 5) + [0xFF, 0xFF, 0xFF, 0xFF, 0xFF]) == .truncated)
        #expect(decode([String: Int].self, header(0x08, 2) + [1, 0x78]) == .truncated)
        #expect(decode([String: Int].self, header(0x08, 3) + [1, 0xFF, 0x02]) == .invalidText)
        let inner = [1, 0x78] + header(0x07, 100)
        #expect(decode(Point.self, header(0x08, UInt64(inner.count)) + inner) == .truncated)
    }

    @Test func zeroSizeElementsAreBounded() throws {
        let count = 1 << 20
        let bytes =
            [Self.version] + header(0x0A, UInt64(count + 4)) + [0xFF, 0xFF, 0xFF, 0xFF]
            + [UInt8](repeating: 0x01, count: count)
        #expect(try BinaryDecoder().decode([Nothing].self, from: bytes).count == count)
        // One byte each, but kilobytes in memory.
        struct Wide: Decodable {
            var a: InlineArray<512, UInt64>?
            init(from decoder: any Decoder) throws { a = nil }
        }
        #expect(wireCode { _ = try BinaryDecoder().decode([Wide].self, from: bytes) } == .sizeExceeded)
        let nils =
            [Self.version] + header(0x0A, UInt64(count + 4)) + [0xFF, 0xFF, 0xFF, 0xFF]
            + [UInt8](repeating: 0x02, count: count)
        #expect(wireCode { _ = try BinaryDecoder().decode([Wide?].self, from: nils) } == .sizeExceeded)
    }

    @Test func depthIsLimited() throws {
        var limits = CodingLimits()
        limits.maximumDepth = 20
        func tree(_ depth: Int) -> Tree {
            (0..<depth).reduce(Tree(value: 0, children: [])) { Tree(value: $1, children: [$0]) }
        }
        #expect(try roundTrip(tree(5), limits: limits) == tree(5))
        #expect(wireCode { _ = try BinaryEncoder(limits: limits).encode(tree(20)) } == .depthExceeded)
        let bytes = try BinaryEncoder().encode(tree(20))
        #expect(wireCode { _ = try BinaryDecoder(limits: limits).decode(Tree.self, from: bytes) } == .depthExceeded)
    }

    /// Recursion ends with an error on a small stack, even if the depth alone would allow it.
    @Test(arguments: [256 << 10, 512 << 10]) func stackIsWatched(size: Int) async throws {
        struct Endless: Codable {
            init() {}
            init(from decoder: any Decoder) throws { self = try decoder.singleValueContainer().decode(Endless.self) }
            func encode(to encoder: any Encoder) throws {
                var container = encoder.unkeyedContainer()
                try container.encode(Endless())
            }
        }
        final class Loop: Encodable { var me: [Loop] = [] }
        await onThread(stackSize: size) {
            for depth in [CodingLimits.default.maximumDepth, Int.max] {
                let limits = CodingLimits(maximumDepth: depth)
                #expect(wireCode { _ = try BinaryEncoder(limits: limits).encode(Endless()) } == .depthExceeded)
                let loop = Loop()
                loop.me = [loop]
                #expect(wireCode { _ = try BinaryEncoder(limits: limits).encode(loop) } == .depthExceeded)
                loop.me = []
                let empty: [UInt8] = [Self.version, 0x01]
                let code = wireCode { _ = try BinaryDecoder(limits: limits).decode(Endless.self, from: empty) }
                #expect(code == .depthExceeded)
                // 20,000 arrays in one another.
                var bytes: [UInt8] = []
                for _ in 0..<20_000 { bytes += header(0x0A, UInt64(0)) + [1, 0, 0, 0] }
                for level in 0..<20_000 {
                    let length = UInt64((20_000 - level) * 12 - 8)
                    bytes.replaceSubrange(level * 12..<level * 12 + 8, with: header(0x0A, length))
                }
                bytes.replaceSubrange(bytes.count - 4..<bytes.count, with: [0, 0, 0, 0])
                struct Nest: Decodable {
                    let inner: [Nest]
                    init(from decoder: any Decoder) throws {
                        inner = try decoder.singleValueContainer().decode([Nest].self)
                    }
                }
                let nested = [Self.version] + bytes
                let nestCode = wireCode { _ = try BinaryDecoder(limits: limits).decode(Nest.self, from: nested) }
                #expect(nestCode == .depthExceeded)
            }
        }
    }

    private func onThread(stackSize: Int, _ body: @escaping @Sendable () -> Void) async {
        await withCheckedContinuation { continuation in
            let thread = Thread {
                body()
                continuation.resume()
            }
            thread.stackSize = stackSize
            thread.start()
        }
    }

    @Test func sizeIsLimited() throws {
        let limits = CodingLimits(maximumBytes: 1000)
        let text = String(repeating: "x", count: 1000)
        let values: [any Encodable] = [
            [Int](repeating: 1, count: 200), [Int](repeating: 1, count: 9000), text,
            [Mixed](repeating: Mixed(), count: 9),
        ]
        for value in values {
            #expect(wireCode { _ = try BinaryEncoder(limits: limits).encode(value) } == .sizeExceeded)
        }
        let bytes = try BinaryEncoder().encode(text)
        #expect(wireCode { _ = try BinaryDecoder(limits: limits).decode(String.self, from: bytes) } == .sizeExceeded)
        let small = CodingLimits(allocationBase: 100, allocationFactor: 0)
        #expect(wireCode { _ = try BinaryDecoder(limits: small).decode(String.self, from: bytes) } == .sizeExceeded)
    }

    @Test func errorsSayWhere() throws {
        let bytes = try BinaryEncoder().encode(["list": [["x": "y"]]])
        do {
            _ = try BinaryDecoder().decode([String: [[String: Int]]].self, from: bytes)
            Issue.record("a text was taken for a number")
        } catch DecodingError.typeMismatch(let type, let context) {
            #expect(ObjectIdentifier(type) == ObjectIdentifier(Int.self))
            let error = try #require(context.underlyingError as? WireError)
            #expect(error.codingPath == "list.0.x")
            let text = "WireError.typeMismatch at 'list.0.x': expected Int, found a String (byte "
            #expect(error.description.hasPrefix(text))
        }
    }

    /// A type that tries one thing after another must not make decoding slow or wrong.
    @Test func manyFailedAttempts() throws {
        enum Either: Codable, Equatable {
            case number(Int), text(String)
            init(from decoder: any Decoder) throws {
                let container = try decoder.singleValueContainer()
                if let number = try? container.decode(Int.self) {
                    self = .number(number)
                } else {
                    self = .text(try container.decode(String.self))
                }
            }
            func encode(to encoder: any Encoder) throws {
                var container = encoder.singleValueContainer()
                switch self {
                case .number(let number): try container.encode(number)
                case .text(let text): try container.encode(text)
                }
            }
        }
        try expectRoundTrip((0..<5_000).map { $0 % 2 == 0 ? Either.number($0) : .text("\($0)") })
    }
}
