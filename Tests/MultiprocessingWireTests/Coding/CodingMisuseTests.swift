import MultiprocessingWire
import Testing

/// Types that use their encoder in every wrong way: what comes out is an error or a message that can be read, never a trap.
@Suite(.timeLimit(.minutes(5)))
struct CodingMisuseTests {
    private enum Keys: String, CodingKey, CaseIterable { case a, b, c }

    // MARK: Two conformances of one type

    private struct One: CodingKey {
        var stringValue: String { "one" }
        var intValue: Int? { nil }
        init?(stringValue: String) {}
        init?(intValue: Int) { nil }
    }

    private struct Two: CodingKey {
        var stringValue: String { "two" }
        var intValue: Int? { nil }
        init?(stringValue: String) {}
        init?(intValue: Int) { nil }
    }

    /// Has a field under the one key that there is.
    private struct Keyed: Encodable {
        var keys: any CodingKey.Type

        func encode(to encoder: any Encoder) throws {
            func write<Key: CodingKey>(_ type: Key.Type) throws {
                var container = encoder.container(keyedBy: type)
                try container.encode(1, forKey: #require(Key(stringValue: "")))
            }
            try write(keys)
        }
    }

    /// A container was given out again to a type of keys with another conformance, which then wrote the first one's names.
    @Test func keysOfOneTypeAndTwoConformances() throws {
        // Two modules may do so. Here the type of one and the conformance of the other, which are of one layout.
        let one = unsafeBitCast(One.self as any CodingKey.Type, to: (UInt, UInt).self)
        let two = unsafeBitCast(Two.self as any CodingKey.Type, to: (UInt, UInt).self)
        let mixed = unsafeBitCast((one.0, two.1), to: (any CodingKey.Type).self)
        for _ in 0..<3 {
            let messages = try [One.self, mixed].map { try BinaryEncoder().encode(Keyed(keys: $0)) }
            let fields = try messages.map { try BinaryDecoder().decode([String: Int].self, from: $0) }
            #expect(fields == [["one": 1], ["two": 1]])
        }
    }

    // MARK: Containers that are written to late

    /// Writes to the container that it is being encoded into.
    private struct Intruder: Encodable {
        var container: KeyedEncodingContainer<Keys>

        func encode(to encoder: any Encoder) throws {
            var own = encoder.container(keyedBy: Keys.self)
            try own.encode(1, forKey: .a)
            var container = container
            let code = wireCode { try container.encode(2, forKey: .b) }
            #expect(code == .unsupported)
            try own.encode(3, forKey: .c)
        }
    }

    private struct Host: Encodable {
        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: Keys.self)
            var nested = container.nestedContainer(keyedBy: Keys.self, forKey: .a)
            // Its parent goes on: what comes now is kept apart until the message is put together.
            try container.encode(1, forKey: .b)
            try nested.encode(1, forKey: .a)
            try nested.encode(Intruder(container: nested), forKey: .c)
        }
    }

    /// The value that was being encoded was cut off, and what followed could be a trap.
    @Test func lateContainerWrittenToByItsOwnValue() throws {
        let bytes = try BinaryEncoder().encode(Host())
        let back = try BinaryDecoder().decode(Whole.self, from: bytes)
        #expect(back.count == 4)
    }

    // MARK: At random

    /// Whatever a message holds, counted.
    private struct Whole: Decodable {
        var count = 0

        private struct Key: CodingKey {
            var stringValue: String
            var intValue: Int? { nil }
            init(stringValue: String) { self.stringValue = stringValue }
            init?(intValue: Int) { nil }
        }

        init(from decoder: any Decoder) throws {
            if let fields = try? decoder.container(keyedBy: Key.self) {
                for key in fields.allKeys { count += try fields.decode(Whole.self, forKey: key).count }
            } else if var elements = try? decoder.unkeyedContainer() {
                while !elements.isAtEnd { count += try elements.decode(Whole.self).count }
            } else {
                _ = try decoder.singleValueContainer().decode(Int.self)
                count = 1
            }
        }
    }

    private struct Stop: Error {}

    /// What the values of one message have got hold of. Used by one thread.
    private final class Loot: @unchecked Sendable {
        @TaskLocal static var current = Loot(seed: 0)

        var encoders: [any Encoder] = []
        var keyed: [KeyedEncodingContainer<Keys>] = []
        var unkeyed: [any UnkeyedEncodingContainer] = []
        var steps = 200
        private var state: UInt64

        init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }

        func number(below bound: Int) -> Int {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return Int(truncatingIfNeeded: state >> 16 & 0xFFFF) % bound
        }

        func place(in count: Int) -> Int? { count == 0 ? nil : number(below: count) }
    }

    private struct Misuser: Encodable {
        var depth = 0

        func encode(to encoder: any Encoder) throws {
            let loot = Loot.current
            loot.encoders.append(encoder)
            if loot.number(below: 2) == 0 { loot.keyed.append(encoder.container(keyedBy: Keys.self)) }
            for _ in 0...loot.number(below: 10) where loot.steps > 0 {
                loot.steps -= 1
                do { try act(loot) } catch { if loot.number(below: 3) == 0 { throw error } }
            }
        }

        private func act(_ loot: Loot) throws {
            let key = Keys.allCases[loot.number(below: 3)]
            let action = loot.number(below: 13)
            if let place = loot.place(in: loot.encoders.count) {
                switch action {
                case 0: loot.keyed.append(loot.encoders[place].container(keyedBy: Keys.self))
                case 1: loot.unkeyed.append(loot.encoders[place].unkeyedContainer())
                default: break
                }
            }
            if let place = loot.place(in: loot.keyed.count) {
                var container = loot.keyed[place]
                switch action {
                case 2: try container.encode(1, forKey: key)
                case 3, 4: if depth < 5 { try container.encode(Misuser(depth: depth + 1), forKey: key) }
                case 5: loot.keyed.append(container.nestedContainer(keyedBy: Keys.self, forKey: key))
                case 6: loot.unkeyed.append(container.nestedUnkeyedContainer(forKey: key))
                case 7: loot.encoders.append(container.superEncoder(forKey: key))
                case 8: loot.keyed.remove(at: place)
                default: break
                }
            }
            if let place = loot.place(in: loot.unkeyed.count) {
                var container = loot.unkeyed[place]
                switch action {
                case 9: try container.encode(1)
                case 10: if depth < 5 { try container.encode(Misuser(depth: depth + 1)) }
                case 11: loot.keyed.append(container.nestedContainer(keyedBy: Keys.self))
                default: break
                }
            }
            if action == 12, loot.number(below: 4) == 0 { throw Stop() }
        }
    }

    @Test func misuseAtRandom() throws {
        var complete = 0
        for seed in 1...6000 {
            Loot.$current.withValue(Loot(seed: UInt64(seed))) {
                guard let bytes = try? BinaryEncoder().encode(Misuser()) else { return }
                #expect(throws: Never.self, "seed \(seed)") { try BinaryDecoder().decode(Whole.self, from: bytes) }
                complete += 1
            }
        }
        #expect(complete > 1000)
    }
}
