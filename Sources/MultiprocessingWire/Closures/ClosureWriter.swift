/// The bytes of a closure as they grow, and the images that its addresses lie in.
///
/// Layout: magic, checksum, the count of the bytes that it covers (8), those bytes (the images, each a name and an identity;
/// then the body), then the large values, one behind the other. Integers are little-endian base 128.
/// An address is an image's index and the offset from that image's base.
struct ClosureWriter {
    static let magic: [UInt8] = Array("SMC1".utf8)

    private(set) var body: [UInt8] = []
    /// Collects what the values attach; nil where only bytes can go.
    let transfer: TransferContext?
    /// Encoded values that are large: kept as they are, so that they are not copied together on their way.
    private var large: [[UInt8]] = []
    /// The size from which an encoded value is large; reader and writer tell by it alone where a value is.
    static let largeSize = 64 << 10
    private var images: [ProcessImage] = []
    /// Contexts and boxes already written, so that two closures that share one share it at the other end too.
    var objects: [UnsafeRawPointer: ObjectState] = [:]
    var finishedObjects = 0

    /// How deep functions, values and types may be nested in each other: readers must not exhaust their stack.
    static let maximumDepth = 100
    private var depth = 0

    init(transfer: TransferContext? = TransferContext()) {
        self.transfer = transfer
    }

    /// Counts a level of nesting, exactly where the reader counts one.
    mutating func nested<R>(_ body: (inout ClosureWriter) throws(ClosureError) -> R) throws(ClosureError) -> R {
        guard depth < ClosureWriter.maximumDepth else {
            throw .refused("a closure", "holds closures or values nested more than \(ClosureWriter.maximumDepth) deep")
        }
        depth += 1
        defer { depth -= 1 }
        return try body(&self)
    }

    enum ObjectState {
        case inProgress
        case finished(index: Int)
    }

    mutating func put(byte: UInt8) { body.append(byte) }

    mutating func put(_ value: UInt) {
        var rest = value
        while rest >= 0x80 {
            body.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        body.append(UInt8(rest))
    }

    mutating func put(_ value: Int) { put(UInt(value)) }

    mutating func put(bytes: some Sequence<UInt8>, count: Int) {
        put(count)
        body.append(contentsOf: bytes)
    }

    /// Writes a value that the binary coder encoded.
    mutating func put(encoded arrays: [[UInt8]]) {
        let count = arrays.reduce(0) { $0 + $1.count }
        put(count)
        if count < Self.largeSize {
            for array in arrays { body.append(contentsOf: array) }
        } else {
            large += arrays
        }
    }

    mutating func put(_ string: String) { put(bytes: string.utf8, count: string.utf8.count) }

    /// Writes the position of an address: where it is in its image, which holds in every process of the program.
    mutating func put(position address: UnsafeRawPointer, of what: String) throws(ClosureError) {
        let value = UInt(bitPattern: address)
        guard let image = images.first(where: { $0.holds(value, size: 1) }) ?? ProcessImages.containing(value) else {
            throw ClosureError(.closureNotUnderstood, what, reason: "is in none of the program's images")
        }
        if let index = images.firstIndex(where: { $0.base == image.base }) {
            put(index)
        } else {
            put(images.count)
            images.append(image)
        }
        put(value &- image.base)
    }

    /// The finished bytes.
    func finish() -> [UInt8] {
        pieces().joined()
    }

    /// The finished bytes in pieces that belong one behind the other. Large values are not copied.
    func pieces() -> EncodedPieces {
        var header = ClosureWriter(transfer: nil)
        header.put(images.count)
        for image in images {
            header.put(image.name)
            header.body.append(contentsOf: image.identity)
        }
        header.body.append(contentsOf: body)
        return EncodedPieces(pieces: [ClosureWriter.seal(header.body)] + large, objects: transfer?.objects ?? [])
    }

    /// Puts the magic, the checksum and the count in front.
    static func seal(_ content: [UInt8]) -> [UInt8] {
        let sum = content.withUnsafeBytes { checksum($0) }
        func bytes(_ number: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) } }
        return magic + bytes(sum) + bytes(UInt64(content.count)) + content
    }

    /// FNV-1a over words: against damage, not against forgery, which the channel has to keep out.
    static func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        var index = 0
        while index + 8 <= bytes.count {
            hash = (hash ^ bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)) &* 0x100_0000_01b3
            hash ^= hash >> 29
            index += 8
        }
        while index < bytes.count {
            hash = (hash ^ UInt64(bytes[index])) &* 0x100_0000_01b3
            index += 1
        }
        return hash ^ (hash >> 32) ^ UInt64(bytes.count)
    }
}

/// Encoded bytes in pieces that belong one behind the other.
public struct EncodedPieces: Sendable {
    /// The pieces. Large arrays of bytes among the values may be pieces as they are, without a copy.
    public var pieces: [[UInt8]]
    /// What has to travel beside the bytes; see ``TransferContext``.
    public var objects: [any AnyObject & Sendable]

    /// Bytes in pieces.
    public init(pieces: [[UInt8]], objects: [any AnyObject & Sendable] = []) {
        self.pieces = pieces
        self.objects = objects
    }

    /// Bytes in one piece.
    public init(_ bytes: [UInt8]) {
        pieces = [bytes]
        objects = []
    }

    /// The number of bytes in all.
    public var count: Int { pieces.reduce(0) { $0 + $1.count } }

    /// All in one, by one copy.
    public func joined() -> [UInt8] {
        guard pieces.count > 1 else { return pieces.first ?? [] }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count)
        for piece in pieces { bytes += piece }
        return bytes
    }
}
