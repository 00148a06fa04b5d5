internal import _MultiprocessingShims

/// A type that is not `Codable` but travels all the same, because its parts do.
protocol StructurallyCodable {
    func encode(into writer: inout ClosureWriter) throws(ClosureError)
    static func decode(from reader: inout ClosureReader) throws(ClosureError) -> Self
}

// Values are written by what their type is, in this order: a class instance by its dynamic type's `Codable`; a `Codable`
// value by its conformance; the standard library's other types by `StructurallyCodable`; tuples, existentials, metatypes
// and functions by their structure. The reader knows the static type from the function's own metadata, as the writer did.

extension ClosureWriter {
    /// Writes a value of any type that can travel.
    mutating func put<T>(value: T) throws(ClosureError) {
        try nested { (writer) throws(ClosureError) in try writer.putContent(of: value) }
    }

    private mutating func putContent<T>(of value: T) throws(ClosureError) {
        let metadata = TypeMetadata(T.self)
        if metadata.kind == .class { return try put(instance: value as AnyObject) }
        if let type = T.self as? any Codable.Type { return try put(value, as: type) }
        if let value = value as? any StructurallyCodable, T.self is any StructurallyCodable.Type {
            return try value.encode(into: &self)
        }
        switch metadata.kind {
        case .tuple:
            let elements = metadata.tuple.elements
            try borrow(value) { (writer, start) throws(ClosureError) in
                for element in elements { try writer.put(valueAt: start + element.offset, type: element.type) }
            }
        case .existential:
            try put(existential: value)
        case .metatype, .existentialMetatype:
            guard let type = value as? any Any.Type else { fallthrough }
            try put(type: type)
        case .function:
            guard let isAsync = metadata.functionIsAsync else {
                throw .refused("\(T.self)", "is a kind of function that cannot travel")
            }
            try borrow(value) { (writer, start) throws(ClosureError) in
                try writer.put(function: FunctionWords(at: start), isAsync: isAsync)
            }
        default:
            throw .refused("\(T.self)", "is not Codable", remedy: ClosureError.makeCodable)
        }
    }

    /// Writes an error as `any Error`: passed to a generic function, it would be opened and lose its dynamic type.
    mutating func put(error: any Error) throws(ClosureError) {
        let copy = UnsafeMutablePointer<any Error>.allocate(capacity: 1)
        copy.initialize(to: error)
        defer {
            copy.deinitialize(count: 1)
            copy.deallocate()
        }
        try put(valueAt: copy, type: (any Error).self)
    }

    /// Writes the value of the given type that is at an address.
    mutating func put(valueAt address: UnsafeRawPointer, type: any Any.Type) throws(ClosureError) {
        guard TypeMetadata(type).isCopyable else {
            throw .refused(
                "\(type)",
                "cannot be copied, as sending it would do",
                remedy: "make it inside the closure"
            )
        }
        func open<T>(_: T.Type) throws(ClosureError) {
            try put(value: address.assumingMemoryBound(to: T.self).pointee)
        }
        try open(type)
    }

    /// Gives the address of a copy of a value.
    private mutating func borrow<T>(
        _ value: T,
        _ body: (inout ClosureWriter, UnsafeRawPointer) throws(ClosureError) -> Void
    ) throws(ClosureError) {
        let copy = UnsafeMutablePointer<T>.allocate(capacity: 1)
        copy.initialize(to: value)
        defer {
            copy.deinitialize(count: 1)
            copy.deallocate()
        }
        try body(&self, UnsafeRawPointer(copy))
    }

    private mutating func put<T, C: Codable>(_ value: T, as type: C.Type) throws(ClosureError) {
        // T and C are the same type, which the compiler cannot know: `as!` would look into optionals and existentials.
        let arrays: [[UInt8]]
        do {
            arrays = try withUnsafePointer(to: value) { value in
                try TransferContext.with(transfer) {
                    try BinaryEncoder().encodeToArrays(
                        UnsafeRawPointer(value).assumingMemoryBound(to: C.self).pointee
                    )
                }
            }
        } catch {
            throw ClosureError(.valueCodingFailed, "\(C.self)", reason: "could not be encoded: \(error)")
        }
        put(encoded: arrays)
    }

    /// Writes an object by its dynamic type, so that a subclass arrives as one. Identity is lost: it is a copy.
    mutating func put(instance object: AnyObject) throws(ClosureError) {
        let type: any Any.Type = Swift.type(of: object)
        guard let codable = type as? any Codable.Type else {
            if object is any Actor {
                throw .refused(
                    "\(type)",
                    "is an actor, whose state stays in its process",
                    remedy: "capture what the body needs of it: let x = await actor.x"
                )
            }
            if type is AnyKeyPath.Type {
                throw .refused(
                    "\(type)",
                    "is a key path, which cannot be sent",
                    remedy: "use a closure { $0.property }"
                )
            }
            throw .refused(
                "\(type)",
                "is a class that is not Codable (or the storage of a struct that holds nothing else)",
                remedy: ClosureError.makeCodable
            )
        }
        func open<C: Codable>(_: C.Type) throws(ClosureError) { try put(object as! C, as: C.self) }
        try put(type: type)
        try open(codable)
    }

