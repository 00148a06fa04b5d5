import CaptureCases
import Foundation
import Multiprocessing
import Plugin

struct ProcessCarrier: Carrier {
    func run<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
        try await ChildProcess.run(body)
    }
    func runAsync<R: Sendable>(_ body: @escaping @Sendable @concurrent () async throws -> R) async throws -> R {
        try await ChildProcess.run(body)
    }
    func call<R: Sendable, each A: Codable & Sendable>(
        _ arguments: repeat each A,
        body: @escaping @Sendable (repeat each A) throws -> R
    ) async throws -> R {
        try await ChildProcess.run(arguments: repeat each arguments, body: body)
    }
}

struct Failed: Error {}

/// Closures written here: in a module without our language settings, by a main actor function, by an actor.
@MainActor func fromHere() async throws {
    let (number, text) = (Int.random(in: 1...5), String(repeating: "x", count: 20))
    guard try await ChildProcess.run({ "\(number)\(text)" }) == "\(number)\(text)" else { throw Failed() }
    guard
        try await ChildProcess.run({
            await Task.yield(); return number + 1
        }) == number + 1
    else { throw Failed() }
    guard try await ChildProcess.run({ @MainActor () async in number + 2 }) == number + 2 else { throw Failed() }
    guard try await ChildProcess.run({ (number, text) }) == (number, text) else { throw Failed() }
}

func fromPlugin() async throws {
    let closure = makeClosure(Settings(factor: 10))
    guard try await ChildProcess.run({ closure(4) }) == "42" else { throw Failed() }
    guard try await ChildProcess.run(makeAsyncClosure(Settings(factor: 3))) == "async 3" else { throw Failed() }
    guard try await ChildProcess.run(generic("a")) == ["a", "a"] else { throw Failed() }
}

var failures = 0
let extra: [(String, @Sendable () async throws -> Void)] = [("fromHere", fromHere), ("fromPlugin", fromPlugin)]
for (name, body) in captureCases.map({ testCase in (testCase.name, { try await testCase.run(ProcessCarrier()) }) })
    + extra
{
    if let filter = CommandLine.arguments.dropFirst().first, !name.contains(filter) { continue }
    do {
        try await body()
    } catch {
        failures += 1
        print("FAILED \(name): \(error)")
    }
}
print("\(captureCases.count + extra.count) cases, \(failures) failures")
exit(failures == 0 ? 0 : 1)
