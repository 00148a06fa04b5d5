public import SystemPackage
internal import _MultiprocessingShims

/// Memory files whose content nobody can change: what arrives in one can be read in place, whoever sent it.
extension Descriptor {
    /// A file of some pieces, one behind the other. One copy, made by the kernel.
    public static func sealedFile(
        holding pieces: [UnsafeRawBufferPointer],
        named name: String = "multiprocessing"
    ) throws(Errno) -> Descriptor {
        let file = try memoryFile(named: name)
        for piece in pieces {
            guard let base = piece.baseAddress else { continue }
            _ = try check(_mp_fill(file.number, base, piece.count))
        }
        _ = try check(_mp_seal_content(file.number))
        return file
    }

    /// The size in bytes of a file that came from another process.
    ///
    /// - Throws: `.invalidArgument` if somebody could change it, or if it is larger than what its maker spent on it: a file
    ///   with holes would cost its reader more than its sender.
    public func sealedSize() throws(Errno) -> Int {
        guard _mp_is_immutable(number) else { throw .invalidArgument }
        let count = try fileSize()
        guard count <= Int(try check(_mp_file_use(number))) else { throw .invalidArgument }
        return count
    }

    /// Copies the first bytes of the file to `buffer`, all of it. One copy, made by the kernel.
    public func readFromStart(into buffer: UnsafeMutableRawBufferPointer) throws(Errno) {
        guard let base = buffer.baseAddress else { return }
        _ = try check(_mp_read_at(number, base, buffer.count, 0))
    }

    /// Maps `count` bytes of the file for reading while `body` runs. Two system calls and no copy.
    public func withMappedBytes<R>(_ count: Int, _ body: (UnsafeRawBufferPointer) throws -> R) throws -> R {
        guard count > 0 else { return try body(UnsafeRawBufferPointer(start: nil, count: 0)) }
        var error: CInt = 0
        guard let address = _mp_map_private(number, count, &error) else { throw Errno(rawValue: error) }
        defer { _ = _mp_unmap(address, count) }
        return try body(UnsafeRawBufferPointer(start: address, count: count))
    }
}
