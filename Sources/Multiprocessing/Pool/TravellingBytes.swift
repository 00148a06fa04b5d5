internal import MultiprocessingWire

/// Encoded bytes together with the descriptors that go beside them, as a value that can be sent in a message.
///
/// The bytes are where they were made or have arrived: large ones are put together by nobody.
struct TravellingBytes: Codable, Sendable {
    private enum Storage {
        case bytes([UInt8])
        /// One behind the other.
        case pieces([[UInt8]])
        /// The content of a file that came, mapped.
        case storage(JobStorage)
    }

    private let storage: Storage
    let objects: [any AnyObject & Sendable]

    init(_ encoded: EncodedPieces) {
        storage = encoded.pieces.count == 1 ? .bytes(encoded.pieces[0]) : .pieces(encoded.pieces)
        objects = encoded.objects
    }

    init(_ bytes: [UInt8], objects: [any AnyObject & Sendable] = []) {
        storage = .bytes(bytes)
        self.objects = objects
    }

    init(_ content: JobStorage, objects: [any AnyObject & Sendable]) {
        storage = .storage(content)
        self.objects = objects
    }

    var count: Int {
        switch storage {
        case .bytes(let bytes): bytes.count
        case .pieces(let pieces): pieces.reduce(0) { $0 + $1.count }
        case .storage(let content): content.bytes.count
        }
    }

    /// The bytes in arrays, one behind the other; copies only what came in a file.
    var arrays: [[UInt8]] {
        switch storage {
        case .bytes(let bytes): [bytes]
        case .pieces(let pieces): pieces
        case .storage(let content): [content.withBytes { Array($0) }]
        }
    }

    /// The bytes in one, valid inside `body`. Copies them if they are in pieces.
    func withBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        switch storage {
        case .bytes(let bytes): try bytes.withUnsafeBytes(body)
        case .pieces(let pieces): try EncodedPieces(pieces: pieces).joined().withUnsafeBytes(body)
        case .storage(let content): try content.withBytes(body)
        }
    }

    /// Calls `body` with the bytes, piece by piece.
    func forEachPiece<E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> Void) throws(E) {
        switch storage {
        case .bytes(let bytes): try bytes.span.bytes.withUnsafeBytes(body)
        case .pieces(let pieces): for piece in pieces { try piece.span.bytes.withUnsafeBytes(body) }
        case .storage(let content): try body(content.bytes)
        }
    }

    /// The result of a job that the bytes are.
    func decoded<Value>(as type: Value.Type = Value.self) throws -> Value {
        try withBytes { try Job.decodeResult($0, objects: objects, as: Value.self) }
    }

    /// The bytes at a place where they stay as long as the result lives.
    var stable: JobStorage {
        if case .storage(let content) = storage { return content }
        return withBytes { JobStorage($0) }
    }

    // MARK: In a message that is coded

    private enum CodingKeys: CodingKey {
        case bytes, objects
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        storage = .bytes(try container.decode([UInt8].self, forKey: .bytes))
        let indices = try container.decodeIfPresent([Int].self, forKey: .objects) ?? []
        objects = try indices.map { try SharedDescriptor.attached(at: $0, "A task") }
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(withBytes { Array($0) }, forKey: .bytes)
        guard !objects.isEmpty else { return }
        try container.encode(objects.map { try ($0 as! SharedDescriptor).attach("A task") }, forKey: .objects)
    }
}
