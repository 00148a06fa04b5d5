import Foundation
import MultiprocessingWire
import Testing

@Suite struct CodingRoundTripTests {
    @Test func integersOfEveryWidth() throws {
        func check<Value: FixedWidthInteger & Codable>(_ type: Value.Type) throws {
            for value in [Value.min, .max, 0, 1] {
                try expectRoundTrip(value)
                try expectRoundTrip([value, value])
                try expectRoundTrip(Optional(value))
                try expectRoundTrip(["key": value])
            }
        }
        try check(Int.self)
        try check(Int8.self)
        try check(Int16.self)
        try check(Int32.self)
        try check(Int64.self)
        try check(Int128.self)
        try check(UInt.self)
        try check(UInt8.self)
        try check(UInt16.self)
        try check(UInt32.self)
        try check(UInt64.self)
        try check(UInt128.self)
    }

    @Test func floatsBitForBit() throws {
        let doubles: [Double] = [
            0, -0.0, 1.5, .infinity, -.infinity, .nan, .signalingNaN, .leastNonzeroMagnitude,
            Double(bitPattern: 0x7FF8_0000_DEAD_BEEF), Double(bitPattern: 0xFFF0_0000_0000_0001),
        ]
        for value in doubles {
            #expect(try roundTrip(value).bitPattern == value.bitPattern)
            #expect(try roundTrip(["x": value])["x"]?.bitPattern == value.bitPattern)
        }
        #expect(try roundTrip(doubles).map(\.bitPattern) == doubles.map(\.bitPattern))
        let floats: [Float] = [0, -0.0, .nan, .signalingNaN, Float(bitPattern: 0x7FC0_BEEF), .greatestFiniteMagnitude]
        for value in floats { #expect(try roundTrip(value).bitPattern == value.bitPattern) }
        #expect(try roundTrip(floats).map(\.bitPattern) == floats.map(\.bitPattern))
        #expect(try roundTrip(Set(floats.prefix(1))) == Set(floats.prefix(1)))
    }

    @Test func texts() throws {
        let long = String(repeating: "é", count: 70_000)
        for text in ["", "a", "fifteen bytes..", "ä€𐍈 and more than fifteen", long, "\0"] {
            try expectRoundTrip(text)
            try expectRoundTrip([text, text])
            try expectRoundTrip([text: text])
        }
        for length in 250...260 { try expectRoundTrip(["x": String(repeating: "s", count: length)]) }
        for length in 250...260 { try expectRoundTrip([String(repeating: "k", count: length): 1]) }
    }

    @Test func structs() throws {
        try expectRoundTrip(Mixed())
        try expectRoundTrip(Mixed(note: "there", kind: .plain))
        try expectRoundTrip([Mixed](repeating: Mixed(), count: 100))
        try expectRoundTrip(Tree(value: 1, children: [Tree(value: 2, children: []), Tree(value: 3, children: [])]))
    }

    @Test func enums() throws {
        try expectRoundTrip(Kind.plain)
        try expectRoundTrip([Number.one, .two, .one])
        let shape = Shape.group(.circle(radius: 2), .group(.polygon([Point(x: 1, y: 2)], "p"), .empty))
        try expectRoundTrip(shape)
        try expectRoundTrip([shape, .empty, shape])
    }

    @Test func optionals() throws {
        try expectRoundTrip(Int?.none)
        try expectRoundTrip(Int?.some(1))
        try expectRoundTrip([1, nil, 3] as [Int?])
        try expectRoundTrip([nil, nil] as [String?])
        try expectRoundTrip(["a": nil, "b": 1] as [String: Int?])
        try expectRoundTrip(Optional([1, 2, 3]))
        for value in [Int??.none, .some(.none), .some(.some(5))] {
            try expectRoundTrip(value)
            try expectRoundTrip(Optional(value))
            try expectRoundTrip([value])
            try expectRoundTrip(
                DoubleOptional(a: value, b: nil, c: .some(nil), d: [value, nil, .some(nil), 4], e: .some(.some(nil)))
            )
        }
    }

    @Test func dictionaries() throws {
        try expectRoundTrip(["a": 1, "b": 2])
        try expectRoundTrip([1: "a", -7: "b"])
        try expectRoundTrip([Kind.plain: 1, .other: 2])
        try expectRoundTrip([Point(x: 1, y: 2): "p", Point(x: 3, y: 4): "q"])
        try expectRoundTrip([2.5: [1: ["x": [Int?.none]]]])
        try expectRoundTrip(Dictionary(uniqueKeysWithValues: (0..<5000).map { ("key \($0)", $0) }))
        try expectRoundTrip([String: Int]())
    }

    @Test func collections() throws {
        try expectRoundTrip([Int]())
        try expectRoundTrip([[1, 2], [], [3]])
        try expectRoundTrip([[[UInt8]]](repeating: [[1, 2], []], count: 3))
        try expectRoundTrip([true, false, true])
        try expectRoundTrip(ContiguousArray([1.5, 2.5]))
        try expectRoundTrip(Set([1, 2, 3]))
        try expectRoundTrip(Set(["a", "b"]))
        try expectRoundTrip(1..<5)
        try expectRoundTrip([Nothing(), Nothing()])
        try expectRoundTrip([WritesNothing(), WritesNothing()])
        // Large enough to be spliced, at several depths.
        let large = (0..<20_000).map { $0 }
        try expectRoundTrip(large)
        try expectRoundTrip([large, [], large])
        try expectRoundTrip(["a": ["b": [large, large]]])
        try expectRoundTrip(Optional(large))
    }

    @Test func classHierarchies() throws {
        let dog = try roundTrip(Dog(legs: 4, name: "Rex"))
        #expect(dog.legs == 4)
        #expect(dog.name == "Rex")
        let cat = try roundTrip(Cat(legs: 3, lives: 9))
        #expect(cat.legs == 3)
        #expect(cat.lives == 9)
    }

    @Test func foundationTypes() throws {
        try expectRoundTrip(Date(timeIntervalSinceReferenceDate: 123.456))
        try expectRoundTrip(UUID())
        try expectRoundTrip(URL(string: "https://example.org/a?b=c")!)
        try expectRoundTrip(Decimal(string: "-123456789.000000001")!)
        try expectRoundTrip(Data())
        let data = Data((0..<100_000).map { UInt8(truncatingIfNeeded: $0) })
        try expectRoundTrip(data)
        #expect(try BinaryEncoder().encode(data).count < data.count + 50)
        try expectRoundTrip([data, data])
        try expectRoundTrip(DateComponents(year: 2026, month: 2))
        try expectRoundTrip(IndexSet([1, 2, 5]))
        try expectRoundTrip(Locale(identifier: "de_DE"))
    }

    @Test func existentials() throws {
        let value: any Encodable = Mixed()
        let bytes = try BinaryEncoder().encode(value)
        let type: any Decodable.Type = Mixed.self
        let back: any Decodable = try BinaryDecoder().decode(type, from: bytes)
        #expect(back as? Mixed == Mixed())
    }

    @Test func bufferIsAppendedTo() throws {
        var buffer = WireBuffer()
        try BinaryEncoder().encode(1, into: &buffer)
        let first = buffer.count
        try BinaryEncoder().encode("two", into: &buffer)
        let bytes = buffer.withUnsafeBytes { Array($0) }
        #expect(try BinaryDecoder().decode(Int.self, from: Array(bytes[..<first])) == 1)
        #expect(try BinaryDecoder().decode(String.self, from: Array(bytes[first...])) == "two")
    }
}
