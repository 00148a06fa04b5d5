import MultiprocessingWire
import Testing

/// A message in pieces: in order, complete, and without a copy of what is large.
@Suite struct EncodedMessageTests {
    private struct Parts: Codable, Equatable {
        var name = "parts"
        var numbers = (0..<10_000).map { $0 }
        var text = String(repeating: "grüße ", count: 10_000)
        var flags = [Bool](repeating: true, count: 20_000)
        var last = 1
    }

    private func expectPieces<Value: Codable & Equatable>(_ value: Value, atLeast pieces: Int) throws {
        let encoder = BinaryEncoder()
        let whole = try encoder.encode(value)
        try encoder.encode(value) { message in
            #expect(message.count == whole.count)
            var joined: [UInt8] = []
            var number = 0
            message.forEachPiece { piece in
                #expect(!piece.isEmpty)
                joined += piece
                number += 1
            }
            #expect(joined == whole)
            #expect(number >= pieces)
            // All at once, with room to spare.
            var copy = [UInt8](repeating: 0xEE, count: whole.count + 1)
            copy.withUnsafeMutableBytes { message.copy(to: $0) }
            #expect(copy == whole + [0xEE])
        }
        #expect(try BinaryDecoder().decode(Value.self, from: whole) == value)
    }

    @Test func pieces() throws {
        try expectPieces(1, atLeast: 1)
        try expectPieces("text", atLeast: 1)
        try expectPieces([1, 2, 3], atLeast: 1)
        try expectPieces(Point(x: 1, y: 2), atLeast: 1)
        try expectPieces(Parts(), atLeast: 7)
        try expectPieces([Parts(), Parts()], atLeast: 13)
        try expectPieces(["k": String(repeating: "v", count: 100_000)], atLeast: 2)
        try expectPieces([String(repeating: "v", count: 100_000), "w"], atLeast: 3)
    }

    /// A large array's own memory is handed out.
    @Test func largeArraysAreNotCopied() throws {
        let numbers = (0..<100_000).map { $0 }
        try numbers.withUnsafeBytes { memory in
            try BinaryEncoder().encode(numbers) { message in
                var isShared = false
                message.forEachPiece { if $0.baseAddress == memory.baseAddress { isShared = true } }
                #expect(isShared)
            }
        }
    }

    /// Pieces stay valid until the body returns, so that they can be collected first.
    @Test func piecesCanBeCollected() throws {
        let parts = Parts()
        let joined = try BinaryEncoder().encode(parts) { message in
            var pieces: [UnsafeRawBufferPointer] = []
            message.forEachPiece { pieces.append($0) }
            return pieces.flatMap { Array($0) }
        }
        #expect(try BinaryDecoder().decode(Parts.self, from: joined) == parts)
    }

    @Test func errorsOfTheBodyComeThrough() {
        struct Refused: Error {}
        #expect(throws: Refused.self) { try BinaryEncoder().encode(1) { _ in throw Refused() } }
        #expect(throws: Refused.self) {
            try BinaryEncoder().encode(Parts()) { message in try message.forEachPiece { _ in throw Refused() } }
        }
    }

    @Test func largeTextsCountAgainstTheLimit() {
        let encoder = BinaryEncoder(limits: CodingLimits(maximumBytes: 50_000))
        #expect(wireCode { _ = try encoder.encode(["a": String(repeating: "v", count: 50_000)]) } == .sizeExceeded)
    }
}
