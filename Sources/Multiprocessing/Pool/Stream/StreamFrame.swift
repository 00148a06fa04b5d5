/// What goes over a stream at one go: a small head, and bytes that are moved as they are.
///
/// Layout, little-endian: the head's length (4), the kind (1), zero (3), the content's length (8), head, content. The lengths are checked
/// before anything is allocated for them.
struct StreamFrame: Equatable, Sendable {
    enum Kind: UInt8 {
        /// The first one of a worker: who it is.
        case hello = 1
        /// The pool's answer: it is taken in.
        case welcome = 2
        /// The pool's answer: it is not, and why.
        case refusal = 3
        /// A ``PoolMessage``; the content is the message's own.
        case message = 4
        /// A sign of life.
        case beat = 5
        /// The last one of a worker that leaves by itself.
        case farewell = 6
        /// Behind the welcome: the content is what the worker is to run.
        case job = 7
        /// How many items of a task may have begun from now on; the head is the task (8) and the number (8).
        case claim = 8
    }

    static let headerSize = 16
    /// The most bytes of a head. Such a frame fits the reader's buffer, so heads are never on their way for long.
    static let mostHead = 32 << 10

    var kind: Kind
    var head: [UInt8]
    /// In one piece or several, one behind the other; in one when it has come.
    var content: [[UInt8]]

    init(kind: Kind, head: [UInt8] = [], content: [[UInt8]] = []) {
        self.kind = kind
        self.head = head
        self.content = content.filter { !$0.isEmpty }
    }

    init(kind: Kind, head: [UInt8] = [], content: [UInt8]) {
        self.init(kind: kind, head: head, content: [content])
    }

    var contentCount: Int { content.reduce(0) { $0 + $1.count } }

    /// All of it: what the other side's limit counts.
    var byteCount: Int { Self.headerSize + head.count + contentCount }

    /// Header and head, as they are sent.
    var front: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Self.headerSize + head.count)
        withUnsafeBytes(of: UInt32(head.count).littleEndian) { bytes += $0 }
        bytes += [kind.rawValue, 0, 0, 0]
        withUnsafeBytes(of: UInt64(contentCount).littleEndian) { bytes += $0 }
        return bytes + head
    }

    /// A frame's first bytes, taken apart and checked.
    struct Header {
        var kind: Kind
        var headCount: Int
        var contentCount: Int

        /// - Parameter bytes: ``StreamFrame/headerSize`` bytes.
        init(_ bytes: UnsafeRawBufferPointer, limit: Int) throws(StreamFault) {
            let headCount = UInt32(littleEndian: bytes.loadUnaligned(as: UInt32.self))
            let contentCount = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
            guard let kind = Kind(rawValue: bytes[4]), bytes[5] == 0, bytes[6] == 0, bytes[7] == 0 else {
                throw .malformed("a frame begins with \(Array(bytes))")
            }
            guard headCount <= mostHead else { throw .malformed("a head of \(headCount) bytes") }
            guard contentCount <= limit, headerSize + Int(headCount) + Int(contentCount) <= limit else {
                throw .tooLarge("a frame of \(contentCount) bytes, where \(limit) are allowed")
            }
            self.kind = kind
            self.headCount = Int(headCount)
            self.contentCount = Int(contentCount)
        }
    }
}

/// What is wrong with bytes that came. The stream is of no use afterwards: where the next frame begins is not known.
enum StreamFault: Error, Equatable, CustomStringConvertible {
    case malformed(String)
    case tooLarge(String)

    var description: String {
        switch self {
        case .malformed(let text), .tooLarge(let text): text
        }
    }
}
