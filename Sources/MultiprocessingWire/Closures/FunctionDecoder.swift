internal import _MultiprocessingShims

/// A function that was rebuilt.
struct FunctionSlot: Slot {
    let code: UInt
    let context: HeapReference?

    /// Stores the function, with a reference of its own to the context.
    func initialize(_ place: UnsafeMutableRawPointer) {
        FunctionWords(code: code, context: context?.retained()).store(at: place)
    }
}

private struct BoxSlot: Slot {
    let object: HeapReference
    func initialize(_ place: UnsafeMutableRawPointer) {
        place.storeBytes(of: object.retained(), as: UnsafeMutableRawPointer.self)
    }
}

private struct BytesSlot: Slot {
    let bytes: [UInt8]
    func initialize(_ place: UnsafeMutableRawPointer) { place.copyMemory(from: bytes, byteCount: bytes.count) }
}

private struct FieldsSlot: Slot {
    let fields: [(slot: any Slot, offset: Int)]
    func initialize(_ place: UnsafeMutableRawPointer) {
        for (slot, offset) in fields { slot.initialize(place + offset) }
    }
}

extension ClosureReader {
    /// Reads a function and rebuilds it.
    mutating func function(isAsync: Bool) throws(ClosureError) -> FunctionSlot {
        try nested { (reader) throws(ClosureError) in
            let (address, image) = try reader.position(size: 1)
            let code = UInt(bitPattern: address)
            guard image.hasCode(at: code, isAsync: isAsync) else {
                throw .malformed("an address is not that of a function")
            }
            let context = try reader.byte() == 0 ? nil : try reader.object()
            return FunctionSlot(code: code, context: context)
        }
    }

    /// Reads a context, or an object that stands in its place.
    private mutating func object() throws(ClosureError) -> HeapReference {
        switch ObjectTag(rawValue: try byte()) {
        case .seen:
            let index = try word()
            guard index < objects.count else { throw .malformed("they refer to an object that does not exist") }
            return objects[Int(index)]
        case .context:
            let object = try context()
            objects.append(object)
            return object
        case .genericBox:
            let object = try genericBox()
            objects.append(object)
            return object
        case .error:
            // Within something: passed by itself to a generic function, an error is opened and loses its box.
            return adopt(CollectionOfOne(try value((any Error).self)))
        case .instance:
            return adopt(try instance())
        case .array:
            func open<E>(_: E.Type) throws(ClosureError) -> HeapReference { adopt(try value([E].self)) }
            return try open(try type())
        case nil:
            throw .malformed("no object starts like this")
        }
    }

    /// Takes the one word of a value that is a counted reference and nothing else.
    private func adopt<T>(_ value: T) -> HeapReference {
        let copy = UnsafeMutablePointer<T>.allocate(capacity: 1)
        defer { copy.deallocate() }
        copy.initialize(to: value)
        return HeapReference(owned: UnsafeRawPointer(copy).load(as: UnsafeMutableRawPointer.self))
    }

    private mutating func context() throws(ClosureError) -> HeapReference {
        // Metadata of kind 0x400 has two words in front: a destroying function, and value witnesses.
        let (address, image) = try position(size: 24)
        let metadata = ContextMetadata(address: address)
        guard UInt(bitPattern: address) & 7 == 0, metadata.hasContextKind,
            let captures = metadata.captures, UInt(bitPattern: captures.address) & 3 == 0,
            mp_swift_section_has(mp_swift_section_captures, captures.address),
            image.holds(UInt(bitPattern: address) - 16, size: 8),
            image.hasFunction(at: (address - 16).load(as: UInt.self))
        else { throw .malformed("an address is not that of a closure's description") }

        let (environment, bindings) = try readBindings(captures)
        var layout = StructLayout(startingAt: 16 + captures.bindingCount * 8)
        var slots: [any Slot] = []
        for name in captures.captures {
            let kind = try CaptureKind(name, in: environment)
            layout.append(kind)
            slots.append(try slot(kind))
        }
        guard metadata.agrees(with: layout) else { throw .malformed("a closure's captures are at unknown places") }
        // Nothing can fail from here on: the object is never seen half-built.
        let object = swift_allocObject(address, (layout.size + 7) & ~7, max(layout.alignment, 8) - 1)
        for (index, word) in bindings.enumerated() {
            object.storeBytes(of: word, toByteOffset: 16 + index * 8, as: UnsafeRawPointer.self)
        }
        for (slot, element) in zip(slots, layout.elements) { slot.initialize(object + element.offset) }
        return HeapReference(owned: object)
    }

    private mutating func slot(_ kind: CaptureKind) throws(ClosureError) -> any Slot {
        switch kind {
        case .value(let type):
            return try slot(type)
        case .function(let isAsync, let isOptional):
            if isOptional, try byte() == 0 { return BytesSlot(bytes: [UInt8](repeating: 0, count: 16)) }
            return try function(isAsync: isAsync)
        case .box:
            return BoxSlot(object: try nested { (reader) throws(ClosureError) in try reader.object() })
        case .bits(let size):
            return try bytes(size)
        case .fields(let kinds):
            var fields: [(any Slot, Int)] = []
            for (kind, offset) in StructLayout(kinds).elements { fields.append((try slot(kind), offset)) }
            return FieldsSlot(fields: fields)
        case .enumCase(let size, let count):
            let slot = try bytes(size)
            guard slot.bytes.reversed().reduce(0, { $0 << 8 | Int($1) }) < count else {
                throw .malformed("an enum has no such case")
            }
            return slot
        case .nothing:
            return BytesSlot(bytes: [])
        }
    }

    private mutating func bytes(_ count: Int) throws(ClosureError) -> BytesSlot {
        var bytes: [UInt8] = []
        for _ in 0..<count { bytes.append(try byte()) }
        return BytesSlot(bytes: bytes)
    }

    /// Reads what is in front of the captures of a generic context.
    private mutating func readBindings(
        _ captures: CaptureDescriptor
    ) throws(ClosureError) -> (GenericEnvironment, [UnsafeRawPointer]) {
        var environment = GenericEnvironment()
        var words = [UnsafeRawPointer?](repeating: nil, count: captures.bindingCount)
        // The writer wrote the types of bindings first, then those found in captured objects.
        let sources = captures.sources
        for isBinding in [true, false] {
            for source in sources {
                if case .binding(let index) = source.place {
                    guard isBinding, index < words.count else { continue }
                    let type = try type()
                    words[index] = TypeMetadata(type).address
                    if let parameter = source.type.genericParameter {
                        environment.add(type, depth: parameter.depth, index: parameter.index)
                    }
                } else if !isBinding, let parameter = source.type.genericParameter {
                    environment.add(try type(), depth: parameter.depth, index: parameter.index)
                }
            }
        }
        for index in words.indices where words[index] == nil {
            let type = try type()
            guard let table = swift_conformsToProtocol(TypeMetadata(type).address, try protocolDescriptor()) else {
                throw .malformed("'\(type)' lacks a conformance")
            }
            words[index] = table
        }
        return (environment, words.compactMap { $0 })
    }

    private mutating func genericBox() throws(ClosureError) -> HeapReference {
        let type = try type()
        let slot = try slot(type)
        var place: UnsafeMutableRawPointer?
        let box = mp_swift_allocate_box(TypeMetadata(type).address, &place)
        slot.initialize(place!)
        return HeapReference(owned: box)
    }
}
