import MultiprocessingWire
import Testing

/// What only types with an `encode(to:)` and `init(from:)` of their own do with their coders.
@Suite struct CodingContainerTests {
    /// Encodes with one closure and decodes with the other.
    private func run(
        _ encoding: @escaping @Sendable (any Encoder) throws -> Void,
        _ decoding: @escaping @Sendable (any Decoder) throws -> Void
    ) throws {
        var encoder = BinaryEncoder()
        var decoder = BinaryDecoder()
        encoder.userInfo[Custom.Coding.key] = Custom.Coding(encode: encoding)
        decoder.userInfo[Custom.Coding.key] = Custom.Coding(decode: decoding)
        // At the top, and inside other containers.
        _ = try decoder.decode(Custom.self, from: encoder.encode(Custom()))
        _ = try decoder.decode([Custom].self, from: encoder.encode([Custom(), Custom()]))
        _ = try decoder.decode([String: Custom?].self, from: encoder.encode(["key": Optional(Custom())]))
    }

    @Test func fieldsOutOfOrder() throws {
        let names = (0..<60).map { "field\($0)" }
        try run { encoder in
            var container = encoder.container(keyedBy: AnyKey.self)
            for (index, name) in names.enumerated() where index != 7 {
                try container.encode(index, forKey: AnyKey(stringValue: name))
            }
            try container.encodeNil(forKey: "nothing")
        } _: { decoder in
            let container = try decoder.container(keyedBy: AnyKey.self)
            for (index, name) in names.enumerated().reversed() where index != 7 {
                #expect(try container.decode(Int.self, forKey: AnyKey(stringValue: name)) == index)
                #expect(try container.decodeIfPresent(Int8.self, forKey: AnyKey(stringValue: name)) == Int8(index))
            }
            #expect(!container.contains("field7"))
            #expect(container.contains("field59"))
            #expect(try container.decodeIfPresent(String.self, forKey: "field7") == nil)
            #expect(try container.decodeNil(forKey: "nothing"))
            #expect(try container.decodeIfPresent(Point.self, forKey: "nothing") == nil)
            #expect(container.allKeys.count == 60)
            #expect(throws: DecodingError.self) { try container.decode(Int.self, forKey: "field7") }
        }
    }

    @Test func containersAreInterleaved() throws {
        try run { encoder in
            var outer = encoder.container(keyedBy: AnyKey.self)
            var first = outer.nestedContainer(keyedBy: AnyKey.self, forKey: "first")
            var second = outer.nestedUnkeyedContainer(forKey: "second")
            let late = outer.superEncoder(forKey: "late")
            let unused = outer.superEncoder(forKey: "unused")
            try first.encode(1, forKey: "a")
            try second.encode("x")
            try outer.encode(true, forKey: "flag")
            try second.encode(2.5)
            var deep = second.nestedContainer(keyedBy: AnyKey.self)
            try first.encode([1, 2], forKey: "b")
            try deep.encode("deep", forKey: "d")
            try second.encode([Int](repeating: 3, count: 5000))
            try deep.encode("deeper", forKey: "e")
            var again = encoder.container(keyedBy: AnyKey.self)
            try again.encode("again", forKey: "again")
            try Point(x: 1, y: 2).encode(to: late)
            try outer.encode("end", forKey: "end")
            #expect(deep.codingPath.suffix(2).map(\.stringValue) == ["second", "Index 2"])
            #expect(second.count == 4)
            #expect(unused.codingPath.last?.stringValue == "unused")
        } _: { decoder in
            let outer = try decoder.container(keyedBy: AnyKey.self)
            let first = try outer.nestedContainer(keyedBy: AnyKey.self, forKey: "first")
            var second = try outer.nestedUnkeyedContainer(forKey: "second")
            #expect(try first.decode(Int.self, forKey: "a") == 1)
            #expect(second.count == 4)
            #expect(try second.decode(String.self) == "x")
            #expect(try outer.decode(Bool.self, forKey: "flag"))
            #expect(try first.decode([Int].self, forKey: "b") == [1, 2])
            #expect(try second.decode(Double.self) == 2.5)
            let deep = try second.nestedContainer(keyedBy: AnyKey.self)
            #expect(try deep.decode(String.self, forKey: "e") == "deeper")
            #expect(try deep.decode(String.self, forKey: "d") == "deep")
            #expect(try second.decode([Int].self).count == 5000)
            #expect(second.isAtEnd)
            #expect(try Point(from: outer.superDecoder(forKey: "late")) == Point(x: 1, y: 2))
            #expect(try outer.decode(String.self, forKey: "again") == "again")
            #expect(try outer.decode(String.self, forKey: "end") == "end")
            #expect(try outer.decode(Nothing.self, forKey: "unused") == Nothing())
        }
    }

