public import SystemPackage
internal import _MultiprocessingShims

// Unsafe code. Invariants:
// - `base` is a shared mapping of `count` bytes of a file, made once, unmapped once, in `deinit`;
// - the file cannot shrink: touching the mapping never raises SIGBUS for want of a file (a machine out of memory may).

/// This process's mapping of a file in memory that several processes have mapped.
public final class SharedMapping: @unchecked Sendable {
    // Unchecked: both fields are constant. What is behind `base` is shared memory, whose users bring their own order.

    /// The first byte, at a multiple of the page size.
    public let base: UnsafeMutableRawPointer
    /// The number of bytes.
    public let count: Int

    /// Maps a file that came from another process, the whole of it.
    ///
    /// - Throws: `.invalidArgument` if the file can shrink, or is empty.
    public convenience init(adopting file: borrowing Descriptor) throws(Errno) {
        guard _mp_cannot_shrink(file.number) else { throw .invalidArgument }
        let count = try file.fileSize()
        guard count > 0 else { throw .invalidArgument }
        try self.init(mapping: file, count: count)
    }

    /// Maps the first `count` bytes of a file that the caller knows to keep its size.
    public init(mapping file: borrowing Descriptor, count: Int, writable: Bool = true) throws(Errno) {
        var error: CInt = 0
        guard let address = _mp_map_shared(file.number, count, writable, &error) else { throw Errno(rawValue: error) }
        base = address
        self.count = count
    }

    deinit {
        _ = _mp_unmap(base, count)
    }
}

/// Tells files apart: a file's device and inode.
public struct FileIdentity: Hashable, Sendable {
    /// The device's number.
    public private(set) var device: UInt64 = 0
    /// The file's number on it.
    public private(set) var inode: UInt64 = 0

    /// An identity that was written down.
    public init(device: UInt64, inode: UInt64) {
        self.device = device
        self.inode = inode
    }

    /// The identity of an open file. One system call.
    public init(of file: borrowing Descriptor) throws(Errno) {
        _ = try check(_mp_file_identity(file.number, &device, &inode))
    }

    /// The identity of what a path names; nil if there is nothing. One system call.
    public init?(at path: String) {
        guard _mp_path_identity(path, &device, &inode) >= 0 else { return nil }
    }
}

extension Descriptor {
    /// An anonymous file of `count` zero bytes that can neither shrink nor grow. Memory is used where it is touched.
    ///
    /// - Parameter hugePages: from the system's pool of 2 MiB pages; `count` has to be a multiple of that.
    public static func sharedMemory(
        _ count: Int,
        named name: String = "multiprocessing",
        hugePages: Bool = false
    ) throws(Errno) -> Descriptor {
        Descriptor(owning: try check(_mp_memfd_sized(name, UInt64(count), hugePages)))
    }
}
