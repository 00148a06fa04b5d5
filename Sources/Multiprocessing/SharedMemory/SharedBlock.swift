internal import MultiprocessingSystem
internal import Synchronization

/// The shared memory of one lock, queue, array…: made by one process, known to all that it was sent to.
///
/// Layout, version 1, little-endian: kind (4), the kind's version (4), size of the payload in bytes (8); the payload begins at
/// byte 64, on a cache line of its own. All of it is zero at first.
final class SharedBlock: Sendable {
    /// What lives in a block. The numbers are part of the layout; never use one again.
    enum Kind: UInt32 {
        case test = 1
        case lock, semaphore, condition, event, barrier, queue, channel, value, list
        case recursiveLock
        case array = 40
        case atomic
    }

    private static let headerSize = 64

    private let region: SharedRegion
    private let offset: Int
    /// The payload's size in bytes.
    let byteCount: Int
    private let kind: Kind
    /// Whether this process made it, and no other can know it.
    private let isPrivate: Atomic<Bool>
    private let forkCount: UInt32
    private let maker: ProcessStamp

    /// The payload; zero at first. Aligned to 64 bytes.
    var base: UnsafeMutableRawPointer { region.base + offset + Self.headerSize }

    /// Makes a block of zero bytes. A system call or two if it is large or the first one; else none.
    ///
    /// - Throws: ``SharedStateError`` (`outOfResources`, `invalidArgument`).
    init(_ kind: Kind, version: UInt32, byteCount: Int, hugePages: Bool = false) throws {
        let size = (byteCount + Self.headerSize + 63) / 64 * 64
        let pool = Runtime.current.sharedMemory
        maker = .current
        forkCount = ProcessStamp.forkCount
        if size <= SharedMemoryPool.largest, !hugePages {
            let piece = try pool.allocate(size)
            (region, offset) = (piece.region, piece.offset)
        } else {
            (region, offset) = (try SharedRegion(byteCount: size, hugePages: hugePages), SharedRegion.headerSize)
        }
        self.byteCount = byteCount
        self.kind = kind
        isPrivate = Atomic(true)
        let header = region.base + offset
        header.storeBytes(of: kind.rawValue, as: UInt32.self)
        header.storeBytes(of: version, toByteOffset: 4, as: UInt32.self)
        header.storeBytes(of: UInt64(byteCount), toByteOffset: 8, as: UInt64.self)
    }

    deinit {
        guard isPrivate.load(ordering: .relaxed), offset != SharedRegion.headerSize || region.count <= 1 << 20 else {
            return
        }
        guard byteCount + Self.headerSize <= SharedMemoryPool.largest, maker == .current else { return }
        let size = (byteCount + Self.headerSize + 63) / 64 * 64
        Runtime.current.sharedMemory.free(
            SharedMemoryPool.Piece(region: region, offset: offset),
            size: size,
            forkCount: forkCount
        )
    }

    /// A 64-bit word of the payload.
    func word(_ byteOffset: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
        precondition(byteOffset >= 0 && byteOffset & 7 == 0 && byteOffset + 8 <= byteCount)
        return (base + byteOffset).assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    /// A 32-bit word of the payload.
    func futex(_ byteOffset: Int) -> FutexWord {
        precondition(byteOffset >= 0 && byteOffset & 3 == 0 && byteOffset + 4 <= byteCount)
        return FutexWord(base + byteOffset)
    }

    // MARK: Travelling

    private enum CodingKeys: CodingKey {
        case file, offset, count
    }

    /// Attaches the region to the message that is being encoded, and writes where in it the block is.
    ///
    /// - Throws: ``SharedStateError`` (`cannotTravel`) where only bytes can go.
    func encode(to encoder: any Encoder) throws {
        let index = try region.file.attach("A \(kind)")
        if isPrivate.exchange(false, ordering: .relaxed) { Runtime.current.sharedMemory.note(region) }
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(index, forKey: .file)
        try container.encode(offset, forKey: .offset)
        try container.encode(byteCount, forKey: .count)
    }

    /// Finds the block that a message names, in the region that came with it.
    ///
    /// - Throws: ``SharedStateError`` (`malformed`) if what is there is not a block of this kind and version.
    init(from decoder: any Decoder, _ kind: Kind, version: UInt32) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let index = try container.decode(Int.self, forKey: .file)
        offset = try container.decode(Int.self, forKey: .offset)
        byteCount = try container.decode(Int.self, forKey: .count)
        region = try Runtime.current.sharedMemory.region(SharedDescriptor.attached(at: index, "A \(kind)"))
        self.kind = kind
        isPrivate = Atomic(false)
        forkCount = 0
        maker = .nobody
        guard offset >= SharedRegion.headerSize, offset & 63 == 0, byteCount >= 0,
            offset <= region.count - Self.headerSize, byteCount <= region.count - Self.headerSize - offset
        else {
            throw SharedStateError(.malformed, "A \(kind) arrived that lies outside its memory")
        }
        let header = region.base + offset
        guard header.load(as: UInt32.self) == kind.rawValue,
            header.load(fromByteOffset: 4, as: UInt32.self) == version,
            header.load(fromByteOffset: 8, as: UInt64.self) == UInt64(byteCount)
        else {
            throw SharedStateError(.malformed, "What arrived is not a \(kind) of version \(version)")
        }
    }
}