    @Test func theLastOfRepeatedKeysCounts() throws {
        try run { encoder in
            var container = encoder.container(keyedBy: AnyKey.self)
            try container.encode("old", forKey: "key")
            try container.encode(1, forKey: "other")
            try container.encode("new", forKey: "key")
        } _: { decoder in
            let container = try decoder.container(keyedBy: AnyKey.self)
            #expect(try container.decode(String.self, forKey: "key") == "new")
            #expect(try container.decode(Int.self, forKey: "other") == 1)
            #expect(container.allKeys.map(\.stringValue) == ["key", "other"])
        }
    }

    @Test func aFailedFieldIsTakenBack() throws {
        struct Failing: Encodable {
            func encode(to encoder: any Encoder) throws {
                var container = encoder.container(keyedBy: AnyKey.self)
                try container.encode([Int](repeating: 1, count: 9000), forKey: "junk")
                throw CancellationError()
            }
        }
        try run { encoder in
            var container = encoder.container(keyedBy: AnyKey.self)
            #expect(throws: CancellationError.self) { try container.encode(Failing(), forKey: "a") }
            try container.encode(2, forKey: "b")
            var list = container.nestedUnkeyedContainer(forKey: "list")
            try list.encode(1)
            #expect(throws: CancellationError.self) { try list.encode(Failing()) }
            try list.encode(2)
        } _: { decoder in
            let container = try decoder.container(keyedBy: AnyKey.self)
            #expect(container.allKeys.map(\.stringValue) == ["b", "list"])
            #expect(try container.decode(Int.self, forKey: "b") == 2)
            #expect(try container.decode([Int].self, forKey: "list") == [1, 2])
        }
    }

