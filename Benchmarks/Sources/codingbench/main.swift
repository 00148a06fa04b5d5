// How fast the binary coder is: against a copy for arrays of numbers, against JSON for structs.

import Foundation
import MultiprocessingWire

struct Position: Codable {
    var x: Int32
    var y: Int32
}

enum Kind: String, Codable {
    case plain, other
}

struct Mixed: Codable {
    var identifier = 42
    var name = "a name of a thing"
    var ratio = 0.25
    var isOn = true
    var small: UInt8 = 7
    var note: String? = "short"
    var tags = ["one", "two", "three"]
    var samples = [1.5, -2.5, 3.5]
    var position = Position(x: 1, y: -2)
    var kind = Kind.other
}

struct Flat: Codable {
    var a = 1
    var b = 2.5
    var c = "text"
    var d = true
    var e: Int32 = 5
    var f: UInt8 = 6
    var g: Float = 7.5
    var h = "another text"
    var i: Int64 = 9
    var j: UInt16 = 10
}

func measureArray() throws {
    let numbers = (0..<1_000_000).map { $0 }
    let size = numbers.count * MemoryLayout<Int>.stride
    let encoder = BinaryEncoder()
    let decoder = BinaryDecoder()
    let message = try encoder.encode(numbers)
    var buffer = WireBuffer(minimumCapacity: size * 2)
    let medians = try compare(
        "[Int], a million",
        repeats: 41,
        [
            Contender("memcpy into a fresh allocation") {
                let target = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 16)
                numbers.withUnsafeBytes { target.copyMemory(from: $0.baseAddress!, byteCount: size) }
                use(target)
                target.deallocate()
            },
            Contender("encode") { use(try encoder.encode(numbers)) },
            Contender("encode into a buffer") {
                buffer.removeAll()
                try encoder.encode(numbers, into: &buffer)
            },
            Contender("decode") { use(try decoder.decode([Int].self, from: message)) },
        ]
    )
    let copy = medians["memcpy into a fresh allocation"]!
    for name in ["encode", "encode into a buffer", "decode"] {
        let ratios = String(
            format: "%.2f (by minima %.2f)",
            copy.median / medians[name]!.median,
            copy.minimum / medians[name]!.minimum
        )
        print("  \(name): \(ratios) of memcpy's speed")
    }
}

func measureStruct<Value: Codable>(
    _ title: String,
    _ value: Value,
    inner: Int,
    withFloor: Bool = false,
    parts: (() -> Void)? = nil
) throws {
    let encoder = BinaryEncoder()
    let decoder = BinaryDecoder()
    let jsonEncoder = JSONEncoder()
    let jsonDecoder = JSONDecoder()
    let message = try encoder.encode(value)
    let json = try jsonEncoder.encode(value)
    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: message.count, alignment: 16)
    defer { room.deallocate() }
    var contenders = [
        Contender("encode") { use(try encoder.encode(value)) },
        Contender("encode into memory") { try encoder.encode(value) { $0.copy(to: room) } },
        Contender("decode") { use(try decoder.decode(Value.self, from: message)) },
        Contender("JSON encode") { use(try jsonEncoder.encode(value)) },
        Contender("JSON decode") { use(try jsonDecoder.decode(Value.self, from: json)) },
    ]
    if withFloor {
        contenders += [
            Contender("Codable alone, encoding") { try value.encode(to: NullEncoder()) },
            Contender("Codable alone, decoding") { use(try Value(from: NullDecoder())) },
        ]
    }
    if let parts { contenders.append(Contender("making its texts and arrays", parts)) }
    let medians = try compare(
        "\(title): \(message.count) bytes, JSON \(json.count)",
        repeats: 41,
        inner: inner,
        contenders
    )
    func report(_ what: String, _ names: String...) {
        func ratio(_ of: ((median: Double, minimum: Double)) -> Double) -> Double {
            (of(medians["JSON encode"]!) + of(medians["JSON decode"]!)) / names.reduce(0) { $0 + of(medians[$1]!) }
        }
        let ratios = String(format: "%.1f (by minima %.1f)", ratio(\.median), ratio(\.minimum))
        print("  \(what): \(ratios) times as fast as JSON")
    }
    report("round trip", "encode", "decode")
    report("round trip, encoding into memory", "encode into memory", "decode")
    if withFloor { report("Codable alone, both ways", "Codable alone, encoding", "Codable alone, decoding") }
}

