public import SystemPackage
internal import _MultiprocessingShims

/// A file's content, mapped for reading and unmapped when its owner goes.
public struct MappedFile: ~Copyable, Sendable {
    private nonisolated(unsafe) let address: UnsafeMutableRawPointer?
    /// The number of bytes.
    public let count: Int

    /// Maps the whole of a memory file.
    ///
    /// - Parameter isPresent: whether its pages are made present at once. To have them come as they are read is faster for a file that
    ///   is read once, from the beginning to the end.
    public init(_ file: borrowing Descriptor, isPresent: Bool = true) throws(Errno) {
        let count = try file.fileSize()
        let address = count == 0 ? nil : _mp_map(file.number, count, false, isPresent)
        if count > 0, address == nil { throw .noMemory }
        self.count = count
        self.address = address
    }

    deinit {
        if let address { _ = _mp_unmap(address, count) }
    }

    /// The content, valid as long as this value lives.
    public var content: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: address, count: count)
    }

    /// The content, valid inside `body`.
    public func withBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        try body(UnsafeRawBufferPointer(start: address, count: count))
    }
}

extension Descriptor {
    /// An anonymous memory file that holds some arrays, one behind the other. One copy, made by the kernel.
    public static func memoryFile(holding parts: [[UInt8]]) throws(Errno) -> Descriptor {
        let file = try memoryFile(named: "multiprocessing")
        for part in parts {
            let error: Errno? = part.withUnsafeBytes { raw in
                guard let base = raw.baseAddress else { return nil }
                do throws(Errno) { _ = try check(_mp_fill(file.number, base, raw.count)) } catch { return error }
                return nil
            }
            if let error { throw error }
        }
        return file
    }
}
