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

    /// Itself, if it costs next to nothing to hold on to it while it runs.
    var ifSmall: Work? {
        if case .encoded(let job) = form, job.count < 4096 { self } else { nil }
    }

    /// A body without parameters.
    init(
        _ body: @escaping @Sendable () throws -> Success,
        _ options: ProcessOptions,
        _ fileID: StaticString,
        _ line: UInt
    ) throws {
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
        form = .encoded(
            try refusing { () throws(ClosureError) in
                JobBytes(
                    function: try Job.encode(body: body, fileID: "\(fileID)", line: Int(line)),
                    arguments: try Job.encodeArguments(repeat each arguments)
                )
            }
        )
    }

    static func decode(_ bytes: UnsafeRawBufferPointer, _ attachments: [SharedDescriptor]) throws -> Success {
        try Job.decodeResult(bytes, objects: attachments, as: Success.self)
    }
}

/// An encoded function and its encoded arguments.
struct JobBytes: Sendable {
    var function: EncodedPieces
    var arguments: EncodedPieces

    /// All of it, in pieces: the function's count of bytes and of descriptors in front, so that the two come apart again.
    var pieces: [[UInt8]] {
        let counts = (UInt64(function.count).littleEndian, UInt64(function.objects.count).littleEndian)
        return [withUnsafeBytes(of: counts) { Array($0) }] + function.pieces + arguments.pieces
    }

    var count: Int { 16 + function.count + arguments.count }

    /// The descriptors of the handles among captures and arguments, in the order in which they are sent.
    var attachments: [SharedDescriptor] { function.attachments + arguments.attachments }

    /// For a preload hook, which has no launch packet.
    static func preload(
        _ body: @escaping @Sendable () throws -> Void,
        fileID: StaticString,
        line: UInt
    ) throws -> [UInt8] {
        let job = try refusing { () throws(ClosureError) in
            JobBytes(function: try Job.encode(body, fileID: "\(fileID)", line: Int(line)), arguments: Job.noArguments)
        }
        guard job.attachments.isEmpty else {
            throw ProcessError(
                .cannotTravel,
                "A preload hook at \(fileID):\(line) captures a lock, queue or other shared state: pass it to the processes instead"
            )
        }
        return EncodedPieces(pieces: job.pieces).joined()
    }
}

/// A job as the child has it.
struct ReceivedJob: Sendable {
    private let job: Job
    private let storage: JobStorage
    private let argumentsStart: Int
    private let argumentObjects: [SharedDescriptor]

    init(_ storage: JobStorage, attachments: [SharedDescriptor] = []) throws {
        let bytes = storage.bytes
        guard bytes.count >= 16 else { throw ProcessError(.setupFailed, "A job is malformed") }
        let count = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
        let objects = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        guard count <= UInt64(bytes.count - 16), objects <= UInt64(attachments.count) else {
            throw ProcessError(.setupFailed, "A job is malformed")
        }
        self.storage = storage
        argumentsStart = 16 + Int(count)
        argumentObjects = Array(attachments[Int(objects)...])
        job = try Job(
            decoding: UnsafeRawBufferPointer(rebasing: bytes[16..<argumentsStart]),
            objects: Array(attachments[..<Int(objects)])
        )
    }

    var isAsynchronous: Bool { job.isAsync }

    private var arguments: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: storage.bytes[argumentsStart...]) }

    func runSynchronously() throws -> EncodedPieces {
        defer { withExtendedLifetime(storage) {} }
        return try job.runSynchronously(argumentsAt: arguments, objects: argumentObjects)
    }

    func run() async throws -> EncodedPieces {
        defer { withExtendedLifetime(storage) {} }
        return try await job.run(argumentsAt: arguments, objects: argumentObjects)
    }
}

/// Where a received job's bytes are: arguments are decoded from there, without a copy in between.
struct JobStorage: Sendable {
    private let memory: Memory
    private let start: Int

    /// A copy of a few bytes.
    init(_ bytes: some Collection<UInt8>) {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 8)
        copy.copyBytes(from: bytes)
        memory = Memory(UnsafeRawBufferPointer(copy), file: nil)
        start = 0
    }

    /// The content of a file, mapped.
    init(_ file: consuming MappedFile) {
        let content = file.content
        memory = Memory(content, file: consume file)
        start = 0
    }

    private init(_ memory: Memory, start: Int) {
        self.memory = memory
        self.start = start
    }

    /// The same without the first `count` bytes.
    func dropping(_ count: Int) -> JobStorage {
        JobStorage(memory, start: start + count)
    }

    /// The content, valid as long as a copy of this value lives.
    var bytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: memory.bytes[start...])
    }

    /// The content, valid inside `body`.
    func withBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        defer { withExtendedLifetime(memory) {} }
        return try body(bytes)
    }

    /// Owns the bytes, which nobody writes to: hence `@unchecked`, without a lock.
    private final class Memory: @unchecked Sendable {
        let bytes: UnsafeRawBufferPointer
        private let isAllocated: Bool
        private let file: MappedFile?

        init(_ bytes: UnsafeRawBufferPointer, file: consuming MappedFile?) {
            self.bytes = bytes
            isAllocated = file == nil
            self.file = file
        }

        deinit {
            if isAllocated { bytes.deallocate() }
        }
    }
}

/// Turns the coder's refusal into this module's error.
private func refusing<R>(_ body: () throws(ClosureError) -> R) throws -> R {
    do throws(ClosureError) {
        return try body()
    } catch {
        throw ProcessError(.cannotTravel, "\(error)")
    }
}
