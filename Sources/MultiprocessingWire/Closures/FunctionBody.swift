internal import _MultiprocessingShims

// Functions pass between the two ends as generic structs of these four types. The generics matter: a function stored in
// one is in the most general form for its type, so both ends agree on the calling convention by construction, whatever
// the client's optimiser knows. Nothing here may be specialised or inlined into a client for the same reason.

/// One of the kinds of function that travel, of some concrete type.
protocol FunctionBody: Sendable {
    /// Whether calling it may suspend; synchronous ones can be called with no concurrency runtime started.
    static var isAsync: Bool { get }

    /// Decodes arguments, calls the function without suspending, and encodes what it returns.
    func callNow(_ arguments: inout ClosureReader) throws -> EncodedPieces

    /// Decodes arguments, calls the function, and encodes what it returns.
    func call(_ arguments: inout ClosureReader) async throws -> EncodedPieces

    /// Types of which values must travel for the function to be called from outside.
    static var signature: [any Any.Type] { get }
}

extension FunctionBody {
    static var isAsync: Bool { false }
    func call(_ arguments: inout ClosureReader) async throws -> EncodedPieces { try callNow(&arguments) }
}

struct SynchronousBody<Result>: FunctionBody {
    let function: @Sendable () throws -> Result

    func callNow(_ arguments: inout ClosureReader) throws -> EncodedPieces { try ResultCoding.encode(function()) }
    static var signature: [any Any.Type] { [Result.self] }
}

struct AsynchronousBody<Result>: FunctionBody {
    let function: @Sendable @concurrent () async throws -> Result

    static var isAsync: Bool { true }
    func callNow(_ arguments: inout ClosureReader) throws -> EncodedPieces { throw Self.mustSuspend }
    func call(_ arguments: inout ClosureReader) async throws -> EncodedPieces {
        try await ResultCoding.encode(function())
    }
    static var signature: [any Any.Type] { [Result.self] }
}

struct SynchronousFunctionBody<Result, each Argument>: FunctionBody {
    let function: @Sendable (repeat each Argument) throws -> Result

    func callNow(_ arguments: inout ClosureReader) throws -> EncodedPieces {
        let values = (repeat try arguments.value((each Argument).self))
        return try ResultCoding.encode(function(repeat each values))
    }
    static var signature: [any Any.Type] { types(repeat (each Argument).self) + [Result.self] }
}

struct AsynchronousFunctionBody<Result, each Argument: Sendable>: FunctionBody {
    let function: @Sendable @concurrent (repeat each Argument) async throws -> Result

    static var isAsync: Bool { true }
    func callNow(_ arguments: inout ClosureReader) throws -> EncodedPieces { throw Self.mustSuspend }
    func call(_ arguments: inout ClosureReader) async throws -> EncodedPieces {
        let values = (repeat try arguments.value((each Argument).self))
        return try await ResultCoding.encode(function(repeat each values))
    }
    static var signature: [any Any.Type] { types(repeat (each Argument).self) + [Result.self] }
}

func types<each T>(_ type: repeat (each T).Type) -> [any Any.Type] {
    var types: [any Any.Type] = []
    repeat types.append(each type)
    return types
}

extension FunctionBody {
    static var mustSuspend: ClosureError {
        ClosureError(.signatureMismatch, "an async function", reason: "cannot be called without suspending")
    }
}

/// Results come back as values of a type that both ends know.
enum ResultCoding {
    static func encode<R>(_ result: R) throws(ClosureError) -> EncodedPieces {
        var writer = ClosureWriter()
        try writer.put(value: result)
        return writer.pieces()
    }

    static func decode<R>(
        _ bytes: UnsafeRawBufferPointer,
        objects: [any AnyObject & Sendable],
        as type: R.Type
    ) throws(ClosureError) -> R {
        var reader = try ClosureReader(bytes, objects: objects)
        return try reader.value(R.self)
    }
}

// MARK: - Between bodies and bytes

extension ClosureWriter {
    /// Writes the type of the body and the function in it.
    @inline(never) @_optimize(none) @_semantics("optimize.sil.specialize.generic.never")
    mutating func put<Body: FunctionBody>(body: Body) throws(ClosureError) {
        try put(type: Body.self)
        let copy = UnsafeMutablePointer<Body>.allocate(capacity: 1)
        copy.initialize(to: body)
        defer {
            copy.deinitialize(count: 1)
            copy.deallocate()
        }
        try put(function: FunctionWords(at: UnsafeRawPointer(copy)), isAsync: Body.isAsync)
    }
}

extension ClosureReader {
    /// Reads a body of whatever type it has.
    mutating func anyBody() throws(ClosureError) -> any FunctionBody {
        guard let type = try type() as? any FunctionBody.Type else { throw .malformed("they hold no function") }
        func open<Body: FunctionBody>(_: Body.Type) throws(ClosureError) -> any FunctionBody { try rebuild(Body.self) }
        return try open(type)
    }

    /// Reads a body that must be of the given type.
    mutating func body<Body: FunctionBody>(_: Body.Type) throws(ClosureError) -> Body {
        let type = try type()
        guard type == Body.self else {
            throw ClosureError(.signatureMismatch, "\(type)", reason: "is what was sent, '\(Body.self)' was expected")
        }
        return try rebuild(Body.self)
    }

    @inline(never) @_optimize(none) @_semantics("optimize.sil.specialize.generic.never")
    private mutating func rebuild<Body: FunctionBody>(_: Body.Type) throws(ClosureError) -> Body {
        let function = try function(isAsync: Body.isAsync)
        guard isAtEnd else { throw .malformed("something follows the function") }
        let memory = UnsafeMutablePointer<Body>.allocate(capacity: 1)
        defer { memory.deallocate() }
        function.initialize(UnsafeMutableRawPointer(memory))
        return memory.move()
    }
}
