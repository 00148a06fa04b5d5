internal import MultiprocessingSystem
internal import Synchronization

// Unsafe code. Invariants:
// - `base` is at least `MessageRing.size` bytes of shared memory, aligned to 64, that stay mapped as long as the ring is used
//   (its owner holds the block);
// - every position that is read from the memory is checked against the ring before anything behind it is touched: whoever
//   shares it may have written anything;
// - bytes are read once, into private memory, and looked at there.

/// One direction of a connection: messages in shared memory, in the order in which they were committed.
///
/// Layout, version 1, little-endian; see Documentation/Layouts/Connection.md. Positions count bytes since the beginning and
/// never wrap; a byte's place is its position modulo the capacity. A message is committed by the one store of `tail`, and taken
/// by the one store of `head`: who dies before has not sent, or not received.
struct MessageRing: @unchecked Sendable {
    // Unchecked: an address that is used by atomic operations, and for bytes by whoever holds the guard of that side.

    static let capacity = 4 << 20
    private static let headerSize = 320
    static let size = headerSize + capacity
    /// Longer messages go beside the ring, in a file.
    static let longestInline = 1 << 20
    /// An empty ring that is used beyond here begins anew: memory that is not needed is not touched, and what is stays in the cache.
    private static let comfortable = 32 << 10

    private let base: UnsafeMutableRawPointer

    init(_ base: UnsafeMutableRawPointer) {
        self.base = base
        sendGuard = OwnerWord((base + 192).assumingMemoryBound(to: Atomic<UInt64>.self))
        receiveGuard = OwnerWord((base + 256).assumingMemoryBound(to: Atomic<UInt64>.self))
    }

    private func word(_ offset: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
        (base + offset).assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    /// Where the next message will be committed: written by senders.
    var tail: UnsafeMutablePointer<Atomic<UInt64>> { word(0) }
    /// The number of the last packet with descriptors, counted before it is sent.
    var lastTicketSent: UnsafeMutablePointer<Atomic<UInt64>> { word(8) }
    /// `head` as the last sender saw it, and how many messages were sent since it moved.
    var headSeen: UnsafeMutablePointer<Atomic<UInt64>> { word(16) }
    var sentSinceMove: UnsafeMutablePointer<Atomic<UInt64>> { word(24) }
    /// Two words for what the senders' side wants to have known at any moment, also when it has died. The connection makes nothing
    /// of them.
    func note(_ index: Int) -> UnsafeMutablePointer<Atomic<UInt64>> { word(40 + 8 * index) }

    /// The processor on which the last sender ran when it committed, from 1; 0 if that is not known.
    var senderProcessor: UnsafeMutablePointer<Atomic<UInt32>> { half(32) }

    /// Up to where messages were taken: written by receivers.
    var head: UnsafeMutablePointer<Atomic<UInt64>> { word(64) }
    /// The number of the last packet that was asked for.
    var lastTicketTaken: UnsafeMutablePointer<Atomic<UInt64>> { word(72) }

    private func half(_ offset: Int) -> UnsafeMutablePointer<Atomic<UInt32>> {
        (base + offset).assumingMemoryBound(to: Atomic<UInt32>.self)
    }

    /// ``bell`` (low half) and ``naps`` in one.
    var calls: UnsafeMutablePointer<Atomic<UInt64>> { word(128) }
    /// Odd while a receiver sleeps on the socket, or may: then whoever commits a message rings, and makes it even.
    var bell: UnsafeMutablePointer<Atomic<UInt32>> { half(128) }
    /// Not zero while a receiver sleeps on `tail`: then whoever commits a message makes it zero and wakes them.
    var naps: UnsafeMutablePointer<Atomic<UInt32>> { half(132) }
    /// Not zero while a sender sleeps on `head` for want of space: then the ``call(atHead:)`` of the last that did.
    var wantsSpace: UnsafeMutablePointer<Atomic<UInt32>> { half(136) }
    /// Not zero once somebody polls the descriptor by other means than this library's.
    var isPolled: UnsafeMutablePointer<Atomic<UInt32>> { half(140) }

    /// Whether ``calls`` asks for anything.
    @inline(__always)
    static func isCalled(_ calls: UInt64) -> Bool { calls & 0xffff_ffff_0000_0001 != 0 }

    /// What a sender puts into ``wantsSpace`` that found no room behind a head. Positions are multiples of 8, so it is not zero.
    static func call(atHead head: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: head) | 1 }

    let sendGuard: OwnerWord
    let receiveGuard: OwnerWord

    private var data: UnsafeMutableRawPointer { base + Self.headerSize }

    /// Whether no message is there.
    @inline(__always)
    var isEmpty: Bool {
        tail.pointee.load(ordering: .sequentiallyConsistent) == head.pointee.load(ordering: .acquiring)
    }

    // MARK: Records

    enum Kind: UInt8 {
        /// The bytes follow.
        case bytes = 1
        /// The bytes are in a file, the first descriptor of the packet; their number follows.
        case file = 2
        /// No bytes: the message is the packet's descriptor.
        case descriptor = 3
        /// Nothing more up to the end of the ring's memory.
        case padding = 127
    }

