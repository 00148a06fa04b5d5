internal import MultiprocessingSystem
internal import Synchronization
internal import SystemPackage

/// A memory file with blocks in it, mapped once in each process however often it arrives there.
///
/// Layout, version 1, little-endian: magic (4), version (4), size in bytes (8); blocks begin at byte 64.
final class SharedRegion: Sendable {
    static let headerSize = 64
    private static let magic: UInt32 = 0x5250_4D53  // "SMPR"
    private static let version: UInt32 = 1

    let file: SharedDescriptor
    private let mapping: SharedMapping

    var base: UnsafeMutableRawPointer { mapping.base }
    var count: Int { mapping.count }

    /// Makes a region for `byteCount` bytes of blocks.
    init(byteCount: Int, hugePages: Bool = false) throws {
        let page = hugePages ? 2 << 20 : 4096
        guard byteCount >= 0, byteCount <= 1 << 46 else {
            throw SharedStateError(.invalidArgument, "No shared memory has \(byteCount) bytes")
        }
        let size = (byteCount + Self.headerSize + page - 1) / page * page
        do throws(Errno) {
            file = SharedDescriptor(try Descriptor.sharedMemory(size, hugePages: hugePages))
            mapping = try SharedMapping(mapping: file.descriptor, count: size)
        } catch {
            throw SharedStateError.noMemory(byteCount, hugePages: hugePages, error)
        }
        mapping.base.storeBytes(of: Self.magic, as: UInt32.self)
        mapping.base.storeBytes(of: Self.version, toByteOffset: 4, as: UInt32.self)
        mapping.base.storeBytes(of: UInt64(size), toByteOffset: 8, as: UInt64.self)
    }

    /// Maps a region that arrived from another process.
    fileprivate init(adopting file: SharedDescriptor) throws {
        self.file = file
        do throws(Errno) {
            mapping = try SharedMapping(adopting: file.descriptor)
        } catch {
            throw SharedStateError(.malformed, "Shared memory that arrived cannot be used", errno: error)
        }
        guard mapping.count >= Self.headerSize,
            mapping.base.load(as: UInt32.self) == Self.magic,
            mapping.base.load(fromByteOffset: 4, as: UInt32.self) == Self.version,
            mapping.base.load(fromByteOffset: 8, as: UInt64.self) == UInt64(mapping.count)
        else {
            throw SharedStateError(
                .malformed,
                "Shared memory that arrived is not this library's, or of another version"
            )
        }
    }
}

/// This process's shared memory: the regions that it has mapped, and the one in which small blocks are made.
///
/// A block that other processes may know is never used again, because no count of its users would survive their being
/// killed: the kernel frees the region when nobody has it mapped any more. Blocks that never left this process are reused.
final class SharedMemoryPool: Sendable {
    /// A region for small blocks: memory is used only where it is touched.
    private static let arenaSize = 1 << 20
    /// Larger blocks get a region of their own.
    static let largest = 64 << 10

    private struct State {
        var regions: [FileIdentity: WeakRegion] = [:]
        var arena: SharedRegion?
        var used = 0
        /// Blocks to be used again, by their size.
        var free: [Int: [Piece]] = [:]
        /// Copies of this process made by a fork know every block that was there.
        var forkCount = ProcessStamp.forkCount
    }

    struct Piece {
        var region: SharedRegion
        var offset: Int
    }

    private struct WeakRegion {
        weak var region: SharedRegion?
    }

    private let state = Mutex(State())

    /// Room for a small block, zeroed.
    func allocate(_ size: Int) throws -> Piece {
        try state.withLock { state in
            forgetAfterFork(&state)
            if let piece = state.free[size]?.popLast() {
                (piece.region.base + piece.offset).initializeMemory(as: UInt8.self, repeating: 0, count: size)
                return piece
            }
            if state.arena == nil || state.used + size > state.arena!.count {
                state.arena = try SharedRegion(byteCount: Self.arenaSize - SharedRegion.headerSize)
                state.used = SharedRegion.headerSize
            }
            defer { state.used += size }
            return Piece(region: state.arena!, offset: state.used)
        }
    }

    /// Takes back a block that no other process can know.
    func free(_ piece: Piece, size: Int, forkCount: UInt32) {
        state.withLock { state in
            forgetAfterFork(&state)
            if forkCount == state.forkCount { state.free[size, default: []].append(piece) }
        }
    }

    private func forgetAfterFork(_ state: inout State) {
        guard state.forkCount != ProcessStamp.forkCount else { return }
        state.forkCount = ProcessStamp.forkCount
        state.free = [:]
        state.arena = nil
    }

    /// The region behind a descriptor that arrived, mapped anew only if it is not mapped already.
    func region(_ file: SharedDescriptor) throws -> SharedRegion {
        let identity: FileIdentity
        do throws(Errno) {
            identity = try FileIdentity(of: file.descriptor)
        } catch {
            throw SharedStateError(.malformed, "Shared memory arrived with a bad descriptor", errno: error)
        }
        return try state.withLock { state in
            if let region = state.regions[identity]?.region { return region }
            let region = try SharedRegion(adopting: file)
            note(region, identity, &state)
            return region
        }
    }

    /// Remembers a region made here, which may come back.
    func note(_ region: SharedRegion) {
        guard let identity = try? FileIdentity(of: region.file.descriptor) else { return }
        state.withLock { note(region, identity, &$0) }
    }

    private func note(_ region: SharedRegion, _ identity: FileIdentity, _ state: inout State) {
        // Entries of regions that are gone are dropped now and then, which costs each addition a constant share.
        if state.regions.count >= 64, state.regions.count.nonzeroBitCount == 1 {
            state.regions = state.regions.filter { $0.value.region != nil }
        }
        state.regions[identity] = WeakRegion(region: region)
    }
}