    @Test func elementsOfChangingTypes() throws {
        try run { encoder in
            var list = encoder.unkeyedContainer()
            try list.encode(contentsOf: [1, 2, 3])
            try list.encode(4)
            try list.encode("five")
            try list.encode(UInt8(6))
            try list.encodeNil()
            try list.encode(contentsOf: [UInt8(7)])
            try list.encode(Optional(8))
            try list.encode(Number.two)
        } _: { decoder in
            var list = try decoder.unkeyedContainer()
            #expect(list.count == 10)
            for number in 1...4 { #expect(try list.decode(Int.self) == number) }
            #expect(throws: DecodingError.self) { try list.decode(Int.self) }
            #expect(list.currentIndex == 4)
            #expect(try list.decode(String.self) == "five")
            #expect(try list.decodeNil() == false)
            #expect(try list.decode(Int.self) == 6)
            #expect(try list.decodeNil())
            #expect(try list.decode(Double.self) == 7)
            #expect(try list.decodeIfPresent(Int.self) == 8)
            #expect(try list.decode(Number.self) == .two)
            #expect(list.isAtEnd)
            #expect(throws: DecodingError.self) { try list.decode(Int.self) }
        }
    }

    @Test func packedElementsAsOtherTypes() throws {
        let bytes = try BinaryEncoder().encode([1, 2])
        #expect(try BinaryDecoder().decode([Number].self, from: bytes) == [.one, .two])
        #expect(try BinaryDecoder().decode([Int?].self, from: bytes) == [1, 2])
        #expect(try BinaryDecoder().decode([UInt8].self, from: bytes) == [1, 2])
        #expect(try BinaryDecoder().decode(Set<Double>.self, from: bytes) == [1, 2])
        let set = try BinaryEncoder().encode(Set([1, 2]))
        #expect(try BinaryDecoder().decode([Int].self, from: set).sorted() == [1, 2])
        let walked = try BinaryEncoder().encode([1, nil, 3] as [Int?])
        #expect(wireCode { _ = try BinaryDecoder().decode([Int].self, from: walked) } == .typeMismatch)
    }

    @Test func optionalInASingleValue() throws {
        // Encoded as an optional, decoded by looking for nil.
        struct Box: Codable, Equatable {
            var value: Int?
            init(_ value: Int?) { self.value = value }
            init(from decoder: any Decoder) throws {
                let container = try decoder.singleValueContainer()
                value = container.decodeNil() ? nil : try container.decode(Int.self)
            }
            func encode(to encoder: any Encoder) throws {
                var container = encoder.singleValueContainer()
                try container.encode(value)
            }
        }
        try expectRoundTrip(Box(nil))
        try expectRoundTrip([Box(nil), Box(1)])
    }

    @Test func pathsAndUserInfo() throws {
        let key = CodingUserInfoKey(rawValue: "info")!
        var encoder = BinaryEncoder()
        encoder.userInfo[key] = 5
        var decoder = BinaryDecoder()
        decoder.userInfo[key] = 6
        encoder.userInfo[Custom.Coding.key] = Custom.Coding(encode: { encoder in
            #expect(encoder.userInfo[key] as? Int == 5)
            #expect(encoder.codingPath.map(\.stringValue) == ["a", "Index 1"])
            var container = encoder.container(keyedBy: AnyKey.self)
            #expect(container.codingPath.count == 2)
            let nested = container.nestedUnkeyedContainer(forKey: "n")
            #expect(nested.codingPath.map(\.stringValue) == ["a", "Index 1", "n"])
        })
        decoder.userInfo[Custom.Coding.key] = Custom.Coding(decode: { decoder in
            #expect(decoder.userInfo[key] as? Int == 6)
            #expect(decoder.codingPath.map(\.stringValue) == ["a", "Index 1"])
            let container = try decoder.container(keyedBy: AnyKey.self)
            #expect(container.codingPath.count == 2)
            let nested = try container.nestedUnkeyedContainer(forKey: "n")
            #expect(nested.codingPath.map(\.stringValue) == ["a", "Index 1", "n"])
        })
        let custom = try encoder.encode(["a": [Custom?.none, Custom()]])
        #expect(try decoder.decode([String: [Custom?]].self, from: custom)["a"]?.count == 2)
        do {
            let bytes = try encoder.encode(["a": [["x": 1, "y": 2], ["x": 1]]])
            _ = try decoder.decode([String: [Point]].self, from: bytes)
            Issue.record("a missing key went unnoticed")
        } catch DecodingError.keyNotFound(let key, let context) {
            #expect(key.stringValue == "y")
            #expect(context.codingPath.map(\.stringValue) == ["a", "Index 1"])
        }
    }

    /// A container of the wrong kind, a second value, and use after the end are errors.
    @Test func misuseIsAnError() throws {
        func code(_ encoding: @escaping @Sendable (any Encoder) throws -> Void) -> WireError.Code? {
            var encoder = BinaryEncoder()
            encoder.userInfo[Custom.Coding.key] = Custom.Coding(encode: encoding)
            return wireCode { _ = try encoder.encode([Custom()]) }
        }
        #expect(
            code { encoder in
                _ = encoder.container(keyedBy: AnyKey.self)
                _ = encoder.unkeyedContainer()
            } == .unsupported
        )
        #expect(
            code { encoder in
                var container = encoder.singleValueContainer()
                try container.encode(1)
                try container.encode(2)
            } == .unsupported
        )
        #expect(
            code { encoder in
                struct Inner: Encodable {
                    let outer: any Encoder
                    func encode(to encoder: any Encoder) throws {
                        var container = outer.container(keyedBy: AnyKey.self)
                        try container.encode(1, forKey: "outer")
                    }
                }
                var container = encoder.container(keyedBy: AnyKey.self)
                try container.encode(Inner(outer: encoder), forKey: "a")
            } == .unsupported
        )
    }

    @Test func codersThatOutliveTheirValue() throws {
        final class Keeper: Codable {
            nonisolated(unsafe) static var encoder: (any Encoder)?
            nonisolated(unsafe) static var decoder: (any Decoder)?
            init() {}
            init(from decoder: any Decoder) throws { Self.decoder = decoder }
            func encode(to encoder: any Encoder) throws {
                var container = encoder.container(keyedBy: AnyKey.self)
                try container.encode(1, forKey: "x")
                Self.encoder = encoder
            }
        }
        let bytes = try BinaryEncoder().encode([Keeper()])
        var container = Keeper.encoder!.singleValueContainer()
        #expect(wireCode { try container.encode(1) } == .unsupported)
        _ = try BinaryDecoder().decode([Keeper].self, from: bytes)
        #expect(wireCode { _ = try Keeper.decoder!.container(keyedBy: AnyKey.self) } == .unsupported)
        #expect(wireCode { _ = try Keeper.decoder!.singleValueContainer().decode(Int.self) } == .unsupported)
        Keeper.encoder = nil
        Keeper.decoder = nil
    }
}
