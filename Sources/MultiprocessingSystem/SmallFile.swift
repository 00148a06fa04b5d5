public import SystemPackage

/// Files of the kernel's that are read at one go.
public enum SmallFile {
    /// The content, at most 64 KiB of it.
    public static func read(_ path: String) throws(Errno) -> [UInt8] {
        let file = try Descriptor(opening: path, flags: 0)
        var content = [UInt8](repeating: 0, count: 65536)
        var count = 0
        while count < content.count {
            var got = 0
            let error: Errno? = content.withUnsafeMutableBytes { buffer in
                do throws(Errno) {
                    got = try file.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[count...]))
                } catch {
                    return error
                }
                return nil
            }
            if let error { throw error }
            if got == 0 { break }
            count += got
        }
        content.removeLast(content.count - count)
        return content
    }
}
