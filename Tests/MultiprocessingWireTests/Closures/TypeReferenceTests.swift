import MultiprocessingWire
import Synchronization
import Testing

private struct Secret<T> { struct Inner<U> { var t: T; var u: U } }
private class Base {}
private final class Derived<T>: Base {}
private protocol Hidden {}
private protocol HiddenToo: AnyObject {}
private enum Choice { case a, b(Int) }
struct Packed<each T> {}
private func packed<each T>(_ value: repeat each T) -> any Any.Type { Packed<repeat each T>.self }
struct Constrained<T: Hashable, U: Collection> where U.Element == T {}

@Suite struct TypeReferenceTests {
    static let types: [any Any.Type] = {
        struct Local {}
        return [
            Int.self, String.self, [Int].self, [String: [Int?]].self, Void.self, (Int, String).self,
            (a: Int, b: Local).self,
            Secret<Int>.self, Secret<Choice>.Inner<Local>.self, Base.self, Derived<Local>.self, Choice.self, Local.self,
            [Local].self, Local?.self, Result<Local, any Error>.self, Any.self, AnyObject.self, (any Hidden).self,
            (any Hidden & HiddenToo).self, (any Error).self, (any Base & Hidden).self, [any Hidden].self,
            (any Codable).self,
            Local.Type.self, (any Hidden.Type).self, (any Hidden).Type.self, Any.Type.self,
            ((Int) -> String).self, (@Sendable (Int) async throws -> String).self,
            packed(), Packed<Int>.self, Packed<Int, Local, String>.self, Constrained<Int, [Int]>.self,
            Dictionary<Int, Local>.Index.self, Range<Int>.self, Never.self, KeyPath<Local, Int>.self, StaticString.self,
            SIMD4<Float>.self, UnsafePointer<Local>.self, (Int, (String, Local)).self, ContiguousArray<Local>.self,
        ]
    }()

    @Test(arguments: types.indices) func resolvesToTheSameType(_ index: Int) throws {
        let type = Self.types[index]
        let reference = try TypeReference(type)
        #expect(try reference.resolve() == type)
        let bytes = try BinaryEncoder().encode(reference)
        #expect(try BinaryDecoder().decode(TypeReference.self, from: bytes).resolve() == type)
    }

    @Test func typesThatCannotTravelAreNamed() throws {
        struct Local {}
        let error = #expect(throws: ClosureError.self) { _ = try TypeReference(((Local) -> Void).self) }
        #expect(error?.code == .typeUnavailable)
        #expect(error?.description.contains("Local") == true)
    }
}

private enum TypedError: Error, Codable, Equatable { case bad(String) }
private struct OpaqueError: Error, CustomStringConvertible { var description: String { "it broke" } }

@Suite struct ErrorBoxTests {
    @Test func codableErrorsKeepTheirType() throws {
        guard case .error(let error) = try ErrorBox(decoding: ErrorBox.encode(TypedError.bad("x"))) else {
            Issue.record("no error came back")
            return
        }
        #expect(error as? TypedError == .bad("x"))
    }

    @Test func otherErrorsAreDescribed() throws {
        guard case .description(let typeName, let text) = try ErrorBox(decoding: ErrorBox.encode(OpaqueError())) else {
            Issue.record("no description came back")
            return
        }
        #expect(typeName.contains("OpaqueError"))
        #expect(text == "it broke")
    }

    @Test func cancellationStaysCancellation() throws {
        guard case .error(let error) = try ErrorBox(decoding: ErrorBox.encode(CancellationError())) else {
            Issue.record("no error came back")
            return
        }
        #expect(error is CancellationError)
    }

    @Test func refusalsNameThePlaceAndTheRemedy() throws {
        final class NotCodable: Sendable { let value = 3 }
        let object = NotCodable()
        let line = #line + 1
        let error = #expect(throws: ClosureError.self) { _ = try encodeClosure { object.value } }
        #expect(error?.location == ClosureError.Location(fileID: #fileID, line: line))
        #expect(error?.code == .notTransferable)
        let text = try #require(error?.description)
        #expect(text.contains("TypeReferenceTests.swift:\(line)") && text.contains("NotCodable"))
        #expect(text.contains("ChildProcess(arguments: x)"))
    }

    @Test func valuesThatCannotBeCopiedAreRefused() {
        let mutex = Mutex(1)
        let error = #expect(throws: ClosureError.self) { _ = try encodeClosure { mutex.withLock { $0 } } }
        #expect(error?.code == .notTransferable && error?.subject?.contains("Mutex") == true)
    }
}
