// Works out what a context holds, and where.
//
// Invariants relied upon (IRGen/GenStruct.cpp, GenEnum.cpp; RemoteInspection/Records.h), for types without metadata:
// - the fields of a struct of the same module follow in order, each at the next multiple of its alignment;
// - an enum without payloads is the number of its case in 0, 1, 2 or 4 bytes, as few as do;
// - a field descriptor is 16 bytes (type, superclass, kind, record size, count), its records 12 (flags, type, name).

/// What a captured value is, by which it is written, read and placed.
indirect enum CaptureKind {
    case value(any Any.Type)
    case function(isAsync: Bool, isOptional: Bool)
    /// A captured `var`.
    case box
    /// Machine words that stand for themselves, which the optimizer left of a number.
    case bits(size: Int)
    /// A struct whose metadata the optimizer removed.
    case fields([CaptureKind])
    /// An enum without payloads whose metadata the optimizer removed.
    case enumCase(size: Int, count: Int)
    /// A metatype known at compile time, which takes no room.
    case nothing

    var layout: (size: Int, alignment: Int) {
        switch self {
        case .value(let type):
            func open<T>(_: T.Type) -> (Int, Int) { (MemoryLayout<T>.size, MemoryLayout<T>.alignment) }
            return open(type)
        case .function: return (16, 8)
        case .box: return (8, 8)
        case .bits(let size): return (size, size)
        case .fields(let fields):
            let layout = StructLayout(fields)
            return (layout.size, layout.alignment)
        case .enumCase(let size, _): return (size, max(size, 1))
        case .nothing: return (0, 1)
        }
    }
}

/// Things in memory one behind the other, as the compiler lays out contexts and structs.
struct StructLayout {
    private(set) var elements: [(kind: CaptureKind, offset: Int)] = []
    private(set) var size: Int
    private(set) var alignment = 1

    init(startingAt offset: Int) { size = offset }

    init(_ fields: [CaptureKind]) {
        size = 0
        for field in fields { append(field) }
    }

    /// Where an element of some alignment would come next.
    func nextOffset(alignment: Int) -> Int { (size + alignment - 1) & ~(alignment - 1) }

    mutating func append(_ kind: CaptureKind) {
        let layout = kind.layout
        let offset = nextOffset(alignment: layout.alignment)
        elements.append((kind, offset))
        size = offset + layout.size
        alignment = max(alignment, layout.alignment)
    }
}

extension CaptureKind {
    /// Finds out what a mangled name in the program stands for, or says why it cannot travel.
    init(_ name: MangledName, in environment: GenericEnvironment, depth: Int = 0) throws(ClosureError) {
        if let function = try CaptureKind.function(name) {
            self = function
            return
        }
        for suffix in ["Xx", "XX", "Xb"] where name.hasSuffix(suffix) {
            self = .box
            return
        }
        if name.hasSuffix("XMt") {
            self = .nothing
            return
        }
        for (suffix, how) in [("Xw", "weak"), ("Xo", "unowned"), ("Xu", "unowned(unsafe)")] where name.hasSuffix(suffix)
        {
            let type = environment.resolve(name.start, length: name.length - 2)
            throw .refused(
                type.map { "\($0)" } ?? "a reference",
                "is captured as \(how == "weak" ? "a" : "an") \(how) reference, which means nothing elsewhere",
                remedy: "capture the object itself, or what the body needs of it"
            )
        }
        if let builtin = try CaptureKind.builtin(name) {
            self = builtin
            return
        }
        if let type = environment.resolve(name) {
            self = .value(type)
            return
        }
        self = try CaptureKind.withoutMetadata(name, in: environment, depth: depth)
    }

    private static func function(_ name: MangledName) throws(ClosureError) -> CaptureKind? {
        let isOptional = name.hasSuffix("_Sg")
        switch name.functionSuffix(droppingLast: isOptional ? 2 : 0) {
        case .thick(let isAsync): return .function(isAsync: isAsync, isOptional: isOptional)
        case .unsupported: throw .refused("a function", "is of a kind (C, block, or not escaping) that cannot travel")
        case nil: return nil
        }
    }

