// Reads the runtime's description of types.
//
// Invariants relied upon (Swift's stable ABI; ABI/Metadata.h, ABI/MetadataValues.h), on 64-bit platforms with no
// Objective-C interoperation and no signed pointers:
// - the first word of metadata is its kind; 0 or anything above 0x7ff is a class;
// - the second word of struct and enum metadata points to the nominal type descriptor; in a class it is the 6th word;
// - generic arguments follow that word in structs and enums; in a class they start its immediate members;
// - the word in front of metadata points to the value witness table: eight functions, size, stride, then 32 bits of flags, of
//   which 0x800000 is set where values cannot be copied, or only 0x1000000 (not to be borrowed by copying its bits) where they
//   are raw storage whose size depends on generic arguments, as in `Mutex`;
// - a descriptor's trailing generic header lists its parameters; a pack is an array with a flag in bit 0 of its address.

/// Metadata, as an address to read from.
struct TypeMetadata {
    let address: UnsafeRawPointer

    init(_ type: any Any.Type) { address = unsafeBitCast(type, to: UnsafeRawPointer.self) }

    enum Kind {
        case `class`, `struct`, `enum`, tuple, function, existential, metatype, existentialMetatype, other
    }

    var kind: Kind {
        switch address.load(as: UInt.self) {
        case 0, 0x800...: .class
        case 0x200: .struct
        case 0x201, 0x202: .enum
        case 0x301: .tuple
        case 0x302: .function
        case 0x303: .existential
        case 0x304: .metatype
        case 0x306: .existentialMetatype
        default: .other
        }
    }

    private func word<T>(_ index: Int, as type: T.Type = T.self) -> T {
        address.load(fromByteOffset: index * 8, as: T.self)
    }

    /// Whether values of the type can be copied, as all of this library's generics assume.
    var isCopyable: Bool {
        address.load(fromByteOffset: -8, as: UnsafeRawPointer.self).load(fromByteOffset: 80, as: UInt32.self)
            & 0x180_0000 == 0
    }

    /// The descriptor of a struct, an enum or a class.
    var descriptor: TypeDescriptor? {
        switch kind {
        case .struct, .enum: TypeDescriptor(address: word(1))
        case .class: word(5, as: UnsafeRawPointer?.self).map(TypeDescriptor.init)
        default: nil
        }
    }

    enum GenericArgument {
        case type(any Any.Type)
        case pack([any Any.Type])
    }

    /// The generic arguments of a nominal type, those of the types around it first; nil where they are not plain to see.
    func genericArguments(_ descriptor: TypeDescriptor) -> [GenericArgument]? {
        guard let header = descriptor.genericHeader else { return [] }
        let (start, shapeClassCount) = (header.argumentOffset, header.shapeClassCount)
        var arguments: [GenericArgument] = []
        var packs = header.packShapeClasses[...]
        for (index, parameter) in header.parameters.enumerated() {
            guard parameter & 0x80 != 0 else { return nil }
            let slot = start + (shapeClassCount + index) * 8
            switch parameter & 0x3f {
            case 0:
                arguments.append(.type(address.load(fromByteOffset: slot, as: Any.Type.self)))
            case 1:
                guard let shape = packs.popFirst() else { return nil }
                let count = address.load(fromByteOffset: start + shape * 8, as: Int.self)
                let flagged = address.load(fromByteOffset: slot, as: UInt.self)
                let pack = UnsafeRawPointer(bitPattern: flagged & ~1)
                arguments.append(
                    .pack((0..<count).map { pack!.load(fromByteOffset: $0 * 8, as: Any.Type.self) })
                )
            default: return nil
            }
        }
        return arguments
    }

    /// The elements of a tuple, with the offset of each and their labels, each followed by a space.
    var tuple: (elements: [(type: any Any.Type, offset: Int)], labels: String) {
        let labels = word(2, as: UnsafePointer<CChar>?.self).map { String(cString: $0) } ?? ""
        // An offset has 32 bits here (a word on Apple's platforms); what is behind it is not initialised.
        return ((0..<word(1, as: Int.self)).map { (word(3 + 2 * $0), Int(word(4 + 2 * $0, as: UInt32.self))) }, labels)
    }

