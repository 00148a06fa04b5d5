// The standard library's types that closures capture and that are not Codable, or only if what they hold is.

extension Array: StructurallyCodable {
    func encode(into writer: inout ClosureWriter) throws(ClosureError) {
        writer.put(count)
        for element in self {
            writer.put(byte: 0)  // an element may take no bytes at all, and counts are bounded by the bytes that follow
            try writer.put(value: element)
        }
    }
    static func decode(from reader: inout ClosureReader) throws(ClosureError) -> Self {
        var result: Self = []
        for _ in 0..<(try reader.count()) {
            _ = try reader.byte()
            result.append(try reader.value(Element.self))
        }
        return result
    }
}

/// A type that travels as another value which it can be made from.
private protocol ConvertibleToStructure: StructurallyCodable {
    associatedtype Structure
    var structure: Structure { get }
    init?(structure: Structure)
}

extension ConvertibleToStructure {
    func encode(into writer: inout ClosureWriter) throws(ClosureError) { try writer.put(value: structure) }
    static func decode(from reader: inout ClosureReader) throws(ClosureError) -> Self {
        guard let value = Self(structure: try reader.value(Structure.self)) else {
            throw .malformed("they hold no valid '\(Self.self)'")
        }
        return value
    }
}

extension ContiguousArray: ConvertibleToStructure {
    var structure: [Element] { Array(self) }
    init(structure: [Element]) { self.init(structure) }
}

extension ArraySlice: ConvertibleToStructure {
    // Counted from zero at the other end: what stands in front of the slice is not sent.
    var structure: [Element] { Array(self) }
    init(structure: [Element]) { self = structure[...] }
}

extension Optional: StructurallyCodable {
    func encode(into writer: inout ClosureWriter) throws(ClosureError) {
        writer.put(byte: self == nil ? 0 : 1)
        if let self { try writer.put(value: self) }
    }
    static func decode(from reader: inout ClosureReader) throws(ClosureError) -> Self {
        try reader.byte() == 0 ? nil : .some(try reader.value(Wrapped.self))
    }
}

extension Dictionary: ConvertibleToStructure {
    var structure: [(Key, Value)] { map { ($0.key, $0.value) } }
    init?(structure: [(Key, Value)]) {
        self.init(structure, uniquingKeysWith: { first, _ in first })
        guard count == structure.count else { return nil }
    }
}

extension Set: ConvertibleToStructure {
    var structure: [Element] { Array(self) }
    init?(structure: [Element]) {
        self.init(structure)
        guard count == structure.count else { return nil }
    }
}

extension Result: StructurallyCodable {
    func encode(into writer: inout ClosureWriter) throws(ClosureError) {
        switch self {
        case .success(let value):
            writer.put(byte: 0)
            try writer.put(value: value)
        case .failure(let error):
            writer.put(byte: 1)
            try writer.put(value: error)
        }
    }
    static func decode(from reader: inout ClosureReader) throws(ClosureError) -> Self {
        try reader.byte() == 0
            ? .success(try reader.value(Success.self)) : .failure(try reader.value(Failure.self))
    }
}

extension Character: ConvertibleToStructure {
    var structure: String { String(self) }
    init?(structure: String) {
        guard structure.count == 1, let first = structure.first else { return nil }
        self = first
    }
}

extension Unicode.Scalar: ConvertibleToStructure {
    var structure: UInt32 { value }
    init?(structure: UInt32) { self.init(structure) }
}

extension Substring: ConvertibleToStructure {
    var structure: String { String(self) }
    init(structure: String) { self.init(structure) }
}

extension Range: ConvertibleToStructure {
    var structure: (Bound, Bound) { (lowerBound, upperBound) }
    init?(structure: (Bound, Bound)) {
        guard structure.0 <= structure.1 else { return nil }
        self = structure.0..<structure.1
    }
}

extension ClosedRange: ConvertibleToStructure {
    var structure: (Bound, Bound) { (lowerBound, upperBound) }
    init?(structure: (Bound, Bound)) {
        guard structure.0 <= structure.1 else { return nil }
        self = structure.0...structure.1
    }
}

extension PartialRangeFrom: ConvertibleToStructure {
    var structure: Bound { lowerBound }
    init(structure: Bound) { self = structure... }
}

extension PartialRangeUpTo: ConvertibleToStructure {
    var structure: Bound { upperBound }
    init(structure: Bound) { self = ..<structure }
}

extension PartialRangeThrough: ConvertibleToStructure {
    var structure: Bound { upperBound }
    init(structure: Bound) { self = ...structure }
}

extension StaticString: StructurallyCodable {
    // Its text is a constant of the program: it travels as a position, and is the same constant there.
    func encode(into writer: inout ClosureWriter) throws(ClosureError) {
        writer.put(byte: hasPointerRepresentation ? 1 : 0)
        guard hasPointerRepresentation else { return writer.put(UInt(unicodeScalar.value)) }
        writer.put(utf8CodeUnitCount)
        writer.put(byte: isASCII ? 1 : 0)
        try writer.put(position: utf8Start, of: "StaticString")
    }
    static func decode(from reader: inout ClosureReader) throws(ClosureError) -> Self {
        typealias Parts = (start: UInt, size: UInt, flags: UInt8)
        var parts: Parts
        if try reader.byte() == 0 {
            guard let scalar = Unicode.Scalar(UInt32(truncatingIfNeeded: try reader.word())) else {
                throw .malformed("they hold no valid 'StaticString'")
            }
            parts = (UInt(scalar.value), 0, 1)
        } else {
            let size = try reader.word()
            guard size < 1 << 40 else { throw .malformed("a 'StaticString' is too long") }
            let isASCII = try reader.byte() != 0
            parts = (UInt(bitPattern: try reader.position(size: Int(size) + 1).address), size, isASCII ? 2 : 0)
        }
        // A frozen struct of two words and a byte (StaticString.swift); its initialiser from parts is not public.
        return withUnsafePointer(to: &parts) { UnsafeRawPointer($0).assumingMemoryBound(to: StaticString.self).pointee }
    }
}

extension CancellationError: StructurallyCodable {
    func encode(into writer: inout ClosureWriter) throws(ClosureError) {}
    static func decode(from reader: inout ClosureReader) throws(ClosureError) -> Self { Self() }
}

extension AnyHashable: ConvertibleToStructure {
    var structure: Any { base }
    init?(structure: Any) {
        guard let hashable = structure as? any Hashable else { return nil }
        self.init(hashable)
    }
}
