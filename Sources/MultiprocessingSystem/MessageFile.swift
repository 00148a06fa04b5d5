public import SystemPackage
internal import _MultiprocessingShims

/// Long messages in memory files.
extension Descriptor {
    /// A memory file of some bytes. One copy, made by the kernel.
    ///
    /// Not sealed: to seal it against writing takes the kernel half a millisecond. Its reader copies it before looking at it.
    public static func memoryFile(holding bytes: UnsafeRawBufferPointer) throws(Errno) -> Descriptor {
        let file = try memoryFile(named: "multiprocessing")
        try file.fill(bytes)
        return file
    }

    /// Writes bytes behind those that were written to a memory file. One copy, made by the kernel.
    public func fill(_ bytes: UnsafeRawBufferPointer) throws(Errno) {
        if let base = bytes.baseAddress { _ = try check(_mp_fill(number, base, bytes.count)) }
    }

    /// Whether a file that came from another process has `count` bytes, for which its maker spent as much memory: one with holes
    /// would cost its reader more than its sender.
    public func isFilled(with count: Int) throws(Errno) -> Bool {
        let size = try fileSize()
        let used = try check(_mp_file_use(number))
        return size == count && count <= Int(used)
    }

    /// Copies the first bytes of the file to `buffer`, all of it. One copy, made by the kernel.
    ///
    /// - Throws: `.ioError` if there are fewer.
    public func readFromStart(into buffer: UnsafeMutableRawBufferPointer) throws(Errno) {
        guard let base = buffer.baseAddress else { return }
        _ = try check(_mp_read_at(number, base, buffer.count, 0))
    }
}
