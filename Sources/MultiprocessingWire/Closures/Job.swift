/// A function that came from another process of the same executable, whose type this process did not know beforehand.
///
/// The sender encodes a closure, and perhaps arguments; the receiver runs it and sends back the encoded result, which
/// the sender decodes. Errors that the function throws pass through unchanged; see ``ErrorBox``.
public struct Job: Sendable {
    private let body: any FunctionBody

    /// Whether the function is async: a synchronous one can be run with no concurrency runtime started.
    public var isAsync: Bool { type(of: body).isAsync }

    /// Rebuilds the function from bytes; it runs nothing of it yet.
    ///
    /// Only bytes from a trusted process may be decoded: what they say is run.
    ///
    /// - Parameter objects: what arrived beside the bytes.
    /// - Throws: ``ClosureError`` if the bytes are damaged or come from another build.
    public init(
        decoding bytes: UnsafeRawBufferPointer,
        objects: [any AnyObject & Sendable] = []
    ) throws(ClosureError) {
        var reader = try ClosureReader(bytes, objects: objects)
        body = try reader.anyBody()
    }

    /// Rebuilds the function from bytes; it runs nothing of it yet.
    ///
    /// - Throws: ``ClosureError`` if the bytes are damaged or come from another build.
    public init(decoding encoded: EncodedPieces) throws(ClosureError) {
        self = try encoded.joined().withUnsafeBytesTyped { (bytes) throws(ClosureError) in
            try Job(decoding: bytes, objects: encoded.objects)
        }
    }

    /// Runs the function and encodes its result, to be decoded by ``decodeResult(_:as:)``.
    ///
    /// - Parameter arguments: what ``encodeArguments(_:)`` made, at a place that does not move until this has returned.
    /// - Parameter objects: what arrived beside the arguments.
    /// - Throws: what the function throws, or ``ClosureError`` if arguments or result cannot be coded.
    public func run(
        argumentsAt arguments: UnsafeRawBufferPointer,
        objects: [any AnyObject & Sendable] = []
    ) async throws -> EncodedPieces {
        var reader = try ClosureReader(arguments, objects: objects)
        return try await body.call(&reader)
    }

    /// Runs a synchronous function on this thread and encodes its result.
    ///
    /// - Throws: what the function throws, or ``ClosureError`` if it is async, or if arguments or result cannot be coded.
    public func runSynchronously(
        argumentsAt arguments: UnsafeRawBufferPointer,
        objects: [any AnyObject & Sendable] = []
    ) throws -> EncodedPieces {
        var reader = try ClosureReader(arguments, objects: objects)
        return try body.callNow(&reader)
    }

    /// Runs a synchronous function on this thread and encodes its result.
    ///
    /// - Throws: what the function throws, or ``ClosureError`` if it is async, or if arguments or result cannot be coded.
    public func runSynchronously(arguments: EncodedPieces = Job.noArguments) throws -> EncodedPieces {
        try arguments.joined().withUnsafeBytes { try runSynchronously(argumentsAt: $0, objects: arguments.objects) }
    }

    /// Runs the function and encodes its result.
    ///
    /// - Throws: what the function throws, or ``ClosureError`` if arguments or result cannot be coded.
    public func run(arguments: EncodedPieces = Job.noArguments) async throws -> EncodedPieces {
        // The reader looks at these bytes across suspensions, so they need an address of their own.
        let bytes = arguments.joined()
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
        defer { copy.deallocate() }
        copy.copyBytes(from: bytes)
        return try await run(argumentsAt: UnsafeRawBufferPointer(copy), objects: arguments.objects)
    }

    /// The encoding of no arguments.
    public static let noArguments = ClosureWriter().pieces()
}

extension Job {
    /// Encodes a synchronous function and its captures, to be run by a receiver that does not know its type.
    ///
    /// - Throws: ``ClosureError`` that names what cannot travel, the closure's place in the source, and the remedy.
    @inline(never) @_semantics("optimize.sil.specialize.generic.never")
    public static func encode<Result>(
        _ body: @escaping @Sendable () throws -> Result,
        fileID: String = #fileID,
        line: Int = #line
    ) throws(ClosureError) -> EncodedPieces {
        try encodeJob(SynchronousBody(function: body), ClosureError.Location(fileID: fileID, line: line))
    }