    /// `Bi64_`, `Bf32_`, `Bw` and the like.
    private static func builtin(_ name: MangledName) throws(ClosureError) -> CaptureKind? {
        var rest = name.skeleton[...]
        guard rest.popFirst() == UInt8(ascii: "B"), let letter = rest.popFirst() else { return nil }
        if letter == UInt8(ascii: "w"), rest.isEmpty { return .bits(size: 8) }
        if letter == UInt8(ascii: "i") || letter == UInt8(ascii: "f"), let bits = MangledName.natural(&rest),
            rest.elementsEqual("_".utf8)
        {
            for size in [1, 2, 4, 8, 16] where bits <= size * 8 && (letter == UInt8(ascii: "i") || bits == size * 8) {
                return .bits(size: size)
            }
        }
        throw .refused("Builtin.\(String(decoding: name.skeleton, as: UTF8.self))", "is a pointer or a part of a value")
    }

    /// A type that the optimizer left no metadata of: what its fields say, where that settles the layout.
    private static func withoutMetadata(
        _ name: MangledName,
        in environment: GenericEnvironment,
        depth: Int
    ) throws(ClosureError) -> CaptureKind {
        if name.contains("Ieg") {
            throw .refused("a tuple", "holds a function", remedy: "capture its elements one by one: let (f, x) = tuple")
        }
        guard let descriptor = name.soleDescriptor else {
            throw unavailable("a type that is made up of a private one")
        }
        guard depth < 8, !descriptor.isGeneric, !descriptor.suppressesCopying, let fields = descriptor.fields else {
            throw unavailable(descriptor.name)
        }
        switch descriptor.kind {
        case .enum:
            guard let count = descriptor.casesWithoutPayload, count > 0, count < 1 << 16 else {
                throw unavailable(descriptor.name)
            }
            return .enumCase(size: count == 1 ? 0 : count <= 1 << 8 ? 1 : 2, count: count)
        case .struct:
            var kinds: [CaptureKind] = []
            let isPlainStruct = fields.load(fromByteOffset: 8, as: UInt16.self) == 0
            let recordSize = Int(fields.load(fromByteOffset: 10, as: UInt16.self))
            let count = Int(fields.load(fromByteOffset: 12, as: UInt32.self))
            guard isPlainStruct, recordSize == 12, count == descriptor.fieldCount else {
                throw unavailable(descriptor.name)
            }
            for index in 0..<count {
                let record = fields + 16 + index * recordSize + 4
                let type = MangledName(record + Int(record.load(as: Int32.self)))
                let kind = try CaptureKind(type, in: environment, depth: depth + 1)
                if case .value(let type) = kind { try requireCodable(type, in: descriptor) }
                kinds.append(kind)
            }
            return .fields(kinds)
        default:
            throw unavailable(descriptor.name)
        }
    }

    private static func requireCodable(_ type: any Any.Type, in descriptor: TypeDescriptor) throws(ClosureError) {
        guard type is any Codable.Type || type is any StructurallyCodable.Type else {
            throw .refused(descriptor.name, "has a field of type '\(type)', which is not Codable")
        }
    }

    private static func unavailable(_ name: String) -> ClosureError {
        ClosureError(
            .typeUnavailable,
            name,
            reason: "has no metadata in this optimised build, because the program only captures it",
            remedy: ClosureError.passAsArgument
        )
    }
}

extension MangledName {
    /// The descriptor that the name refers to, if it is nothing but a reference to one.
    var soleDescriptor: TypeDescriptor? {
        guard skeleton == [1], length == 5 else { return nil }
        let target = start + 1 + Int((start + 1).loadUnaligned(as: Int32.self))
        let descriptor: UnsafeRawPointer
        switch start.load(as: UInt8.self) {
        case 1: descriptor = target
        case 2: descriptor = target.load(as: UnsafeRawPointer.self)
        default: return nil
        }
        let result = TypeDescriptor(address: descriptor)
        if case .other = result.kind { return nil }
        return result
    }
}

extension TypeDescriptor {
    /// The number of stored properties of a struct.
    var fieldCount: Int { Int(address.load(fromByteOffset: 20, as: UInt32.self)) }
}
