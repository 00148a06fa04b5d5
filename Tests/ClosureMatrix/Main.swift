import CaptureCases
import Foundation
import MultiprocessingWire

// Runs every capture case within this process and in fresh processes of this same program.

struct InProcess: Carrier {
    func run<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
        let bytes = try encodeClosure(body)
        return try bytes.withUnsafeBytes { try decodeClosure($0, as: R.self) }()
    }
    func runAsync<R: Sendable>(_ body: @escaping @Sendable @concurrent () async throws -> R) async throws -> R {
        let bytes = try encodeClosure(body)
        return try await bytes.withUnsafeBytes { try decodeAsyncClosure($0, as: R.self) }()
    }
    func call<R: Sendable, each A: Codable & Sendable>(
        _ arguments: repeat each A,
        body: @escaping @Sendable (repeat each A) throws -> R
    ) async throws -> R {
        let job = try Job(decoding: Job.encode(body: body))
        return try Job.decodeResult(job.runSynchronously(arguments: Job.encodeArguments(repeat each arguments)))
    }
}

struct OtherProcess: Carrier {
    func run<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
        try exchange(Job.encode(body))
    }
    func runAsync<R: Sendable>(_ body: @escaping @Sendable @concurrent () async throws -> R) async throws -> R {
        try exchange(Job.encode(body))
    }
    func call<R: Sendable, each A: Codable & Sendable>(
        _ arguments: repeat each A,
        body: @escaping @Sendable (repeat each A) throws -> R
    ) async throws -> R {
        try exchange(Job.encode(body: body), Job.encodeArguments(repeat each arguments))
    }

    private func exchange<R>(_ job: EncodedPieces, _ arguments: EncodedPieces = Job.noArguments) throws -> R {
        let process = Process(), input = Pipe(), output = Pipe()
        process.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        process.arguments = ["child"]
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        let message = withUnsafeBytes(of: job.count) { Data($0) } + job.joined() + arguments.joined()
        try input.fileHandleForWriting.write(contentsOf: message)
        try input.fileHandleForWriting.close()
        let reply = [UInt8](try output.fileHandleForReading.readToEnd() ?? Data())
        process.waitUntilExit()
        guard let outcome = reply.first else { throw CrashedChild(status: process.terminationStatus) }
        let content = Array(reply.dropFirst())
        if outcome == 0 { return try Job.decodeResult(EncodedPieces(content)) }
        switch try ErrorBox(decoding: content) {
        case .error(let error): throw error
        case .description(let typeName, let text): throw RemoteError(text: "\(typeName): \(text)")
        }
    }
}

struct CrashedChild: Error { var status: Int32 }
struct RemoteError: Error, CustomStringConvertible {
    var text: String
    var description: String { text }
}

@main
enum Main {
    static func main() async throws {
        if CommandLine.arguments.dropFirst().first == "child" { return try await child() }
        let filter = CommandLine.arguments.dropFirst().first
        var failures = 0, count = 0
        let carriers: [(String, any Carrier)] = [("in process", InProcess()), ("across processes", OtherProcess())]
        for (name, carrier) in carriers {
            for testCase in captureCases where filter.map({ testCase.name.contains($0) }) ?? true {
                if carrier is InProcess, testCase.name == "refuses results that are not Codable" { continue }
                count += 1
                do {
                    try await testCase.run(carrier)
                } catch {
                    failures += 1
                    print("FAILED \(name): \(testCase.name): \(error)")
                }
            }
        }
        print("\(count) runs, \(failures) failures")
        exit(failures == 0 ? 0 : 1)
    }

    static func child() async throws {
        let message = try FileHandle.standardInput.readToEnd()!
        let count = message.withUnsafeBytes { $0.loadUnaligned(as: Int.self) }
        let job = EncodedPieces([UInt8](message[8..<(8 + count)]))
        let arguments = EncodedPieces([UInt8](message[(8 + count)...]))
        do {
            let result = try await Job(decoding: job).run(arguments: arguments)
            try FileHandle.standardOutput.write(contentsOf: [0] + result.joined())
        } catch {
            try FileHandle.standardOutput.write(contentsOf: [1] + ErrorBox.encode(error))
        }
    }
}
