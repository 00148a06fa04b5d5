import MultiprocessingWire
import Testing

/// States and containers serve one message after another: what is left of one must not reach the next.
@Suite(.timeLimit(.minutes(1)))
struct CodingReuseTests {
    /// What a badly behaved type keeps.
    private final class Thief {
        var keyed: (any Encoder, KeyedEncodingContainer<Keys>)?
        var fields: (any Decoder, KeyedDecodingContainer<Keys>)?
    }

    private enum Keys: String, CodingKey { case a, b }

    private struct Keeper: Codable {
        @TaskLocal static var thief: UnsafeThief?
        var a = 7

        init() {}

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: Keys.self)
            try container.encode(a, forKey: .a)
            Self.thief?.thief.keyed = (encoder, container)
        }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: Keys.self)
            a = try container.decode(Int.self, forKey: .a)
            Self.thief?.thief.fields = (decoder, container)
        }
    }

    /// Used by the one thread of a test only.
    private struct UnsafeThief: @unchecked Sendable { let thief: Thief }

    private struct Writes: Codable {
        var a = 1
        var b = 2

        init() {}

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: Keys.self)
            try container.encode(a, forKey: .a)
            if var stolen = Keeper.thief?.thief.keyed?.1 {
                #expect(throws: WireError.self) { try stolen.encode(99, forKey: .b) }
                #expect(throws: WireError.self) { try stolen.encode("text", forKey: .b) }
                #expect(throws: WireError.self) { try stolen.encode([Writes](), forKey: .b) }
                _ = stolen.codingPath
            }
            try container.encode(b, forKey: .b)
        }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: Keys.self)
            a = try container.decode(Int.self, forKey: .a)
            if let stolen = Keeper.thief?.thief.fields?.1 {
                #expect(throws: WireError.self) { try stolen.decode(Int.self, forKey: .a) }
                #expect(throws: WireError.self) { try stolen.decodeIfPresent(String.self, forKey: .a) }
                #expect(throws: WireError.self) { try stolen.nestedContainer(keyedBy: Keys.self, forKey: .a) }
                #expect(!stolen.contains(.a))
                #expect(stolen.allKeys.isEmpty)
                _ = stolen.codingPath
            }
            b = try container.decode(Int.self, forKey: .b)
        }
    }

    @Test(arguments: [true, false])
    func containersThatOutliveTheirMessageRefuse(keepsCoders: Bool) throws {
        let thief = Thief()
        try Keeper.$thief.withValue(UnsafeThief(thief: thief)) {
            let kept = try BinaryEncoder().encode(Keeper())
            _ = try BinaryDecoder().decode(Keeper.self, from: kept)
            if !keepsCoders {
                thief.keyed = thief.keyed.map { (Refusing(), $0.1) }
                thief.fields = thief.fields.map { (Refusing(), $0.1) }
            }
            for _ in 0..<3 {
                let message = try BinaryEncoder().encode(Writes())
                let back = try BinaryDecoder().decode(Writes.self, from: message)
                #expect(back.a == 1)
                #expect(back.b == 2)
            }
        }
        var stolen = try #require(thief.keyed?.1)
        #expect(throws: WireError.self) { try stolen.encode(1, forKey: .b) }
        #expect(throws: WireError.self) { try stolen.encodeNil(forKey: .b) }
        var nested = stolen.nestedContainer(keyedBy: Keys.self, forKey: .a)
        #expect(throws: WireError.self) { try nested.encode(1, forKey: .b) }
        var elements = stolen.nestedUnkeyedContainer(forKey: .a)
        #expect(throws: WireError.self) { try elements.encode(1) }
    }

    private struct Refusing: Encoder, Decoder {
        var codingPath: [any CodingKey] { [] }
        var userInfo: [CodingUserInfoKey: Any] { [:] }
        func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> { fatalError() }
        func unkeyedContainer() -> any UnkeyedEncodingContainer { fatalError() }
        func singleValueContainer() -> any SingleValueEncodingContainer { fatalError() }
        func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> { fatalError() }
        func unkeyedContainer() throws -> any UnkeyedDecodingContainer { fatalError() }
        func singleValueContainer() throws -> any SingleValueDecodingContainer { fatalError() }
    }

    private struct Tree: Codable, Equatable {
        var name: String
        var left: [Tree] = []
        var right: [Tree] = []
    }

    @Test func aTypeWithinItselfHasContainersOfItsOwn() throws {
        let leaf = Tree(name: "leaf")
        let tree = Tree(
            name: "root",
            left: [leaf, Tree(name: "inner", left: [leaf], right: [leaf, leaf])],
            right: [Tree(name: "other", right: [leaf])]
        )
        for _ in 0..<3 {
            #expect(try BinaryDecoder().decode(Tree.self, from: BinaryEncoder().encode(tree)) == tree)
        }
    }

    /// A type that codes messages while it is coded itself.
    private struct Envelope: Codable, Equatable {
        var content: [Tree]
        var depth: Int

        private enum Keys: CodingKey { case before, message, after }

        init(_ content: [Tree], depth: Int) {
            self.content = content
            self.depth = depth
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: Keys.self)
            try container.encode(depth, forKey: .before)
            let inner: [UInt8] =
                depth == 0
                ? try BinaryEncoder().encode(content) : try BinaryEncoder().encode(Envelope(content, depth: depth - 1))
            try container.encode(inner, forKey: .message)
            try container.encode(depth, forKey: .after)
        }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: Keys.self)
            depth = try container.decode(Int.self, forKey: .before)
            let inner = try container.decode([UInt8].self, forKey: .message)
            content =
                depth == 0
                ? try BinaryDecoder().decode([Tree].self, from: inner)
                : try BinaryDecoder().decode(Envelope.self, from: inner).content
            #expect(try container.decode(Int.self, forKey: .after) == depth)
        }
    }

    @Test func codingWithinCodingHasStatesOfItsOwn() throws {
        let envelope = Envelope([Tree(name: "a", left: [Tree(name: "b")])], depth: 5)
        for _ in 0..<3 {
            #expect(try BinaryDecoder().decode(Envelope.self, from: BinaryEncoder().encode(envelope)) == envelope)
        }
    }

    private struct Failing: Codable {
        init() {}
        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: Keys.self)
            try container.encode(1, forKey: .a)
            throw CancellationError()
        }

        init(from decoder: any Decoder) throws {
            _ = try decoder.container(keyedBy: Keys.self).decode(Int.self, forKey: .a)
            throw CancellationError()
        }
    }

    @Test func aFailureLeavesNothingBehind() throws {
        let tree = Tree(name: "root", left: [Tree(name: "leaf")])
        for _ in 0..<3 {
            #expect(throws: CancellationError.self) { try BinaryEncoder().encode(Failing()) }
            let message = try BinaryEncoder().encode(Writes())
            #expect(throws: CancellationError.self) { try BinaryDecoder().decode(Failing.self, from: message) }
            #expect(throws: WireError.self) { try BinaryEncoder(limits: CodingLimits(maximumDepth: 1)).encode(tree) }
            #expect(throws: WireError.self) { try BinaryEncoder(limits: CodingLimits(maximumBytes: 8)).encode(tree) }
            let good = try BinaryEncoder().encode(tree)
            #expect(throws: (any Error).self) { try BinaryDecoder().decode(Tree.self, from: Array(good.dropLast())) }
            #expect(try BinaryDecoder().decode(Tree.self, from: good) == tree)
        }
    }
}
