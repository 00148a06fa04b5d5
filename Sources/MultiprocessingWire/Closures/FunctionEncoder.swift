internal import _MultiprocessingShims

enum ObjectTag: UInt8 {
    case seen, context, genericBox, error, instance, array
}

extension ClosureWriter {
    /// Writes a function: the position of its code, and its context if it has one.
    mutating func put(function: FunctionWords, isAsync: Bool) throws(ClosureError) {
        try nested { (writer) throws(ClosureError) in try writer.putParts(of: function, isAsync: isAsync) }
    }

    private mutating func putParts(of function: FunctionWords, isAsync: Bool) throws(ClosureError) {
        guard let code = UnsafeRawPointer(bitPattern: function.code),
            let image = ProcessImages.containing(function.code),
            image.hasCode(at: function.code, isAsync: isAsync)
        else {
            throw ClosureError(
                .closureNotUnderstood,
                "a function",
                reason: "has its code in none of the program's images"
            )
        }
        try put(position: code, of: "a function")
        put(byte: function.context == nil ? 0 : 1)
        if let context = function.context { try put(object: context) }
    }

    /// Writes a context, or an object that stands in its place.
    mutating func put(object: UnsafeRawPointer) throws(ClosureError) {
        switch objects[object] {
        case .finished(let index):
            put(byte: ObjectTag.seen.rawValue)
            return put(index)
        case .inProgress:
            throw .refused(
                "a captured variable",
                "holds a closure that captures the variable",
                remedy: "break the cycle"
            )
        case nil: break
        }
        switch HeapObjectKind(object) {
        case .context(let metadata):
            try remembering(object) { (writer) throws(ClosureError) in
                writer.put(byte: ObjectTag.context.rawValue)
                try writer.put(context: object, metadata)
            }
        case .genericBox(let type, let offset):
            try remembering(object) { (writer) throws(ClosureError) in
                writer.put(byte: ObjectTag.genericBox.rawValue)
                try writer.put(type: type)
                try writer.put(valueAt: object + offset, type: type)
            }
        case .error:
            put(byte: ObjectTag.error.rawValue)
            try put(error: unsafeBitCast(object, to: (any Error).self))
        case .instance:
            let instance = Unmanaged<AnyObject>.fromOpaque(object).takeUnretainedValue()
            if let array = ArrayBuffer(instance) {
                put(byte: ObjectTag.array.rawValue)
                try put(array: array, in: object)
            } else {
                put(byte: ObjectTag.instance.rawValue)
                try put(instance: instance)
            }
        case .unknown:
            throw ClosureError(
                .closureNotUnderstood,
                "a closure",
                reason: "holds a task or another object of the Swift runtime",
                remedy: "await what it needs before, and capture the value"
            )
        }
    }

    private mutating func remembering(
        _ object: UnsafeRawPointer,
        _ body: (inout ClosureWriter) throws(ClosureError) -> Void
    ) throws(ClosureError) {
        objects[object] = .inProgress
        try body(&self)
        objects[object] = .finished(index: finishedObjects)
        finishedObjects += 1
    }

    private mutating func put(array: ArrayBuffer, in object: UnsafeRawPointer) throws(ClosureError) {
        func open<E>(_: E.Type) throws(ClosureError) {
            try put(value: unsafeBitCast(object, to: [E].self))
        }
        let type = array.elementType
        try put(type: type)
        try open(type)
    }

    private mutating func put(context: UnsafeRawPointer, _ metadata: ContextMetadata) throws(ClosureError) {
        guard let captures = metadata.captures else {
            throw ClosureError(
                .closureNotUnderstood,
                "a closure",
                reason: "has no description of its captures",
                remedy: "build without -disable-reflection-metadata"
            )
        }
        try put(position: metadata.address, of: "the description of a closure")
        let environment = try putBindings(of: context + 16, captures)
        var layout = StructLayout(startingAt: 16 + captures.bindingCount * 8)
        for capture in captures.captures {
            layout.append(try CaptureKind(capture, in: environment))
        }
        guard metadata.agrees(with: layout) else {
            throw ClosureError(.closureNotUnderstood, "a closure", reason: "has its captures at unknown places")
        }
        try put(elements: layout, at: context)
    }

    private mutating func put(elements layout: StructLayout, at start: UnsafeRawPointer) throws(ClosureError) {
        for (kind, offset) in layout.elements { try put(capture: kind, at: start + offset) }
    }

    private mutating func put(capture kind: CaptureKind, at address: UnsafeRawPointer) throws(ClosureError) {
        switch kind {
        case .value(let type):
            try put(valueAt: address, type: type)
        case .function(let isAsync, let isOptional):
            let function = FunctionWords(at: address)
            if isOptional {
                put(byte: function.code == 0 ? 0 : 1)
                if function.code == 0 { return }
            }
            try put(function: function, isAsync: isAsync)
        case .box:
            let box = address.load(as: UnsafeRawPointer.self)
            try nested { (writer) throws(ClosureError) in try writer.put(object: box) }
        case .bits(let size):
            for index in 0..<size { put(byte: address.load(fromByteOffset: index, as: UInt8.self)) }
        case .fields(let fields):
            try put(elements: StructLayout(fields), at: address)
        case .enumCase(let size, _):
            for index in 0..<size { put(byte: address.load(fromByteOffset: index, as: UInt8.self)) }
        case .nothing: break
        }
    }
}

// MARK: - Bindings of generic contexts

