internal import MultiprocessingWire

/// What a pool and a worker say to each other, over whatever joins them.
struct PoolMessage: Codable, Sendable {
    enum Kind: UInt8, Codable {
        // To a worker.
        /// Keep a function under a number.
        case function
        /// Forget it.
        case forget
        /// Run a task: a function with arguments. Number zero is the function in the content itself.
        case run
        /// Give a task back, if it has not begun.
        case recall
        /// Cancel the Swift task that runs it.
        case cancel
        /// Leave when everything is done.
        case stop

        // From a worker.
        /// Up, and its initialiser has run.
        case ready
        case began
        case recalled
        /// The content is the value; the number is the time that it took, in nanoseconds.
        case value
        /// The content is the error.
        case failure
        /// The initialiser threw; the content is its error.
        case setupFailed
        /// Everything is done, and the exit hook is about to run.
        case leaving
        /// The exit hook threw, or took too long; the content is its error.
        case exitFailed
    }

    var kind: Kind
    var task = 0
    var number = 0
    var content: TravellingBytes?
}

/// Encoded bytes together with the descriptors that go beside them, as a value that can be sent in a message.
struct TravellingBytes: Codable, Sendable {
    let bytes: [UInt8]
    let objects: [any AnyObject & Sendable]

    init(_ encoded: EncodedPieces) {
        bytes = encoded.joined()
        objects = encoded.objects
    }

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
        objects = []
    }

    /// For those that decode it.
    var pieces: EncodedPieces { EncodedPieces(pieces: [bytes], objects: objects) }

    private enum CodingKeys: CodingKey {
        case bytes, objects
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        bytes = try container.decode([UInt8].self, forKey: .bytes)
        let indices = try container.decodeIfPresent([Int].self, forKey: .objects) ?? []
        objects = try indices.map { try SharedDescriptor.attached(at: $0, "A task") }
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(bytes, forKey: .bytes)
        guard !objects.isEmpty else { return }
        try container.encode(objects.map { try ($0 as! SharedDescriptor).attach("A task") }, forKey: .objects)
    }
}
