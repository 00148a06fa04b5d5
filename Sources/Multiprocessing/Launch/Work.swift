internal import MultiprocessingSystem
internal import MultiprocessingWire

/// What a child is to do, as the parent holds it until the start.
struct Work<Success: Sendable>: Sendable {
    /// Encoded when the process is made, so that what cannot travel is refused there; for `.fork` the body itself.
    enum Form: Sendable {
        case encoded(JobBytes)
        case here(@Sendable () throws -> Success)
    }

    let form: Form
    let isAsynchronous: Bool

    /// A body without parameters.
    init(
        _ body: @escaping @Sendable () throws -> Success,
        _ options: ProcessOptions,
        _ fileID: StaticString,
        _ line: UInt
    ) throws {
        isAsynchronous = false
        if options.startMethod == .fork {
            form = .here(body)
        } else {
            form = .encoded(
                try refusing { () throws(ClosureError) in
                    JobBytes(
                        function: try Job.encode(body, fileID: "\(fileID)", line: Int(line)),
                        arguments: Job.noArguments
                    )
                }
            )
        }
    }

    /// An asynchronous body without parameters.
    init(
        asynchronous body: @escaping @Sendable @concurrent () async throws -> Success,
        _ fileID: StaticString,
        _ line: UInt
    ) throws {
        isAsynchronous = true
        form = .encoded(
            try refusing { () throws(ClosureError) in
                JobBytes(
                    function: try Job.encode(body, fileID: "\(fileID)", line: Int(line)),
                    arguments: Job.noArguments
                )
            }
        )
    }

    /// A body with arguments beside it.
    init<each Argument: Codable & Sendable>(
        arguments: repeat each Argument,
        body: @escaping @Sendable (repeat each Argument) throws -> Success,
        _ options: ProcessOptions,
        _ fileID: StaticString,
        _ line: UInt
    ) throws {
        isAsynchronous = false
        if options.startMethod == .fork {
            form = .here { try body(repeat each arguments) }
        } else {
            form = .encoded(
                try refusing { () throws(ClosureError) in
                    JobBytes(
                        function: try Job.encode(body: body, fileID: "\(fileID)", line: Int(line)),
                        arguments: try Job.encodeArguments(repeat each arguments)
                    )
                }
            )
        }
    }

    /// An asynchronous body with arguments beside it.
    init<each Argument: Codable & Sendable>(
        arguments: repeat each Argument,
        asynchronous body: @escaping @Sendable @concurrent (repeat each Argument) async throws -> Success,
        _ fileID: StaticString,
        _ line: UInt
    ) throws {
        isAsynchronous = true
        form = .encoded(
            try refusing { () throws(ClosureError) in
                JobBytes(
                    function: try Job.encode(body: body, fileID: "\(fileID)", line: Int(line)),
                    arguments: try Job.encodeArguments(repeat each arguments)
                )
            }
        )
    }

    static func decode(_ bytes: UnsafeRawBufferPointer) throws -> Success {
        try Job.decodeResult(bytes, as: Success.self)
    }
}

/// An encoded function and its encoded arguments.
struct JobBytes: Sendable {
    var function: [UInt8]
    var arguments: [UInt8]

    /// The function's count in front, so that the two come apart again.
    var header: [UInt8] {
        withUnsafeBytes(of: UInt32(function.count).littleEndian) { Array($0) }
    }

    var count: Int { 4 + function.count + arguments.count }

    /// For a preload hook, which has no launch packet.
    static func preload(
        _ body: @escaping @Sendable () throws -> Void,
        fileID: StaticString,
        line: UInt
    ) throws -> [UInt8] {
        let job = try refusing { () throws(ClosureError) in
            JobBytes(function: try Job.encode(body, fileID: "\(fileID)", line: Int(line)), arguments: Job.noArguments)
        }
        return job.header + job.function + job.arguments
    }
}

/// A job as the child has it.
struct ReceivedJob: Sendable {
    private let job: Job
    private let arguments: [UInt8]

    init(_ bytes: UnsafeRawBufferPointer) throws {
        guard bytes.count >= 4 else { throw ProcessError(.setupFailed, "A job is malformed") }
        let count = Int(UInt32(littleEndian: bytes.loadUnaligned(as: UInt32.self)))
        guard count <= bytes.count - 4 else { throw ProcessError(.setupFailed, "A job is malformed") }
        job = try Job(decoding: UnsafeRawBufferPointer(rebasing: bytes[4..<(4 + count)]))
        arguments = Array(bytes[(4 + count)...])
    }

    var isAsynchronous: Bool { job.isAsync }

    func runSynchronously() throws -> [UInt8] { try job.runSynchronously(arguments: arguments) }

    func run() async throws -> [UInt8] { try await job.run(arguments: arguments) }
}

/// Turns the coder's refusal into this module's error.
private func refusing<R>(_ body: () throws(ClosureError) -> R) throws -> R {
    do throws(ClosureError) {
        return try body()
    } catch {
        throw ProcessError(.cannotTravel, "\(error)")
    }
}
