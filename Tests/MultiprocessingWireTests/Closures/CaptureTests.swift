import CaptureCases
import MultiprocessingWire
import Testing

/// Takes a closure apart and puts it together again within the process.
struct InProcessCarrier: Carrier {
    func run<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
        let bytes = try Job.encode(body).joined()
        return try bytes.withUnsafeBytes { try decodeClosure($0, as: R.self) }()
    }
    func runAsync<R: Sendable>(_ body: @escaping @Sendable @concurrent () async throws -> R) async throws -> R {
        let bytes = try Job.encode(body).joined()
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

@Suite struct CaptureTests {
    @Test(arguments: captureCases) func travelsWithinTheProcess(_ testCase: CaptureCase) async throws {
        try await testCase.run(InProcessCarrier())
    }
}