    /// Writes the dynamic type of an existential's value, then the value.
    private mutating func put<T>(existential value: T) throws(ClosureError) {
        func open<D>(_: D.Type) throws(ClosureError) {
            guard D.self != T.self, let concrete = value as? D else {
                throw .refused("\(T.self)", "holds a value that cannot be taken out")
            }
            try put(type: D.self)
            try put(value: concrete)
        }
        let dynamicType: any Any.Type = type(of: value as Any)
        try open(dynamicType)
    }
}

extension ClosureReader {
    /// Reads a value of a type that the writer wrote it by.
    mutating func value<T>(_: T.Type) throws(ClosureError) -> T {
        try nested { reader throws(ClosureError) in try reader.readValue() }
    }

    private mutating func readValue<T>() throws(ClosureError) -> T {
        let metadata = TypeMetadata(T.self)
        if metadata.kind == .class { return try cast(instance()) }
        if let type = T.self as? any Codable.Type {
            func open<C: Codable>(_: C.Type) throws(ClosureError) -> T {
                let value = try codable(C.self)
                return withUnsafePointer(to: value) { UnsafeRawPointer($0).assumingMemoryBound(to: T.self).pointee }
            }
            return try open(type)
        }
        if let type = T.self as? any StructurallyCodable.Type {
            func open<S: StructurallyCodable>(_: S.Type) throws(ClosureError) -> T {
                let value = try S.decode(from: &self)
                return withUnsafePointer(to: value) { UnsafeRawPointer($0).assumingMemoryBound(to: T.self).pointee }
            }
            return try open(type)
        }
        switch metadata.kind {
        case .tuple:
            var slots: [(slot: any Slot, offset: Int)] = []
            for element in metadata.tuple.elements { slots.append((try slot(element.type), element.offset)) }
            return build { start in for (slot, offset) in slots { slot.initialize(start + offset) } }
        case .existential:
            let type = try type()
            func open<D>(_: D.Type) throws(ClosureError) -> T {
                guard D.self != T.self else { throw .malformed("an existential holds itself") }
                return try cast(value(D.self))
            }
            return try open(type)
        case .metatype, .existentialMetatype:
            return try cast(type())
        case .function:
            guard let isAsync = metadata.functionIsAsync else { break }
            let function = try function(isAsync: isAsync)
            return build { function.initialize($0) }
        default: break
        }
        throw .malformed("they hold a '\(T.self)', which cannot travel")
    }

    /// Reads a value of a type known at run time only.
    mutating func slot(_ type: any Any.Type) throws(ClosureError) -> any Slot {
        func open<T>(_: T.Type) throws(ClosureError) -> any Slot { ValueSlot(value: try value(T.self)) }
        return try open(type)
    }

    /// Reads an object of the dynamic type that stands in front of it.
    mutating func instance() throws(ClosureError) -> AnyObject {
        guard let type = try type() as? any (Codable & AnyObject).Type else {
            throw .malformed("they hold an object that is not Codable")
        }
        func open<C: Codable & AnyObject>(_: C.Type) throws(ClosureError) -> AnyObject { try codable(C.self) }
        return try open(type)
    }

    private mutating func codable<C: Codable>(_: C.Type) throws(ClosureError) -> C {
        let bytes = try encoded()
        do {
            return try TransferContext.with(transfer) { try BinaryDecoder().decode(C.self, from: bytes) }
        } catch {
            throw ClosureError(.valueCodingFailed, "\(C.self)", reason: "could not be decoded: \(error)")
        }
    }

    private func cast<V, T>(_ value: V) throws(ClosureError) -> T {
        guard let result = value as? T else { throw .malformed("a '\(V.self)' stands where a '\(T.self)' should") }
        return result
    }

    private func build<T>(_ initialize: (UnsafeMutableRawPointer) -> Void) -> T {
        let memory = UnsafeMutablePointer<T>.allocate(capacity: 1)
        defer { memory.deallocate() }
        initialize(UnsafeMutableRawPointer(memory))
        return memory.move()
    }
}

/// A value that was read and waits to be put in its place, so that a failure in the middle leaves nothing half-built.
protocol Slot {
    func initialize(_ place: UnsafeMutableRawPointer)
}

struct ValueSlot<T>: Slot {
    var value: T
    func initialize(_ place: UnsafeMutableRawPointer) { place.initializeMemory(as: T.self, to: value) }
}
