internal import Synchronization
internal import _MultiprocessingShims

/// A type on its way to another process of the same executable; private and local types travel as well.
///
/// A type is written as the position of its descriptor in the program and its generic arguments, not by name: the names
/// of private and local types hold addresses. Making one costs microseconds; resolving one asks the Swift runtime.
public struct TypeReference: Hashable, Sendable, Codable {
    private let bytes: [UInt8]

    /// Refers to a type.
    ///
    /// - Throws: ``ClosureError`` if the type could not be found again from what would be sent.
    public init(_ type: any Any.Type) throws(ClosureError) {
        var writer = ClosureWriter()
        try writer.put(type: type)
        bytes = writer.finish()
    }

    /// Finds the type in this process.
    ///
    /// - Throws: ``ClosureError`` if the reference was made by another build of the program, or is damaged.
    public func resolve() throws(ClosureError) -> any Any.Type {
        let result: Result<any Any.Type, ClosureError> = bytes.withUnsafeBytes { bytes in
            do throws(ClosureError) {
                var reader = try ClosureReader(bytes)
                return .success(try reader.type())
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }
}

private enum TypeTag: UInt8 {
    case nominal, tuple, existential, metatype, name
}

extension ClosureWriter {
    /// Writes a type, and makes sure that it can be found again.
    mutating func put(type: any Any.Type) throws(ClosureError) {
        let found = try nested { (writer) throws(ClosureError) in try writer.putStructure(of: type) }
        guard found == type else {
            throw ClosureError(
                .typeUnavailable,
                "\(type)",
                reason: "cannot be found by the Swift runtime from its description",
                remedy: "use a type that is not private to a function"
            )
        }
    }

    /// Writes a type and returns what a reader would find.
    private mutating func putStructure(of type: any Any.Type) throws(ClosureError) -> (any Any.Type)? {
        let metadata = TypeMetadata(type)
        var lookup = TypeLookup()
        switch metadata.kind {
        case .class, .struct, .enum:
            guard let descriptor = metadata.descriptor, let arguments = metadata.genericArguments(descriptor) else {
                break
            }
            put(byte: TypeTag.nominal.rawValue)
            try put(position: descriptor.address, of: "\(type)")
            put(arguments.count)
            for argument in arguments {
                switch argument {
                case .type(let type):
                    put(byte: 0)
                    try put(type: type)
                case .pack(let types):
                    put(byte: 1)
                    put(types.count)
                    for type in types { try put(type: type) }
                }
            }
            lookup.append(nominal: descriptor.address, arguments)
            return lookup.resolve()
        case .tuple:
            let (elements, labels) = metadata.tuple
            put(byte: TypeTag.tuple.rawValue)
            put(elements.count)
            put(labels)
            for element in elements { try put(type: element.type) }
            lookup.append(tuple: elements.map(\.type), labels: labels)
            return lookup.resolve()
        case .existential:
            let existential = metadata.existential
            put(byte: TypeTag.existential.rawValue)
            put(byte: (existential.isClassBound ? 1 : 0) | (existential.superclass == nil ? 0 : 2))
            if let superclass = existential.superclass { try put(type: superclass) }
            put(existential.protocols.count)
            for address in existential.protocols { try put(position: address, of: "\(type)") }
            lookup.append(existential: existential)
            return lookup.resolve()
        case .metatype, .existentialMetatype:
            put(byte: TypeTag.metatype.rawValue)
            put(byte: metadata.kind == .metatype ? 0 : 1)
            try put(type: metadata.instanceType)
            lookup.append(metatypeOf: metadata.instanceType, isExistential: metadata.kind == .existentialMetatype)
            return lookup.resolve()
        case .function, .other: break
        }
        // By name: fine for functions and the like, unless something private is part of them. Its name is an address.
        guard let name = _mangledTypeName(type), !name.contains("$") else { return nil }
        put(byte: TypeTag.name.rawValue)
        put(name)
        return _typeByName(name)
    }
}

extension ClosureReader {
    /// Reads a type and finds it here.
    mutating func type() throws(ClosureError) -> any Any.Type {
        try nested { reader throws(ClosureError) in try reader.readType() }
    }

    private mutating func readType() throws(ClosureError) -> any Any.Type {
        var lookup = TypeLookup()
        switch TypeTag(rawValue: try byte()) {
        case .nominal:
            let address = try position(size: 28).address
            guard KnownDescriptors.has(address, in: mp_swift_section_types) else {
                throw .malformed("an address is not that of a type")
            }
            var arguments: [TypeMetadata.GenericArgument] = []
            for _ in 0..<(try count()) {
                if try byte() == 0 {
                    arguments.append(.type(try type()))
                } else {
                    arguments.append(.pack(try types()))
                }
            }
            lookup.append(nominal: address, arguments)
        case .tuple:
            let count = try count()
            let labels = try string()
            var elements: [any Any.Type] = []
            for _ in 0..<count { elements.append(try type()) }
            guard labels.utf8.allSatisfy({ $0 != 0 }) else { throw .malformed("a tuple's labels") }
            lookup.append(tuple: elements, labels: labels)
        case .existential:
            let flags = try byte()
            let superclass: (any Any.Type)? = flags & 2 == 0 ? nil : try type()
            var protocols: [UnsafeRawPointer] = []
            for _ in 0..<(try count()) { protocols.append(try protocolDescriptor()) }
            lookup.append(existential: (protocols, flags & 1 != 0, superclass))
        case .metatype:
            let isExistential = try byte() != 0
            lookup.append(metatypeOf: try type(), isExistential: isExistential)
        case .name:
            guard let type = _typeByName(try string()) else { throw .malformed("they name an unknown type") }
            return type
        case nil:
            throw .malformed("no type starts like this")
        }
        guard let type = lookup.resolve() else { throw .malformed("they describe a type that does not exist") }
        return type
    }

    private mutating func types() throws(ClosureError) -> [any Any.Type] {
        var types: [any Any.Type] = []
        for _ in 0..<(try count()) { types.append(try type()) }
        return types
    }

    mutating func protocolDescriptor() throws(ClosureError) -> UnsafeRawPointer {
        let address = try position(size: 24).address
        guard KnownDescriptors.has(address, in: mp_swift_section_protocols) else {
            throw .malformed("an address is not that of a protocol")
        }
        return address
    }
}

extension TypeLookup {
    fileprivate mutating func append(nominal: UnsafeRawPointer, _ arguments: [TypeMetadata.GenericArgument]) {
        append(descriptor: nominal)
        guard !arguments.isEmpty else { return }
        append("y")
        for argument in arguments {
            switch argument {
            case .type(let type): append(type)
            case .pack(let types):
                append(list: types)
                append("QP")
            }
        }
        append("G")
    }

    /// A list of types: `y` if it is empty, otherwise a `_` stands behind the first.
    private mutating func append(list types: [any Any.Type], labels: [Substring] = []) {
        if types.isEmpty { append("y") }
        for (index, type) in types.enumerated() {
            append(type)
            if index < labels.count, !labels[index].isEmpty { append("\(labels[index].utf8.count)\(labels[index])") }
            if index == 0 { append("_") }
        }
    }

    fileprivate mutating func append(tuple elements: [any Any.Type], labels: String) {
        append(list: elements, labels: labels.split(separator: " ", omittingEmptySubsequences: false))
        append("t")
    }

    fileprivate mutating func append(
        existential: (protocols: [UnsafeRawPointer], isClassBound: Bool, superclass: (any Any.Type)?)
    ) {
        if existential.protocols.isEmpty { append("y") }
        for (index, address) in existential.protocols.enumerated() {
            append(descriptor: address)
            if index == 0 { append("_") }
        }
        if let superclass = existential.superclass {
            append(superclass)
            append("Xc")
        } else {
            append(existential.isClassBound ? "Xl" : "p")
        }
    }

    fileprivate mutating func append(metatypeOf type: any Any.Type, isExistential: Bool) {
        append(type)
        append(isExistential ? "Xp" : "m")
    }
}

/// Descriptors that were found in the program's tables before: the tables are long.
enum KnownDescriptors {
    private static let known = Mutex<(generation: UInt64, addresses: Set<UInt>)>((0, []))

    static func has(_ address: UnsafeRawPointer, in section: mp_swift_section) -> Bool {
        known.withLock { known in
            let generation = mp_image_generation()
            if known.generation != generation { known = (generation, []) }
            // Types and protocols are aligned to 4 bytes: the low bits are free to say which of them this one is.
            let key = UInt(bitPattern: address) | UInt(section.rawValue & 3)
            if known.addresses.contains(key) { return true }
            let found = UInt(bitPattern: address) & 3 == 0 && mp_swift_section_has(section, address)
            if found { known.addresses.insert(key) }
            return found
        }
    }
}
