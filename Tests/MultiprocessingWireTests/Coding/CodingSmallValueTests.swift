import MultiprocessingWire
import Testing

/// The short way for single values: the same bytes as the general way, in memory of the caller's.
@Suite struct CodingSmallValueTests {
    private func expectSame<Value: Codable & Equatable>(
        _ value: Value,
        sourceLocation: Testing.SourceLocation = #_sourceLocation
    ) throws {
        let general = try BinaryEncoder().encode(Boxed(value: value))
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 1024, alignment: 1)
        defer { room.deallocate() }
        let count = try #require(BinaryEncoder.encodeSmall(value, into: room), sourceLocation: sourceLocation)
        let message = UnsafeRawBufferPointer(rebasing: room[..<count])
        #expect(Array(message) == general, sourceLocation: sourceLocation)
        #expect(BinaryDecoder.decodeSmall(Value.self, from: message) == value, sourceLocation: sourceLocation)
        #expect(try BinaryDecoder().decode(Value.self, from: message) == value, sourceLocation: sourceLocation)
        // Exactly enough room, and one byte less.
        let exact = UnsafeMutableRawBufferPointer(rebasing: room[1..<(1 + count)])
        #expect(BinaryEncoder.encodeSmall(value, into: exact) == count, sourceLocation: sourceLocation)
        for size in 0..<count {
            let less = UnsafeMutableRawBufferPointer(rebasing: room[..<size])
            #expect(BinaryEncoder.encodeSmall(value, into: less) == nil, sourceLocation: sourceLocation)
            let cut = UnsafeRawBufferPointer(rebasing: exact[..<size])
            #expect(BinaryDecoder.decodeSmall(Value.self, from: cut) == nil, sourceLocation: sourceLocation)
        }
    }

    /// Writes its value by a container, so that the general way is taken for sure.
    private struct Boxed<Value: Codable>: Encodable {
        var value: Value

        func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            try container.encode(value)
        }
    }

    @Test func numbers() throws {
        for value in [0, -1, 42, Int.min, Int.max] { try expectSame(value) }
        try expectSame(Int8.min)
        try expectSame(Int16.min)
        try expectSame(Int32.min)
        try expectSame(Int64.min)
        try expectSame(Int128.min)
        try expectSame(UInt.max)
        try expectSame(UInt8.max)
        try expectSame(UInt16.max)
        try expectSame(UInt32.max)
        try expectSame(UInt64.max)
        try expectSame(UInt128.max)
        try expectSame(Float.pi)
        try expectSame(Double.pi)
        try expectSame(-Double.infinity)
        try expectSame(true)
        try expectSame(false)
    }

    @Test func textsAndBytes() throws {
        for text in ["", "a", "fifteen bytes !", "sixteen bytes !!", "grüße 🎉", String(repeating: "x", count: 255)] {
            try expectSame(text)
        }
        for bytes in [[], [1], [UInt8](0...255)] { try expectSame(bytes) }
    }

    /// Longer texts are written, and read by the general way.
    @Test func longText() throws {
        let text = String(repeating: "y", count: 600)
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 1024, alignment: 1)
        defer { room.deallocate() }
        let count = try #require(BinaryEncoder.encodeSmall(text, into: room))
        let message = UnsafeRawBufferPointer(rebasing: room[..<count])
        #expect(Array(message) == (try BinaryEncoder().encode(Boxed(value: text))))
        #expect(BinaryDecoder.decodeSmall(String.self, from: message) == nil)
        #expect(try BinaryDecoder().decode(String.self, from: message) == text)
    }

    @Test func otherTypesAndBytesAreLeftToTheGeneralWay() throws {
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 64, alignment: 1)
        defer { room.deallocate() }
        #expect(BinaryEncoder.encodeSmall(Point(x: 1, y: 2), into: room) == nil)
        #expect(BinaryEncoder.encodeSmall(Int?.some(1), into: room) == nil)
        #expect(BinaryEncoder.encodeSmall([1, 2], into: room) == nil)
        func decode<Value: Decodable>(_ type: Value.Type, _ bytes: [UInt8]) -> Value? {
            bytes.withUnsafeBytes { BinaryDecoder.decodeSmall(type, from: $0) }
        }
        #expect(decode(Int.self, []) == nil)
        #expect(decode(UInt8.self, [0x52, 0x18, 1]) == nil)
        #expect(decode(UInt8.self, [0x51, 0x10, 1]) == nil)
        #expect(decode(UInt8.self, [0x51, 0x18, 1, 2]) == nil)
        #expect(decode(Bool.self, [0x51, 0x06]) == nil)
        #expect(decode(String.self, [0x51, 0x06, 2, 0xC3, 0x28]) == nil)
        #expect(decode([UInt8].self, [0x51, 0x0B, 5, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 1]) == nil)
        #expect(decode(Point.self, [0x51, 0x02]) == nil)
    }

    @Test func limitsHoldForTheGeneralWay() {
        #expect(wireCode { _ = try BinaryEncoder(limits: CodingLimits(maximumBytes: 5)).encode(1) } == .sizeExceeded)
    }
}
