internal import MultiprocessingSystem
internal import Synchronization
internal import SystemPackage

/// One end of a connection in this process: its socket, and the shared memory of both ends.
///
/// The socket carries descriptors, rings the bell for sleepers, and tells the death of the other end; the messages are in memory.
final class ConnectionEnd: Sendable {
    private static let version: UInt32 = 1
    private static let headerSize = 64
    /// No sleep is longer: a sender may be killed after its commit and before it rings, while others keep its end open.
    static let longestSleep: Duration = .milliseconds(500)

    private let block: SharedBlock
    /// Which of the two ends it is. The first ring brings messages to end 0, the second, if there is one, to end 1.
    let side: Int
    let isDuplex: Bool
    let incoming: MessageRing?
    let outgoing: MessageRing?

    /// Nil once closed. Whoever uses it holds a reference meanwhile: the number is not given to another file before.
    private let slot: Mutex<SharedDescriptor?>
    private let closed = Atomic(false)

    /// For a message that is about to come.
    let spin = AdaptiveSpin()
    /// For a guard that is about to be released, and for space.
    let guardSpin = AdaptiveSpin()

    private init(_ block: SharedBlock, side: Int, isDuplex: Bool, _ socket: SharedDescriptor) {
        self.block = block
        self.side = side
        self.isDuplex = isDuplex
        let base = block.base + Self.headerSize
        let rings = (MessageRing(base), isDuplex ? MessageRing(base + MessageRing.size) : nil)
        incoming = side == 0 ? rings.0 : rings.1
        outgoing = side == 0 ? rings.1 : rings.0
        slot = Mutex(socket)
    }

    /// Makes the two ends of a new connection around connected sockets.
    private static func makeBlock(isDuplex: Bool) throws -> SharedBlock {
        let block = try SharedBlock(
            .channel,
            version: version,
            byteCount: headerSize + MessageRing.size * (isDuplex ? 2 : 1)
        )
        // Whoever polls an end before anything was received finds it readable with the first message.
        for ring in 0..<(isDuplex ? 2 : 1) {
            MessageRing(block.base + headerSize + ring * MessageRing.size).bell.pointee.store(1, ordering: .relaxed)
        }
        return block
    }

    static func pair(isDuplex: Bool) throws -> (ConnectionEnd, ConnectionEnd) {
        let block = try makeBlock(isDuplex: isDuplex)
        let numbers: (CInt, CInt)
        do throws(Errno) {
            numbers = try Descriptor.socketPairNumbers()
        } catch {
            throw SharedStateError(.outOfResources, "A connection could not be made", errno: error)
        }
        return (
            ConnectionEnd(block, side: 0, isDuplex: isDuplex, SharedDescriptor(Descriptor(owning: numbers.0))),
            ConnectionEnd(block, side: 1, isDuplex: isDuplex, SharedDescriptor(Descriptor(owning: numbers.1)))
        )
    }

    /// The memory of a connection, on its way to the process at the other end of the socket.
    struct Memory: Codable {
        fileprivate let block: SharedBlock

        init() throws {
            block = try makeBlock(isDuplex: true)
        }

        func encode(to encoder: any Encoder) throws {
            try block.encode(to: encoder)
        }

        init(from decoder: any Decoder) throws {
            block = try SharedBlock(from: decoder, .channel, version: version)
        }
    }

    /// An end of a connection whose sockets and memory came about separately.
    convenience init(_ memory: Memory, side: Int, _ socket: SharedDescriptor) throws {
        try Self.requireShape(memory.block, isDuplex: true)
        self.init(memory.block, side: side, isDuplex: true, socket)
    }

    private static func requireShape(_ block: SharedBlock, isDuplex: Bool) throws {
        guard block.byteCount == headerSize + MessageRing.size * (isDuplex ? 2 : 1) else {
            throw SharedStateError(.malformed, "A connection arrived whose memory has another shape")
        }
    }

    // MARK: Open and closed

    var isClosed: Bool { closed.load(ordering: .relaxed) }

    @inline(__always)
    func requireOpen() throws(SharedStateError) {
        if closed.load(ordering: .relaxed) { throw Self.closedError }
    }

    private static var closedError: SharedStateError { SharedStateError(.closed, "The connection was closed") }

    /// The socket, for as long as the caller holds it.
    func socket() throws(SharedStateError) -> SharedDescriptor {
        guard let socket = slot.withLock({ $0 }) else { throw Self.closedError }
        return socket
    }

    func close() {
        closed.store(true, ordering: .sequentiallyConsistent)
        let socket = slot.withLock { slot in
            defer { slot = nil }
            return slot
        }
        guard socket != nil else { return }
        // Whoever sends to this end from now on rings, and so finds out that nobody is there.
        incoming?.armBell()
    }

    /// Whether nobody is left at the other end. One system call.
    func peerIsGone() throws(SharedStateError) -> Bool {
        try socket().descriptor.hasHungUp
    }

    static var peerGone: SharedStateError {
        SharedStateError(.peerGone, "Nobody is left at the other end of the connection")
    }

    func requireIncoming() throws(SharedStateError) -> MessageRing {
        try requireOpen()
        guard let incoming else {
            throw SharedStateError(.invalidArgument, "This end of a one-way connection can only send")
        }
        return incoming
    }

    func requireOutgoing() throws(SharedStateError) -> MessageRing {
        try requireOpen()
        guard let outgoing else {
            throw SharedStateError(.invalidArgument, "This end of a one-way connection can only receive")
        }
        return outgoing
    }

    // MARK: Travelling

    private enum CodingKeys: CodingKey {
        case socket, side, isDuplex, memory
    }

    func encode(to encoder: any Encoder) throws {
        let socket = try socket()
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(socket.attach("A connection"), forKey: .socket)
        try container.encode(side, forKey: .side)
        try container.encode(isDuplex, forKey: .isDuplex)
        try block.encode(to: container.superEncoder(forKey: .memory))
    }

    convenience init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let socket = try SharedDescriptor.attached(
            at: container.decode(Int.self, forKey: .socket),
            "A connection"
        )
        let side = try container.decode(Int.self, forKey: .side)
        let isDuplex = try container.decode(Bool.self, forKey: .isDuplex)
        let block = try SharedBlock(
            from: container.superDecoder(forKey: .memory),
            .channel,
            version: Self.version
        )
        guard side == 0 || side == 1 else {
            throw SharedStateError(.malformed, "A connection arrived that has neither of the two ends")
        }
        try Self.requireShape(block, isDuplex: isDuplex)
        self.init(block, side: side, isDuplex: isDuplex, socket)
    }
}
