// The types that the coder's tests send.

struct Mixed: Codable, Equatable {
    var identifier: Int = 42
    var name = "a name"
    var ratio = 0.25
    var isOn = true
    var small: UInt8 = 7
    var note: String? = nil
    var tags = ["one", "two", "drei"]
    var samples = [1.5, -2.5, .infinity]
    var nested = Point(x: 1, y: -2)
    var kind = Kind.other
}

struct Point: Codable, Hashable {
    var x: Int32
    var y: Int32
}

enum Kind: String, Codable, CaseIterable {
    case plain, other
}

enum Number: Int, Codable {
    case one = 1, two
}

enum Shape: Codable, Equatable {
    case empty
    case circle(radius: Double)
    case polygon([Point], String)
    indirect case group(Shape, Shape)
}

struct Nothing: Codable, Equatable {}

struct WritesNothing: Codable, Equatable {
    init() {}
    init(from decoder: any Decoder) throws {}
    func encode(to encoder: any Encoder) throws {}
}

struct DoubleOptional: Codable, Equatable {
    var a: Int??
    var b: Int??
    var c: Int??
    var d: [Int??]
    var e: Int???
}

struct Tree: Codable, Equatable {
    var value: Int
    var children: [Tree]
}

class Animal: Codable {
    var legs: Int
    init(legs: Int) { self.legs = legs }
}

/// Encodes its superclass through `superEncoder()`.
final class Dog: Animal {
    var name: String

    init(legs: Int, name: String) {
        self.name = name
        super.init(legs: legs)
    }

    enum CodingKeys: CodingKey { case name, legs }

    required init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        name = try container.decode(String.self, forKey: .name)
        try super.init(from: container.superDecoder())
    }

    override func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        let superEncoder = container.superEncoder()
        // The parent goes on before the super encoder is used.
        try container.encode(name, forKey: .name)
        try super.encode(to: superEncoder)
    }
}

/// Encodes its superclass into the same container.
final class Cat: Animal {
    var lives: Int

    init(legs: Int, lives: Int) {
        self.lives = lives
        super.init(legs: legs)
    }

    enum CodingKeys: CodingKey { case lives }

    required init(from decoder: any Decoder) throws {
        lives = try decoder.container(keyedBy: CodingKeys.self).decode(Int.self, forKey: .lives)
        try super.init(from: decoder)
    }

    override func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try super.encode(to: encoder)
        try container.encode(lives, forKey: .lives)
    }
}

/// A key of any name.
struct AnyKey: CodingKey, ExpressibleByStringLiteral {
    var stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init(stringLiteral value: String) { stringValue = value }
    init?(intValue: Int) { nil }
}

/// A value whose coding is given by two closures, which it finds in the coder's `userInfo`.
struct Custom: Codable {
    struct Coding: Sendable {
        static let key = CodingUserInfoKey(rawValue: "custom coding")!
        var encode: @Sendable (any Encoder) throws -> Void = { _ in }
        var decode: @Sendable (any Decoder) throws -> Void = { _ in }
    }

    init() {}

    init(from decoder: any Decoder) throws {
        try (decoder.userInfo[Coding.key] as! Coding).decode(decoder)
    }

    func encode(to encoder: any Encoder) throws {
        try (encoder.userInfo[Coding.key] as! Coding).encode(encoder)
    }
}
