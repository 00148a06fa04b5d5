import Foundation
import Multiprocessing
import Testing

/// Suites that start processes. One test after the other: they measure times, and some need the machine for themselves. A minute
/// is enough for each, but for storms that were asked to last.
@Suite(.serialized, .timeLimit(processTestLimit), .afterOthers)
enum ProcessTests {}

// Not within the attribute: an `==` there is looked for in the suite's own extensions too, which the compiler calls circular.
private let processTestLimit: TimeLimitTrait.Duration =
    getenv("MP_STORM_SECONDS") == nil ? .minutes(1) : .minutes(30)

/// A check that failed in a child, where `#expect` reaches nobody. Thrown by the child's body, it fails the parent's test.
struct CheckFailure: Error, Codable, CustomStringConvertible {
    var text: String
    var place: String

    var description: String { "\(place): \(text)" }
}

/// Throws unless the condition holds; for code that may run in a child.
func check(
    _ condition: Bool,
    _ text: @autoclosure () -> String = "a condition does not hold",
    file: String = #fileID,
    line: Int = #line
) throws {
    if !condition { throw CheckFailure(text: text(), place: "\(file):\(line)") }
}

/// Throws unless both are equal; for code that may run in a child.
func check<Value: Equatable>(
    _ found: Value,
    is expected: Value,
    file: String = #fileID,
    line: Int = #line
) throws {
    try check(found == expected, "found \(found), not \(expected)", file: file, line: line)
}

/// Throws unless `body` throws a ``ProcessError`` of that kind, which is returned.
@discardableResult
func check(
    throws code: ProcessError.Code,
    file: String = #fileID,
    line: Int = #line,
    _ body: () throws -> Void
) throws -> ProcessError {
    do {
        try body()
    } catch let error as ProcessError {
        try check(error.code == code, "threw \(error), not \(code)", file: file, line: line)
        return error
    }
    throw CheckFailure(text: "threw nothing, not \(code)", place: "\(file):\(line)")
}

/// Runs `body` in a process of its own, whose global state (directory, environment, limits, server) it may change at will.
///
/// A check that fails there is thrown here.
func isolated<Success: Sendable>(
    options: ProcessOptions = ProcessOptions(),
    _ body: @escaping @Sendable () throws -> Success
) async throws -> Success {
    try await ChildProcess.run(startMethod: .spawn, options: options, body)
}

/// ``isolated(options:_:)`` for an asynchronous body.
func isolated<Success: Sendable>(
    options: ProcessOptions = ProcessOptions(),
    _ body: @escaping @Sendable @concurrent () async throws -> Success
) async throws -> Success {
    try await ChildProcess.run(startMethod: .spawn, options: options, body)
}

/// Looks every few milliseconds until the condition holds; false when the time is over.
func eventually(within limit: Duration = .seconds(5), _ condition: () throws -> Bool) rethrows -> Bool {
    let end = ContinuousClock.now + limit
    while try !condition() {
        if ContinuousClock.now > end { return false }
        pause(.milliseconds(5))
    }
    return true
}

/// ``eventually(within:_:)`` without blocking the thread.
func eventually(within limit: Duration = .seconds(5), _ condition: () throws -> Bool) async throws -> Bool {
    let end = ContinuousClock.now + limit
    while try !condition() {
        if ContinuousClock.now > end { return false }
        try await Task.sleep(for: .milliseconds(5))
    }
    return true
}

/// Runs a call that blocks on a thread of its own, so that it holds none of the cooperative pool's.
func onThread<Success: Sendable>(_ body: @escaping @Sendable () throws -> Success) async throws -> Success {
    try await withCheckedThrowingContinuation { continuation in
        Foundation.Thread.detachNewThread { continuation.resume(with: Result(catching: body)) }
    }
}
