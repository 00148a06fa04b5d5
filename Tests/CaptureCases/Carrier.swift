/// Takes closures somewhere and runs them there: to another place in memory, to another process.
public protocol Carrier: Sendable {
    func run<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R
    func runAsync<R: Sendable>(_ body: @escaping @Sendable @concurrent () async throws -> R) async throws -> R
    func call<R: Sendable, each A: Codable & Sendable>(
        _ arguments: repeat each A,
        body: @escaping @Sendable (repeat each A) throws -> R
    ) async throws -> R
}

/// One kind of capture, and what must come of it.
public struct CaptureCase: Sendable {
    public var name: String
    public var run: @Sendable (any Carrier) async throws -> Void

    init(_ name: String, _ run: @escaping @Sendable (any Carrier) async throws -> Void) {
        self.name = name
        self.run = run
    }
}

public struct CaseFailure: Error, CustomStringConvertible {
    public var description: String
}

func expect<T: Equatable>(_ got: T, _ wanted: T, line: Int = #line) throws {
    if got != wanted { throw CaseFailure(description: "line \(line): got \(got), wanted \(wanted)") }
}

/// The closure must be refused with a text that has all of these in it.
func expectRefusal(_ parts: String..., line: Int = #line, _ body: () async throws -> some Any) async throws {
    do {
        _ = try await body()
    } catch {
        let text = "\(error)"
        for part in parts where !text.contains(part) {
            throw CaseFailure(description: "line \(line): '\(text)' lacks '\(part)'")
        }
        return
    }
    throw CaseFailure(description: "line \(line): not refused")
}

/// Hides a value's origin from the optimizer, which would otherwise put constants into the closures.
@inline(never) @_optimize(none)
func opaque<T>(_ value: T) -> T { value }