/// One value into memory that is there already and back, as a queue in shared memory does it.
func measureSmall<Value: Codable>(_ title: String, _ value: Value) throws {
    let encoder = BinaryEncoder()
    let decoder = BinaryDecoder()
    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 1024, alignment: 16)
    defer { room.deallocate() }
    let message = try encoder.encode(value)
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: message.count, alignment: 16)
    defer { bytes.deallocate() }
    bytes.copyBytes(from: message)
    let source = UnsafeRawBufferPointer(bytes)
    _ = try compare(
        title,
        repeats: 41,
        inner: 3000,
        [
            Contender("encodeSmall") { use(BinaryEncoder.encodeSmall(value, into: room)) },
            Contender("decodeSmall") { use(BinaryDecoder.decodeSmall(Value.self, from: source)) },
            Contender("encode and copy pieces") { try encoder.encode(value) { $0.copy(to: room) } },
            Contender("decode") { use(try decoder.decode(Value.self, from: source)) },
        ]
    )
}

/// `codingbench profile <what>` runs one thing for a while, for a profiler to look at.
func profile(_ what: String) throws {
    let encoder = BinaryEncoder()
    let decoder = BinaryDecoder()
    let strings = (0..<10_000).map { "string number \($0)" }
    let flat = try encoder.encode(Flat())
    let mixed = try encoder.encode(Mixed())
    let texts = try encoder.encode(strings)
    let end = ContinuousClock.now + .seconds(3)
    while ContinuousClock.now < end {
        for _ in 0..<1000 {
            switch what {
            case "encode-flat": use(try encoder.encode(Flat()))
            case "decode-flat": use(try decoder.decode(Flat.self, from: flat))
            case "encode-mixed": use(try encoder.encode(Mixed()))
            case "decode-mixed": use(try decoder.decode(Mixed.self, from: mixed))
            case "decode-strings": use(try decoder.decode([String].self, from: texts))
            default: throw CocoaError(.featureUnsupported)
            }
            if what.hasSuffix("strings"), ContinuousClock.now > end { return }
        }
    }
}

if CommandLine.arguments.count == 3, CommandLine.arguments[1] == "profile" {
    try profile(CommandLine.arguments[2])
    exit(0)
}
let onlyStructs = CommandLine.arguments.dropFirst() == ["structs"]
if !onlyStructs {
    try measureSmall("an Int", 42)
    try measureSmall("a text of 11 bytes", "hello world")
    try measureSmall("100 bytes", [UInt8](repeating: 7, count: 100))
    try measureArray()
}
try measureStruct("struct of ten scalars and texts", Flat(), inner: 300, withFloor: true)
let text = Array("a name of a thing".utf8)
let tags = ["one", "two", "three"].map { Array($0.utf8) }
let samples = [1.5, -2.5, 3.5]
try measureStruct("struct of ten mixed fields", Mixed(), inner: 300, withFloor: true) {
    // What the null decoder leaves out and any decoder has to make.
    use(String(decoding: text, as: UTF8.self))
    var texts: [String] = []
    texts.reserveCapacity(tags.count)
    for tag in tags { texts.append(String(decoding: tag, as: UTF8.self)) }
    use(texts)
    use(samples.withUnsafeBufferPointer { [Double]($0) })
}
if !onlyStructs {
    try measureStruct("1000 of them", [Mixed](repeating: Mixed(), count: 1000), inner: 1)
    try measureStruct("100 KB of Data", Data(repeating: 7, count: 100_000), inner: 1)
    try measureStruct("10,000 strings", (0..<10_000).map { "string number \($0)" }, inner: 1)
}
