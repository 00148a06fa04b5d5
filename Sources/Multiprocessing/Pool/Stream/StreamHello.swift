internal import MultiprocessingSystem
internal import MultiprocessingWire

/// How a worker and its pool get to know each other: one frame each way.
///
/// The worker's hello begins with magic (8), version (4) and its half of the secret (16), in every version; what follows is encoded. The
/// answer, welcome or refusal, begins with the pool's half (16). Until the other side's half is found right, nothing else of what it
/// sent is looked at, and nothing is answered.
///
/// A challenge that proves the secret without showing it would take the place of the two halves: it is a matter of ``check(_:_:)`` and
/// ``open(_:_:)`` alone, and of another version.
enum StreamHello {
    private static let magic = Array("mpworker".utf8)
    static let version: UInt32 = 1
    private static let prefixSize = 12 + WorkerToken.proofSize
    /// The most bytes of a stranger's frame, header included.
    static let longest = 4096

    /// Who a worker says it is.
    struct Worker: Codable, Sendable {
        var executable: [UInt8]
        var host: String
        var processIdentifier: Int32
        /// The place that was kept for it.
        var place: Int?

        static func current(place: Int?) -> Worker {
            Worker(
                executable: ExecutableIdentity.current,
                host: String(StreamSocket.hostName.prefix(255)),
                processIdentifier: ThisProcess.identifier,
                place: place
            )
        }
    }

    /// What a pool tells a worker that it takes in.
    struct Terms: Codable, Sendable {
        var workerName: String
        var silenceLimit: Duration
        var maximumMessage: Int
    }

    private struct Refusal: Codable {
        var code: Int
        var message: String
    }

    // MARK: The worker's frame

    static func frame(of worker: Worker, _ token: WorkerToken, version: UInt32 = version) throws -> StreamFrame {
        let prefix = magic + withUnsafeBytes(of: version.littleEndian) { Array($0) } + token.workerProof
        return StreamFrame(kind: .hello, head: prefix + (try BinaryEncoder().encode(worker)))
    }

    enum Verdict {
        case worker(Worker)
        /// It does not know the secret, or is no worker at all: it gets no answer.
        case stranger(String)
        /// It knows the secret, and yet cannot be taken in.
        case refused(StreamError)
    }

    /// What a pool makes of the first frame of one who connected.
    static func check(_ frame: StreamFrame, _ token: WorkerToken) -> Verdict {
        let head = frame.head
        guard frame.kind == .hello, frame.content.isEmpty, head.count > prefixSize, head.starts(with: magic) else {
            return .stranger("it said no hello")
        }
        guard Secrets.areEqual(Array(head[12..<prefixSize]), token.workerProof) else {
            return .stranger("it does not know the secret")
        }
        let version = head.withUnsafeBytes {
            UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
        }
        guard version == Self.version else {
            return .refused(
                StreamError(
                    .otherVersion,
                    "The worker speaks version \(version) of the protocol, the pool \(Self.version)"
                )
            )
        }
        guard let worker = try? BinaryDecoder().decode(Worker.self, from: Array(head[prefixSize...])) else {
            return .refused(StreamError(.malformed, "The worker's hello cannot be read"))
        }
        let own = ExecutableIdentity.current
        guard worker.executable == own, !own.isEmpty else {
            return .refused(
                StreamError(
                    .otherExecutable,
                    "Process \(worker.processIdentifier) on \(worker.host) runs another executable than the pool, or another "
                        + "build of it: tasks are places in the pool's code, and mean nothing there"
                )
            )
        }
        return .worker(worker)
    }

    // MARK: The pool's frame

    static func welcome(_ terms: Terms, _ token: WorkerToken) throws -> StreamFrame {
        StreamFrame(kind: .welcome, head: token.poolProof + (try BinaryEncoder().encode(terms)))
    }

    static func refusal(_ error: StreamError, _ token: WorkerToken) throws -> StreamFrame {
        let code = codes.firstIndex(of: error.code) ?? 0
        let refusal = Refusal(code: code, message: error.message)
        return StreamFrame(kind: .refusal, head: token.poolProof + (try BinaryEncoder().encode(refusal)))
    }

    /// The reasons to refuse a worker, by the numbers that they travel as.
    private static let codes: [StreamError.Code] = [.malformed, .otherVersion, .otherExecutable, .noPlace]

    /// What a worker makes of the answer: the pool's terms.
    static func open(_ frame: StreamFrame, _ token: WorkerToken) throws(StreamError) -> Terms {
        let head = frame.head
        guard frame.kind == .welcome || frame.kind == .refusal, head.count > WorkerToken.proofSize,
            Secrets.areEqual(Array(head[..<WorkerToken.proofSize]), token.poolProof)
        else {
            throw StreamError(.stranger, "Who answered did not prove to be the pool: nothing that it sent was run")
        }
        let rest = Array(head[WorkerToken.proofSize...])
        let refused: StreamError
        do {
            if frame.kind == .welcome { return try BinaryDecoder().decode(Terms.self, from: rest) }
            let refusal = try BinaryDecoder().decode(Refusal.self, from: rest)
            refused = StreamError(
                codes.indices.contains(refusal.code) ? codes[refusal.code] : .malformed,
                refusal.message
            )
        } catch {
            throw StreamError(.malformed, "The pool's answer cannot be read: \(error)")
        }
        throw refused
    }
}
