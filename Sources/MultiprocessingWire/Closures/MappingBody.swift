// Functions that are called once for each of many tuples of arguments.
//
// Types of their own, and not closures around the function: a closure in a function that is generic over a pack cannot travel.

struct SynchronousMappingBody<Result: Codable & Sendable, each Argument>: FunctionBody {
    let function: @Sendable (repeat each Argument) throws -> Result

    func callNow(_ arguments: inout ClosureReader) throws -> EncodedPieces {
        var results = MappingResults<Result>(count: try arguments.value(Int.self))
        while results.wantsMore {
            let item = (repeat try arguments.value((each Argument).self))
            do { results.add(try function(repeat each item)) } catch { results.fail(error) }
        }
        return try results.encoded()
    }
    static var signature: [any Any.Type] { types(repeat (each Argument).self) + [Result.self] }
}

struct AsynchronousMappingBody<Result: Codable & Sendable, each Argument: Sendable>: FunctionBody {
    let function: @Sendable @concurrent (repeat each Argument) async throws -> Result

    static var isAsync: Bool { true }
    func callNow(_ arguments: inout ClosureReader) throws -> EncodedPieces { throw Self.mustSuspend }
    func call(_ arguments: inout ClosureReader) async throws -> EncodedPieces {
        var results = MappingResults<Result>(count: try arguments.value(Int.self))
        while results.wantsMore {
            let item = (repeat try arguments.value((each Argument).self))
            do { results.add(try await function(repeat each item)) } catch { results.fail(error) }
        }
        return try results.encoded()
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
        var results = MappingResults<Result>(count: try arguments.value(Int.self))
        while results.wantsMore {
            let item = (repeat try arguments.value((each Argument).self))
            do { results.add(try function(&leading.value, repeat each item)) } catch { results.fail(error) }
        }
        return try results.encoded()
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
        var results = MappingResults<Result>(count: try arguments.value(Int.self))
        while results.wantsMore {
            let item = (repeat try arguments.value((each Argument).self))
            do { results.add(try await call(repeat each item)) } catch { results.fail(error) }
        }
        return try results.encoded()
    }

    /// Where the function runs, which the value must not leave.
    @concurrent private func call(_ argument: repeat each Argument) async throws -> Result {
        let leading = Leading.current
        return try await function(&leading.value, repeat each argument)
    }
    static var signature: [any Any.Type] { types(repeat (each Argument).self) + [Result.self] }
}

/// The results of the calls so far.
private struct MappingResults<Value: Codable & Sendable> {
    private let count: Int
    private var values: [Value] = []
    private var error: [UInt8]?

    init(count: Int) {
        self.count = count
    }

    var wantsMore: Bool { values.count < count && error == nil }
    mutating func add(_ value: Value) { values.append(value) }
    mutating func fail(_ error: any Error) { self.error = ErrorBox.encode(error) }
    func encoded() throws -> EncodedPieces { try ResultCoding.encode(ChunkResult(values: values, error: error)) }
}

/// What calling a function for many items came to: the values up to the first item for which it threw, and that error, boxed.
public struct ChunkResult<Value: Codable & Sendable>: Codable, Sendable {
    /// The values, in the order of the items.
    public var values: [Value]
    /// What ``ErrorBox/encode(_:)`` made of the error; nil if there was none.
    public var error: [UInt8]?

    /// A result.
    public init(values: [Value], error: [UInt8]?) {
        self.values = values
        self.error = error
    }
}