    /// Encodes an asynchronous function and its captures, to be run by a receiver that does not know its type.
    ///
    /// - Throws: ``ClosureError`` that names what cannot travel, the closure's place in the source, and the remedy.
    @inline(never) @_semantics("optimize.sil.specialize.generic.never")
    public static func encode<Result>(
        _ body: @escaping @Sendable @concurrent () async throws -> Result,
        fileID: String = #fileID,
        line: Int = #line
    ) throws(ClosureError) -> EncodedPieces {
        try encodeJob(AsynchronousBody(function: body), ClosureError.Location(fileID: fileID, line: line))
    }

    /// Encodes a synchronous function of arguments that are sent beside it.
    ///
    /// - Throws: ``ClosureError`` that names what cannot travel, the closure's place in the source, and the remedy.
    @inline(never) @_semantics("optimize.sil.specialize.generic.never")
    public static func encode<Result, each Argument>(
        body: @escaping @Sendable (repeat each Argument) throws -> Result,
        fileID: String = #fileID,
        line: Int = #line
    ) throws(ClosureError) -> EncodedPieces {
        try encodeJob(SynchronousFunctionBody(function: body), ClosureError.Location(fileID: fileID, line: line))
    }

    /// Encodes an asynchronous function of arguments that are sent beside it.
    ///
    /// - Throws: ``ClosureError`` that names what cannot travel, the closure's place in the source, and the remedy.
    @inline(never) @_semantics("optimize.sil.specialize.generic.never")
    public static func encode<Result, each Argument: Sendable>(
        body: @escaping @Sendable @concurrent (repeat each Argument) async throws -> Result,
        fileID: String = #fileID,
        line: Int = #line
    ) throws(ClosureError) -> EncodedPieces {
        try encodeJob(AsynchronousFunctionBody(function: body), ClosureError.Location(fileID: fileID, line: line))
    }

    /// Encodes a synchronous function that is to be called once for each of many tuples of arguments, which are sent beside it.
    ///
    /// The job's arguments are what ``encodeTuples(_:_:)`` makes, its result is a ``ChunkResult``.
    /// - Throws: ``ClosureError`` that names what cannot travel, the closure's place in the source, and the remedy.
    @inline(never) @_semantics("optimize.sil.specialize.generic.never")
    public static func encodeMapping<Result: Codable & Sendable, each Argument>(
        _ body: @escaping @Sendable (repeat each Argument) throws -> Result,
        fileID: String = #fileID,
        line: Int = #line
    ) throws(ClosureError) -> EncodedPieces {
        try encodeJob(SynchronousMappingBody(function: body), ClosureError.Location(fileID: fileID, line: line))
    }

    /// Encodes an asynchronous function that is to be called once for each of many tuples of arguments; otherwise as a synchronous one.
    @inline(never) @_semantics("optimize.sil.specialize.generic.never")
    public static func encodeMapping<Result: Codable & Sendable, each Argument: Sendable>(
        asynchronous body: @escaping @Sendable @concurrent (repeat each Argument) async throws -> Result,
        fileID: String = #fileID,
        line: Int = #line
    ) throws(ClosureError) -> EncodedPieces {
        try encodeJob(AsynchronousMappingBody(function: body), ClosureError.Location(fileID: fileID, line: line))
    }

    /// Encodes a function that is to be called once for each of many tuples, with something in front that it finds where it runs.
    ///
    /// - Throws: ``ClosureError`` that names what cannot travel, the closure's place in the source, and the remedy.
    @inline(never) @_semantics("optimize.sil.specialize.generic.never")
    public static func encodeMapping<Leading: LeadingArgument, Result: Codable & Sendable, each Argument>(
        leading: Leading.Type,
        _ body: @escaping @Sendable (inout Leading.Value, repeat each Argument) throws -> Result,
        fileID: String = #fileID,
        line: Int = #line
    ) throws(ClosureError) -> EncodedPieces {
        try encodeJob(
            SynchronousLeadingMappingBody<Leading, Result, repeat each Argument>(function: body),
            ClosureError.Location(fileID: fileID, line: line)
        )
    }