extension ClosureWriter {
    /// Writes the generic parameters' types and the witness tables in front of the captures.
    private mutating func putBindings(
        of start: UnsafeRawPointer,
        _ captures: CaptureDescriptor
    ) throws(ClosureError) -> GenericEnvironment {
        var environment = GenericEnvironment()
        var known: [any Any.Type] = []
        var metadataWords: Set<Int> = []
        for source in captures.sources {
            guard case .binding(let index) = source.place else { continue }
            guard index < captures.bindingCount, !source.type.hasSuffix("QP") else { throw Self.unsupportedContext }
            let type = start.load(fromByteOffset: index * 8, as: Any.Type.self)
            metadataWords.insert(index)
            known.append(type)
            if let parameter = source.type.genericParameter {
                environment.add(type, depth: parameter.depth, index: parameter.index)
            }
        }
        for source in captures.sources {
            if case .binding = source.place { continue }
            guard case .argument(let argument, let capture) = source.place,
                let parameter = source.type.genericParameter
            else { throw Self.unsupportedContext }
            let type = try genericArgument(argument, ofObject: capture, captures, at: start, environment)
            known.append(type)
            environment.add(type, depth: parameter.depth, index: parameter.index)
        }
        for type in known { try put(type: type) }
        for name in captures.captures {
            if let type = environment.resolve(name) { known.append(type) }
        }
        for index in 0..<captures.bindingCount where !metadataWords.contains(index) {
            try put(witnessTable: start.load(fromByteOffset: index * 8, as: UnsafeRawPointer.self), of: known)
        }
        return environment
    }

    private static let unsupportedContext = ClosureError(
        .closureNotUnderstood,
        "a closure",
        reason:
            "is written in a generic function whose parameters it holds in a form that cannot travel (parameter packs)",
        remedy: "write it in a function that is not generic over a pack"
    )

    /// A generic argument of the class of a captured object.
    private func genericArgument(
        _ argument: Int,
        ofObject index: Int,
        _ captures: CaptureDescriptor,
        at start: UnsafeRawPointer,
        _ environment: GenericEnvironment
    ) throws(ClosureError) -> any Any.Type {
        var layout = StructLayout(startingAt: captures.bindingCount * 8)
        for name in captures.captures.prefix(index) { layout.append(try CaptureKind(name, in: environment)) }
        let object = start.load(fromByteOffset: layout.nextOffset(alignment: 8), as: UnsafeRawPointer.self)
        guard case .instance = HeapObjectKind(object) else { throw Self.unsupportedContext }
        var type: (any Any.Type)? = object.load(as: Any.Type.self)
        while let current = type {
            let metadata = TypeMetadata(current)
            if let descriptor = metadata.descriptor, descriptor.isGeneric,
                let arguments = metadata.genericArguments(descriptor), argument < arguments.count,
                case .type(let result) = arguments[argument]
            {
                return result
            }
            type = metadata.superclass
        }
        throw Self.unsupportedContext
    }

    /// Writes a witness table as the type that conforms and the protocol, from which the reader finds it again.
    ///
    /// Its first word is the conformance descriptor (ABI/Metadata.h): protocol, type, pattern, flags, 4 bytes each.
    private mutating func put(
        witnessTable: UnsafeRawPointer,
        of types: [any Any.Type]
    ) throws(ClosureError) {
        let conformance = witnessTable.load(as: UnsafeRawPointer.self)
        let reference = Int(conformance.load(as: Int32.self))
        let target = conformance + (reference & ~1)
        let protocolDescriptor = reference & 1 == 0 ? target : target.load(as: UnsafeRawPointer.self)
        var candidates = types
        for type in types { candidates += Self.parts(of: type) }
        let kind = conformance.load(fromByteOffset: 12, as: UInt32.self) >> 3 & 7
        if kind < 2 {
            let type = conformance + 4 + Int(conformance.load(fromByteOffset: 4, as: Int32.self))
            var lookup = TypeLookup()
            lookup.append(descriptor: kind == 0 ? type : type.load(as: UnsafeRawPointer.self))
            if let type = lookup.resolve() { candidates.append(type) }
        }
        for type in candidates
        where swift_conformsToProtocol(TypeMetadata(type).address, protocolDescriptor) == witnessTable {
            try put(type: type)
            return try put(position: protocolDescriptor, of: "a protocol")
        }
        throw Self.unsupportedContext
    }

    /// The generic arguments of a type, theirs, and so on.
    private static func parts(of type: any Any.Type, depth: Int = 0) -> [any Any.Type] {
        let metadata = TypeMetadata(type)
        guard depth < 4, let descriptor = metadata.descriptor,
            let arguments = metadata.genericArguments(descriptor)
        else { return [] }
        return arguments.flatMap { argument -> [any Any.Type] in
            switch argument {
            case .type(let type): [type] + parts(of: type, depth: depth + 1)
            case .pack(let types): types
            }
        }
    }
}

extension ProcessImage {
    /// Whether a function that starts at an address can be called: only a function's first instruction will do.
    func hasCode(at address: UInt, isAsync: Bool) -> Bool {
        guard isAsync else { return hasFunction(at: address) }
        guard address & 3 == 0, holds(address, size: 8), let record = UnsafeRawPointer(bitPattern: address) else {
            return false
        }
        return hasFunction(at: address &+ UInt(bitPattern: Int(record.load(as: Int32.self))))
    }
}

/// The buffer of an array, which stands in place of a context that would hold nothing but the array.
struct ArrayBuffer {
    let elementType: any Any.Type

    init?(_ object: AnyObject) {
        let type: any Any.Type = type(of: object)
        let metadata = TypeMetadata(type)
        guard let descriptor = metadata.descriptor else { return nil }
        switch (descriptor.name, metadata.genericArguments(descriptor)?.first) {
        case ("_ContiguousArrayStorage", .type(let element)): elementType = element
        case ("__EmptyArrayStorage", _): elementType = Never.self
        default: return nil
        }
    }
}
