/// Encodes a synchronous closure with its captures, for another process of the same executable.
///
/// Captures travel by value: `Codable` ones by their conformance, and tuples, closures, existentials of `Codable` values,
/// metatypes and the standard library's other values as well. A captured `var` is copied as it is at this moment. A class
/// instance is copied for each capture, so two captures of one object are two objects at the other end.
///
/// Optimised builds keep no metadata of a type that the program only captures. A struct of `Codable` fields and an enum
/// without payloads are sent by their fields then, past their own `Codable`; of others, the error says to pass them as
/// arguments.
///
/// - Throws: ``ClosureError`` that names what cannot travel, the closure's place in the source, and the remedy.
@inline(never) @_semantics("optimize.sil.specialize.generic.never")
public func encodeClosure<Result>(
    _ body: @escaping @Sendable () throws -> Result,
    fileID: String = #fileID,
    line: Int = #line
) throws(ClosureError) -> [UInt8] {
    try encode(SynchronousBody(function: body), ClosureError.Location(fileID: fileID, line: line)).joined()
}

/// Encodes an asynchronous closure with its captures, for another process of the same executable.
///
/// What travels is the same as for synchronous closures. A closure that is isolated to an actor instance captures it,
/// and is refused; one isolated to a global actor travels.
///
/// - Throws: ``ClosureError`` that names what cannot travel, the closure's place in the source, and the remedy.
@inline(never) @_semantics("optimize.sil.specialize.generic.never")
public func encodeClosure<Result>(
    _ body: @escaping @Sendable @concurrent () async throws -> Result,
    fileID: String = #fileID,
    line: Int = #line
) throws(ClosureError) -> [UInt8] {
    try encode(AsynchronousBody(function: body), ClosureError.Location(fileID: fileID, line: line)).joined()
}

/// Rebuilds a synchronous closure that ``encodeClosure(_:fileID:line:)`` encoded in a process of the same executable.
///
/// Only bytes from a trusted process may be decoded: what they say is run.
///
/// - Throws: ``ClosureError`` if the bytes are damaged, come from another build, or hold another type of function.
@inline(never) @_semantics("optimize.sil.specialize.generic.never")
public func decodeClosure<Result>(
    _ bytes: UnsafeRawBufferPointer,
    as type: Result.Type = Result.self
) throws(ClosureError) -> @Sendable () throws -> Result {
    var reader = try ClosureReader(bytes)
    return try reader.body(SynchronousBody<Result>.self).function
}

/// Rebuilds an asynchronous closure that ``encodeClosure(_:fileID:line:)`` encoded in a process of the same executable.
///
/// Only bytes from a trusted process may be decoded: what they say is run.
///
/// - Throws: ``ClosureError`` if the bytes are damaged, come from another build, or hold another type of function.
@inline(never) @_semantics("optimize.sil.specialize.generic.never")
public func decodeAsyncClosure<Result>(
    _ bytes: UnsafeRawBufferPointer,
    as type: Result.Type = Result.self
) throws(ClosureError) -> @Sendable @concurrent () async throws -> Result {
    var reader = try ClosureReader(bytes)
    return try reader.body(AsynchronousBody<Result>.self).function
}

/// Writes a body, once the runtime was seen to lay functions out as expected.
func encode(_ body: some FunctionBody, _ location: ClosureError.Location) throws(ClosureError) -> EncodedPieces {
    do throws(ClosureError) {
        try ClosureCanary.check()
        var writer = ClosureWriter()
        try writer.put(body: body)
        return writer.pieces()
    } catch {
        throw error.at(location)
    }
}
