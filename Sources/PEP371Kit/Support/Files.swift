internal import Glibc

/// Writes a whole file; creates or replaces it.
package func writeFile(_ bytes: some Collection<UInt8>, to path: String) throws(BenchmarkError) {
    guard let file = fopen(path, "wbe") else { throw BenchmarkError.errno("write \(path)") }
    let bytes = Array(bytes)
    let written = fwrite(bytes, 1, bytes.count, file)
    // The buffer goes out at the close: a full disk may show only there.
    guard fclose(file) == 0, written == bytes.count else { throw BenchmarkError.errno("write \(path)") }
}

/// The contents of a small text file such as those of `/proc`, or nil where it cannot be read.
package func readFile(_ path: String) -> String? {
    guard let file = fopen(path, "rbe") else { return nil }
    defer { fclose(file) }
    var contents: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 16_384)
    while true {
        let count = fread(&buffer, 1, buffer.count, file)
        if count == 0 { break }
        contents += buffer[..<count]
    }
    return String(decoding: contents, as: UTF8.self)
}

/// A pipe that programs started later do not inherit.
///
/// Not `pipe2`, which Swift's Glibc module hides: a program started by another thread between the calls would inherit it, but
/// one thread alone starts programs here.
func makePipe() throws(BenchmarkError) -> (reading: Int32, writing: Int32) {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { throw BenchmarkError.errno("make a pipe") }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    return (ends[0], ends[1])
}

/// Reads what a descriptor has for us, again after interruptions; 0 at the end of file.
func readSome(_ descriptor: Int32, into buffer: inout [UInt8]) -> Int {
    while true {
        let count = read(descriptor, &buffer, buffer.count)
        if count >= 0 || errno != EINTR { return count }
    }
}
