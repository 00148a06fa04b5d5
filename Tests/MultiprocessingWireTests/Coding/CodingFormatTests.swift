import MultiprocessingWire
import Testing

/// The bytes themselves, as Documentation/WireFormat.md gives them: a change here is a new version of the format.
@Suite struct CodingFormatTests {
    private func hex(_ value: some Encodable) throws -> String {
        try BinaryEncoder().encode(value).map { byte in
            (byte < 16 ? "0" : "") + String(byte, radix: 16)
        }.joined(separator: " ")
    }

    @Test func singleValues() throws {
        #expect(try hex(Int?.none) == "51 02")
        #expect(try hex(Int??.some(.none)) == "51 03 02")
        #expect(try hex(false) == "51 04")
        #expect(try hex(true) == "51 05")
        #expect(try hex("hé") == "51 06 03 68 c3 a9")
        #expect(try hex(-2) == "51 13 fe ff ff ff ff ff ff ff")
        #expect(try hex(UInt8(200)) == "51 18 c8")
        #expect(try hex(Int16(1)) == "51 11 01 00")
        #expect(try hex(Float(1)) == "51 22 00 00 80 3f")
        #expect(try hex(1.0) == "51 23 00 00 00 00 00 00 f0 3f")
        #expect(try hex(WritesNothing()) == "51 01")
    }

    @Test func containers() throws {
        #expect(try hex(Point(x: 1, y: 2)) == "51 08 0e 00 00 00 00 00 00 01 78 12 01 00 00 00 01 79 12 02 00 00 00")
        #expect(try hex(["a", "b"]) == "51 0a 0a 00 00 00 00 00 00 02 00 00 00 06 01 61 06 01 62")
        #expect(try hex([UInt16(1), 2]) == "51 0b 08 00 00 00 00 00 00 19 00 00 00 01 00 02 00")
        #expect(try hex([true, false]) == "51 0b 06 00 00 00 00 00 00 0c 00 00 00 01 00")
        #expect(try hex(Set([Int8(5)])) == "51 0b 05 00 00 00 00 00 00 10 00 00 00 05")
        #expect(try hex([Int?.none]) == "51 0a 05 00 00 00 00 00 00 01 00 00 00 02")
    }

    @Test func longNamesAndTexts() throws {
        let text = String(repeating: "x", count: 256)
        let bytes = try BinaryEncoder().encode([text: text])
        // Version, header, 0xFF, four bytes of length, the key, header, the text.
        #expect(bytes.count == 1 + 8 + 1 + 4 + 256 + 8 + 256)
        #expect(Array(bytes[9..<14]) == [0xFF, 0, 1, 0, 0])
        #expect(Array(bytes[270..<278]) == [0x07, 0, 1, 0, 0, 0, 0, 0])
    }

    /// Messages that were written by this version when it was made.
    @Test func oldMessagesAreRead() throws {
        let point: [UInt8] = [
            0x51, 0x08, 0x0E, 0, 0, 0, 0, 0, 0, 0x01, 0x78, 0x12, 1, 0, 0, 0, 0x01, 0x79, 0x12, 2, 0, 0, 0,
        ]
        #expect(try BinaryDecoder().decode(Point.self, from: point) == Point(x: 1, y: 2))
        // The same with a repeated key: the last one counts.
        let repeated: [UInt8] = [
            0x51, 0x09, 0x15, 0, 0, 0, 0, 0, 0, 0x01, 0x78, 0x12, 1, 0, 0, 0, 0x01, 0x79, 0x12, 2, 0, 0, 0,
            0x01, 0x78, 0x12, 3, 0, 0, 0,
        ]
        #expect(try BinaryDecoder().decode(Point.self, from: repeated) == Point(x: 3, y: 2))
    }
}
