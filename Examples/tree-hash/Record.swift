/// A record as it is written: the other side of ``RecordParser``, for the sample.
enum Record {
    enum Kind: UInt8 {
        case text = 1, numbers, list, reference, padding, samples
    }

    case text([UInt8])
    case numbers([Int32])
    /// Lists of nothing, each in the one before.
    case nest(depth: Int)
    case reference(Int64)
    case padding(Int64)
    case samples(step: UInt8, [UInt8])

    static func text(_ text: String) -> Record { .text(Array(text.utf8)) }

    var bytes: [UInt8] {
        switch self {
        case .text(let text): Self.record(.text, text)
        case .numbers(let numbers): Self.record(.numbers, numbers.flatMap(Self.little))
        case .reference(let offset): Self.record(.reference, Self.little(offset))
        case .padding(let count): Self.record(.padding, Self.little(count))
        case .samples(let step, let bytes): Self.record(.samples, [step] + bytes)
        // The outermost first: each has the length of all within it.
        case .nest(let depth): (0..<depth).reversed().flatMap { Self.header(.list, length: $0 * 5) }
        }
    }

    private static func record(_ kind: Kind, _ payload: [UInt8]) -> [UInt8] {
        header(kind, length: payload.count) + payload
    }

    private static func header(_ kind: Kind, length: Int) -> [UInt8] {
        [kind.rawValue] + little(UInt32(length))
    }

    private static func little(_ number: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: number.littleEndian) { Array($0) }
    }
}