    /// What stands before a message: its length (4 bytes), kind (1), zero (1), number of descriptors in its packet (2); then, if
    /// that is not zero, the packet's ticket (8); the content, filled up to a multiple of 8.
    struct Record {
        var kind: Kind
        /// Bytes of content in the ring.
        var length: Int
        var descriptorCount: Int
        var ticket: UInt64 = 0
        /// Bytes of the message: those in the file, if there is one.
        var byteCount = 0
        /// Where in the ring's memory the content begins.
        var place = 0
        /// The position behind it.
        var end: UInt64 = 0

        /// The bytes that the record takes.
        var size: Int { 8 + (descriptorCount > 0 ? 8 : 0) + (length + 7) / 8 * 8 }
    }

    /// The bytes in use, or an error if the positions are not those of a ring.
    func used(tail: UInt64, head: UInt64) throws(SharedStateError) -> Int {
        let used = tail &- head
        guard used <= UInt64(Self.capacity), used & 7 == 0, head & 7 == 0 else {
            throw SharedStateError(.malformed, "The memory of a connection is damaged: it cannot be used any more")
        }
        return Int(used)
    }

    /// The first message; nil if there is none. For the holder of the receive guard.
    func first() throws(SharedStateError) -> Record? {
        var position = head.pointee.load(ordering: .relaxed)
        let tail = tail.pointee.load(ordering: .acquiring)
        var used = try used(tail: tail, head: position)
        if used == 0 { return nil }
        var place = Int(position % UInt64(Self.capacity))
        var header = data.load(fromByteOffset: place, as: UInt64.self)
        if UInt8(truncatingIfNeeded: header >> 32) == Kind.padding.rawValue {
            let rest = Self.capacity - place
            guard rest < used, place > 0 else { throw damaged }
            position &+= UInt64(rest)
            used -= rest
            place = 0
            header = data.load(as: UInt64.self)
        }
        let kind = UInt8(truncatingIfNeeded: header >> 32)
        let length = Int(UInt32(truncatingIfNeeded: header))
        let descriptorCount = Int(header >> 48)
        guard let kind = Kind(rawValue: kind), kind != .padding, length <= Self.longestInline else { throw damaged }
        var record = Record(kind: kind, length: length, descriptorCount: descriptorCount, byteCount: length)
        guard record.size <= used, record.size <= Self.capacity - place else { throw damaged }
        record.place = place + 8
        if descriptorCount > 0 {
            record.ticket = data.load(fromByteOffset: place + 8, as: UInt64.self)
            record.place += 8
        }
        if kind == .file {
            guard length == 8, descriptorCount > 0 else { throw damaged }
            let count = data.load(fromByteOffset: record.place, as: UInt64.self)
            guard count <= 1 << 46 else { throw damaged }
            record.byteCount = Int(count)
        }
        if kind == .descriptor, length != 0 || descriptorCount != 1 { throw damaged }
        record.end = position &+ UInt64(record.size)
        return record
    }

    private var damaged: SharedStateError {
        SharedStateError(.malformed, "A message in a connection's memory is damaged: it cannot be used any more")
    }

    /// A record's content where it lies. For the holder of the receive guard; whoever shares the memory may write to it all the same.
    @inline(__always)
    func content(of record: Record) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: data + record.place, count: record.length)
    }

    /// Copies a record's content out. For the holder of the receive guard.
    @inline(__always)
    func copyContent(of record: Record, to target: UnsafeMutableRawPointer) {
        target.copyMemory(from: data + record.place, byteCount: record.length)
    }

    /// Writes a message behind the last one, not yet committed; returns the tail that commits it, or nil if there is no room.
    ///
    /// For the holder of the send guard. The content of a record with a file is the file's size.
    func write(_ record: Record, _ content: UnsafeRawBufferPointer, head: UInt64) throws(SharedStateError) -> UInt64? {
        let tail = tail.pointee.load(ordering: .relaxed)
        let used = try used(tail: tail, head: head)
        let size = record.size
        var place = Int(tail % UInt64(Self.capacity))
        let rest = Self.capacity - place
        let beginsAnew = used == 0 && place >= max(Self.comfortable, size)
        let padding = size > rest || beginsAnew ? rest : 0
        if padding + size > Self.capacity - used { return nil }
        if padding > 0 {
            data.storeBytes(of: UInt64(Kind.padding.rawValue) << 32, toByteOffset: place, as: UInt64.self)
            place = 0
        }
        data.storeBytes(
            of: UInt64(UInt32(record.length)) | UInt64(record.kind.rawValue) << 32
                | UInt64(UInt16(record.descriptorCount)) << 48,
            toByteOffset: place,
            as: UInt64.self
        )
        place += 8
        if record.descriptorCount > 0 {
            data.storeBytes(of: record.ticket, toByteOffset: place, as: UInt64.self)
            place += 8
        }
        if record.kind == .file {
            data.storeBytes(of: UInt64(record.byteCount), toByteOffset: place, as: UInt64.self)
        } else if let source = content.baseAddress {
            (data + place).copyMemory(from: source, byteCount: content.count)
        }
        return tail &+ UInt64(padding + size)
    }
}