    /// Encodes an asynchronous such function.
    @inline(never) @_semantics("optimize.sil.specialize.generic.never")
    public static func encodeMapping<Leading: LeadingArgument, Result: Codable & Sendable, each Argument: Sendable>(
        leading: Leading.Type,
        asynchronous body:
            @escaping @Sendable @concurrent (inout Leading.Value, repeat each Argument) async throws -> Result,
        fileID: String = #fileID,
        line: Int = #line
    ) throws(ClosureError) -> EncodedPieces {
        try encodeJob(
            AsynchronousLeadingMappingBody<Leading, Result, repeat each Argument>(function: body),
            ClosureError.Location(fileID: fileID, line: line)
        )
    }

    /// Encodes the arguments of many calls, for a function that was encoded as a mapping.
    ///
    /// - Throws: ``ClosureError`` that names the value that cannot travel.
    public static func encodeTuples<Tuple, each Argument>(
        _ tuples: [Tuple],
        _ elements: (Tuple) -> (repeat each Argument)
    ) throws(ClosureError) -> EncodedPieces {
        var writer = ClosureWriter()
        try writer.put(value: tuples.count)
        for tuple in tuples {
            for value in repeat each elements(tuple) { try writer.put(value: value) }
        }
        return writer.pieces()
    }

    private static func encodeJob<Body: FunctionBody>(
        _ body: Body,
        _ location: ClosureError.Location
    ) throws(ClosureError) -> EncodedPieces {
        for type in Body.signature where !Transferability.isPossible(type) {
            throw ClosureError.refused(
                "\(type)",
                "is an argument or the result of the closure but is not Codable",
                remedy: "make it Codable"
            ).at(location)
        }
        return try MultiprocessingWire.encode(body, location)
    }

    /// Encodes the arguments for one call.
    ///
    /// - Throws: ``ClosureError`` that names the value that cannot travel.
    public static func encodeArguments<each Argument>(
        _ argument: repeat each Argument
    ) throws(ClosureError) -> EncodedPieces {
        var writer = ClosureWriter()
        for value in repeat each argument { try writer.put(value: value) }
        return writer.pieces()
    }

    /// Decodes what a call returned.
    ///
    /// - Throws: ``ClosureError`` if the bytes hold no such result.
    public static func decodeResult<Result>(
        _ bytes: UnsafeRawBufferPointer,
        objects: [any AnyObject & Sendable] = [],
        as type: Result.Type = Result.self
    ) throws(ClosureError) -> Result {
        try ResultCoding.decode(bytes, objects: objects, as: type)
    }

    /// Decodes what a call returned.
    ///
    /// - Throws: ``ClosureError`` if the bytes hold no such result.
    public static func decodeResult<Result>(
        _ encoded: EncodedPieces,
        as type: Result.Type = Result.self
    ) throws(ClosureError) -> Result {
        try encoded.joined().withUnsafeBytesTyped { (bytes) throws(ClosureError) in
            try ResultCoding.decode(bytes, objects: encoded.objects, as: type)
        }
    }

    /// Encodes a result that was computed without a job, as a job would.
    ///
    /// - Throws: ``ClosureError`` if it cannot be encoded.
    public static func encodeResult<Result>(_ result: Result) throws(ClosureError) -> EncodedPieces {
        try ResultCoding.encode(result)
    }
}

extension [UInt8] {
    /// `withUnsafeBytes` with a typed error.
    func withUnsafeBytesTyped<R>(
        _ body: (UnsafeRawBufferPointer) throws(ClosureError) -> R
    ) throws(ClosureError) -> R {
        let result: Result<R, ClosureError> = withUnsafeBytes { bytes in
            do throws(ClosureError) { return .success(try body(bytes)) } catch { return .failure(error) }
        }
        return try result.get()
    }
}

/// Whether values of a type can travel at all, before there is a value: existentials are looked at when there is one.
enum Transferability {
    static func isPossible(_ type: any Any.Type) -> Bool {
        if type is any Codable.Type || type is any StructurallyCodable.Type { return true }
        let metadata = TypeMetadata(type)
        switch metadata.kind {
        case .tuple: return metadata.tuple.elements.allSatisfy { isPossible($0.type) }
        case .existential, .metatype, .existentialMetatype, .function: return true
        default: return type == Never.self
        }
    }
}
