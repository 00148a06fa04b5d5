/// A mangled type name in the program's image, of which only the shape at the end is looked at here.
///
/// Invariants relied upon (Swift's ABI/Mangling.rst): a name ends with a zero byte; bytes 0x01–0x17 start a symbolic
/// reference with 4 bytes behind them, 0x18–0x1f one with 8 bytes, in which zeros do not count as the end.
struct MangledName {
    let start: UnsafeRawPointer
    let length: Int
    /// The name with each symbolic reference as a single byte 1, so that its letters can be searched.
    let skeleton: [UInt8]

    init(_ start: UnsafeRawPointer) {
        self.start = start
        var skeleton: [UInt8] = []
        var length = 0
        while true {
            let byte = start.load(fromByteOffset: length, as: UInt8.self)
            if byte == 0 { break }
            let isSymbolic = byte < 0x20
            skeleton.append(isSymbolic ? 1 : byte)
            length += isSymbolic ? (byte < 0x18 ? 5 : 9) : 1
        }
        self.length = length
        self.skeleton = skeleton
    }

    func hasSuffix(_ suffix: String) -> Bool { skeleton.suffix(suffix.utf8.count).elementsEqual(suffix.utf8) }

    func contains(_ text: String) -> Bool { skeleton.firstRange(of: Array(text.utf8)) != nil }

    /// What kind of SIL function the name ends with (`…IeghH…_`): escaping, guaranteed context, thick; or nil.
    ///
    /// The attributes are `I`, `e` for escaping, a letter for the convention of the context, `h` if it is Sendable,
    /// `H` if it is async, then lower-case letters for parameters and results.
    func functionSuffix(droppingLast dropped: Int = 0) -> FunctionKind? {
        var rest = skeleton.dropLast(dropped)
        guard rest.popLast() == UInt8(ascii: "_") else { return nil }
        // `I` stands for an isolated parameter as well, but is not followed by `e` then.
        let escaping = rest.indices.dropLast().last {
            rest[$0] == UInt8(ascii: "I") && rest[$0 + 1] == UInt8(ascii: "e")
        }
        guard let mark = escaping ?? rest.lastIndex(of: UInt8(ascii: "I")) else { return nil }
        var letters = rest[(mark + 1)...]
        let isLetter = { (byte: UInt8) in (byte | 0x20) >= UInt8(ascii: "a") && (byte | 0x20) <= UInt8(ascii: "z") }
        guard !letters.isEmpty, letters.allSatisfy(isLetter) else { return nil }
        guard letters.popFirst() == UInt8(ascii: "e") else { return .unsupported }
        guard letters.popFirst() == UInt8(ascii: "g") else { return .unsupported }
        if letters.first == UInt8(ascii: "h") { letters.removeFirst() }
        guard let next = letters.first, next < UInt8(ascii: "a") else { return .thick(isAsync: false) }
        return next == UInt8(ascii: "H") ? .thick(isAsync: true) : .unsupported
    }

    enum FunctionKind {
        case thick(isAsync: Bool)
        case unsupported
    }

    /// The depth and index of the generic parameter that the name consists of, if it is one: `x`, `q_`, `q0_`, `qd__`.
    var genericParameter: (depth: Int, index: Int)? {
        if skeleton == [UInt8(ascii: "x")] { return (0, 0) }
        var rest = skeleton[...]
        guard rest.popFirst() == UInt8(ascii: "q") else { return nil }
        if rest.first == UInt8(ascii: "d") {
            rest.removeFirst()
            guard let depth = MangledName.index(&rest), let index = MangledName.index(&rest), rest.isEmpty else {
                return nil
            }
            return (depth + 1, index)
        }
        guard let index = MangledName.index(&rest), rest.isEmpty else { return nil }
        return (0, index + 1)
    }

    /// Reads an index: `_` is 0, `0_` is 1, and so on.
    private static func index(_ rest: inout ArraySlice<UInt8>) -> Int? {
        guard let natural = natural(&rest) else { return rest.popFirst() == UInt8(ascii: "_") ? 0 : nil }
        return rest.popFirst() == UInt8(ascii: "_") && natural < 1000 ? natural + 1 : nil
    }

    /// Reads a decimal number, if there is one.
    static func natural(_ rest: inout ArraySlice<UInt8>) -> Int? {
        var value: Int?
        while let digit = rest.first, digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9"), (value ?? 0) < 100_000 {
            value = (value ?? 0) * 10 + Int(digit - UInt8(ascii: "0"))
            rest.removeFirst()
        }
        return value
    }
}
