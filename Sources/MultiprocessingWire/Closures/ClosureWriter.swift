/// The bytes of a closure as they grow, and the images that its addresses lie in.
///
/// Layout: magic, checksum of what follows, the images (name, identity), the body. Integers are little-endian base 128.
/// An address is an image's index and the offset from that image's base.
struct ClosureWriter {
    static let magic: [UInt8] = Array("SMC1".utf8)

    private(set) var body: [UInt8] = []
    private var images: [ProcessImage] = []
    /// Contexts and boxes already written, so that two closures that share one share it at the other end too.
    var objects: [UnsafeRawPointer: ObjectState] = [:]
    var finishedObjects = 0

    /// How deep functions, values and types may be nested in each other: readers must not exhaust their stack.
    static let maximumDepth = 100
    private var depth = 0

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
        var header = ClosureWriter()
        header.put(images.count)
        for image in images {
            header.put(image.name)
            header.body.append(contentsOf: image.identity)
        }
        header.body.append(contentsOf: body)
        return ClosureWriter.seal(header.body)
    }

    /// Puts the magic and the checksum in front.
    static func seal(_ content: [UInt8]) -> [UInt8] {
        let sum = content.withUnsafeBytes { checksum($0) }
        return magic + (0..<8).map { UInt8(truncatingIfNeeded: sum >> ($0 * 8)) } + content
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