    /// What an existential type asks for.
    var existential: (protocols: [UnsafeRawPointer], isClassBound: Bool, superclass: (any Any.Type)?) {
        let flags = address.load(fromByteOffset: 8, as: UInt32.self)
        let count = Int(address.load(fromByteOffset: 12, as: UInt32.self))
        let superclass: (any Any.Type)? = flags & 0x4000_0000 != 0 ? word(2) : nil
        let first = superclass == nil ? 2 : 3
        return ((0..<count).map { word(first + $0) }, flags & 0x8000_0000 == 0, superclass)
    }

    /// What a metatype or an existential metatype is the type of.
    var instanceType: any Any.Type { word(1) }

    /// Whether a function type is async and thick; nil if functions of this kind are not two plain words.
    var functionIsAsync: Bool? {
        let flags = word(1, as: UInt.self)
        let isThickAndEscaping = flags & 0x00ff_0000 == 0 && flags & 0x0400_0000 != 0
        let isDifferentiable = flags & 0x0800_0000 != 0
        return isThickAndEscaping && !isDifferentiable ? flags & 0x2000_0000 != 0 : nil
    }

    /// The superclass of a class, if it has one.
    var superclass: (any Any.Type)? { kind == .class ? word(1) : nil }
}

/// A nominal type descriptor.
struct TypeDescriptor {
    let address: UnsafeRawPointer

    enum Kind {
        case `class`, `struct`, `enum`, other
    }

    private var flags: UInt32 { address.load(as: UInt32.self) }

    var kind: Kind {
        switch flags & 0x1f {
        case 16: .class
        case 17: .struct
        case 18: .enum
        default: .other
        }
    }

    var isGeneric: Bool { flags & 0x80 != 0 }

    /// The name in the source, without what it is nested in.
    var name: String { String(cString: relative(8)!.assumingMemoryBound(to: CChar.self)) }

    /// Whether the type lacks conformances that types have by themselves: it is noncopyable or non-escapable.
    var suppressesCopying: Bool { flags & 0x20 != 0 }

    /// The field descriptor, unless reflection metadata was left out of the build.
    var fields: UnsafeRawPointer? { relative(16) }

    /// For an enum without payloads, the number of its cases.
    var casesWithoutPayload: Int? {
        let payloadCases = address.load(fromByteOffset: 20, as: UInt32.self) & 0x00ff_ffff
        return kind == .enum && payloadCases == 0 ? Int(address.load(fromByteOffset: 24, as: UInt32.self)) : nil
    }

    private func relative(_ offset: Int) -> UnsafeRawPointer? {
        let distance = address.load(fromByteOffset: offset, as: Int32.self)
        return distance == 0 ? nil : address + offset + Int(distance)
    }

    struct GenericHeader {
        var parameters: [UInt8]
        var shapeClassCount = 0
        /// The shape class of each pack of types.
        var packShapeClasses: [Int] = []
        var argumentOffset: Int
    }

    var genericHeader: GenericHeader? {
        guard isGeneric else { return nil }
        let start = address + (kind == .class ? 44 : 28) + 8
        let parameterCount = Int(start.load(as: UInt16.self))
        let requirementCount = Int(start.load(fromByteOffset: 2, as: UInt16.self))
        var header = GenericHeader(
            parameters: (0..<parameterCount).map { start.load(fromByteOffset: 8 + $0, as: UInt8.self) },
            argumentOffset: kind == .class ? classArgumentOffset : 16
        )
        if start.load(fromByteOffset: 6, as: UInt16.self) & 1 != 0 {
            let packs = start + 8 + (parameterCount + 3) / 4 * 4 + requirementCount * 12
            header.shapeClassCount = Int(packs.load(fromByteOffset: 2, as: UInt16.self))
            for index in 0..<Int(packs.load(as: UInt16.self)) {
                let isOfMetadata = packs.load(fromByteOffset: 4 + index * 8, as: UInt16.self) == 0
                let shape = Int(packs.load(fromByteOffset: 4 + index * 8 + 4, as: UInt16.self))
                if isOfMetadata { header.packShapeClasses.append(shape) }
            }
        }
        return header
    }

    private var classArgumentOffset: Int {
        if flags >> 16 & 1 << 13 != 0 { return relative(24)!.load(as: Int.self) }
        if flags >> 16 & 1 << 12 != 0 { return -8 * Int(address.load(fromByteOffset: 24, as: UInt32.self)) }
        let positiveSize = Int(address.load(fromByteOffset: 28, as: UInt32.self))
        return 8 * (positiveSize - Int(address.load(fromByteOffset: 32, as: UInt32.self)))
    }
}
