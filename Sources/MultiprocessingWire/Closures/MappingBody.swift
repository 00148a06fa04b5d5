// Functions that are called once for each of many tuples of arguments.
//
// Types of their own, and not closures around the function: a closure in a function that is generic over a pack cannot travel.

struct SynchronousMappingBody<Result: Codable & Sendable, each Argument>: FunctionBody {
    let function: @Sendable (repeat each Argument) throws -> Result

    func callNow(_ arguments: inout ClosureReader) throws -> EncodedPieces {
        let count = try arguments.value(Int.self)
        var chunk = ChunkRun<Result>()
        for _ in 0..<count {
            guard chunk.begin() else { break }
            let item = (repeat try arguments.value((each Argument).self))
            do {
                chunk.add(try function(repeat each item))
            } catch {
                return try ResultCoding.encode(chunk.end(error))
            }
        }
        return try ResultCoding.encode(chunk.end())
    }
    static var signature: [any Any.Type] { types(repeat (each Argument).self) + [Result.self] }
}

struct AsynchronousMappingBody<Result: Codable & Sendable, each Argument: Sendable>: FunctionBody {
    let function: @Sendable @concurrent (repeat each Argument) async throws -> Result

    static var isAsync: Bool { true }
    func callNow(_ arguments: inout ClosureReader) throws -> EncodedPieces { throw Self.mustSuspend }
    func call(_ arguments: inout ClosureReader) async throws -> EncodedPieces {
        let count = try arguments.value(Int.self)
        var chunk = ChunkRun<Result>()
        for _ in 0..<count {
            guard chunk.begin() else { break }
            let item = (repeat try arguments.value((each Argument).self))
            do {
                chunk.add(try await function(repeat each item))
            } catch {
                return try ResultCoding.encode(chunk.end(error))
            }
        }
        return try ResultCoding.encode(chunk.end())
    }
    static var signature: [any Any.Type] { types(repeat (each Argument).self) + [Result.self] }
}

/// Something that functions get in front of their arguments, and that is found where they run and not sent.
public protocol LeadingArgument: AnyObject, Sendable {
    associatedtype Value
    /// What belongs to the Swift task that asks.
    static var current: Self { get }
    /// Only one such task uses it at a time.
    var value: Value { get set }
}

struct SynchronousLeadingMappingBody<Leading: LeadingArgument, Result: Codable & Sendable, each Argument>: FunctionBody
{
    let function: @Sendable (inout Leading.Value, repeat each Argument) throws -> Result

    func callNow(_ arguments: inout ClosureReader) throws -> EncodedPieces {
        let leading = Leading.current
        let count = try arguments.value(Int.self)
        var chunk = ChunkRun<Result>()
        for _ in 0..<count {
            guard chunk.begin() else { break }
            let item = (repeat try arguments.value((each Argument).self))
            do {
                chunk.add(try function(&leading.value, repeat each item))
            } catch {
                return try ResultCoding.encode(chunk.end(error))
            }
        }
        return try ResultCoding.encode(chunk.end())
    }
    static var signature: [any Any.Type] { types(repeat (each Argument).self) + [Result.self] }
}

struct AsynchronousLeadingMappingBody<Leading: LeadingArgument, Result: Codable & Sendable, each Argument: Sendable>:
    FunctionBody
{
    let function: @Sendable @concurrent (inout Leading.Value, repeat each Argument) async throws -> Result

    static var isAsync: Bool { true }
    func callNow(_ arguments: inout ClosureReader) throws -> EncodedPieces { throw Self.mustSuspend }
    func call(_ arguments: inout ClosureReader) async throws -> EncodedPieces {
        let count = try arguments.value(Int.self)
        var chunk = ChunkRun<Result>()
        for _ in 0..<count {
            guard chunk.begin() else { break }
            let item = (repeat try arguments.value((each Argument).self))
            do {
                chunk.add(try await call(repeat each item))
            } catch {
                return try ResultCoding.encode(chunk.end(error))
            }
        }
        return try ResultCoding.encode(chunk.end())
    }

    /// Where the function runs, which the value must not leave.
    @concurrent private func call(_ argument: repeat each Argument) async throws -> Result {
        let leading = Leading.current
        return try await function(&leading.value, repeat each argument)
    }
    static var signature: [any Any.Type] { types(repeat (each Argument).self) + [Result.self] }
}
