import Glibc
import SystemPackage

/// Blocks the thread.
func pause(_ duration: Duration) {
    let (seconds, attoseconds) = duration.components
    var time = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
    var rest = timespec()
    while nanosleep(&time, &rest) != 0 && errno == EINTR { time = rest }
}

/// Never returns: what a child does that is to be ended.
func sleepForever() -> Never {
    while true { sleep(1000) }
}

/// The open descriptors of this process, without the one that looks.
func openDescriptors() -> [Int32] {
    guard let directory = opendir("/proc/self/fd") else { return [] }
    defer { closedir(directory) }
    var numbers: [Int32] = []
    while let entry = readdir(directory) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
            $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        if let number = Int32(name), number != dirfd(directory) { numbers.append(number) }
    }
    return numbers.sorted()
}

/// A small file's text; nil if it cannot be read.
func text(of path: String) -> String? {
    let file = open(path, O_RDONLY)
    guard file >= 0 else { return nil }
    defer { close(file) }
    return readAll(file)
}

/// Everything up to the end of file.
func readAll(_ file: Int32) -> String {
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while true {
        let count = read(file, &buffer, buffer.count)
        if count < 0 && errno == EINTR { continue }
        if count <= 0 { return String(decoding: bytes, as: UTF8.self) }
        bytes += buffer[..<count]
    }
}

/// What a descriptor, or another link in /proc, points to.
func linkTarget(_ path: String) -> String? {
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = buffer.withUnsafeMutableBytes {
        readlink(path, $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count)
    }
    return count < 0 ? nil : String(decoding: buffer[..<count], as: UTF8.self)
}

/// The letter by which /proc knows a process's state; nil when there is no such process.
func state(of pid: Int32) -> Character? {
    guard let line = text(of: "/proc/\(pid)/stat"), let name = line.lastIndex(of: ")") else { return nil }
    return line[name...].dropFirst(2).first
}

/// Whether a process has ended; one that only waits to be reaped has.
func isGone(_ pid: Int32) -> Bool {
    let state = state(of: pid)
    return state == nil || state == "Z" || state == "X"
}

/// The children of this process that have ended and were not reaped.
func zombies() -> [Int32] {
    childrenOfThisProcess().filter { state(of: $0) == "Z" }
}

/// The children of this process, reaped or not.
func childrenOfThisProcess() -> [Int32] {
    guard let directory = opendir("/proc/self/task") else { return [] }
    defer { closedir(directory) }
    var children: [Int32] = []
    while let entry = readdir(directory) {
        let thread = withUnsafePointer(to: &entry.pointee.d_name) {
            $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        guard Int32(thread) != nil else { continue }
        children += (text(of: "/proc/self/task/\(thread)/children") ?? "").split(separator: " ").compactMap {
            Int32($0)
        }
    }
    return children
}

/// The resident memory of this process, in bytes.
func residentMemory() -> Int {
    let fields = (text(of: "/proc/self/statm") ?? "").split(separator: " ")
    return fields.count > 1 ? (Int(fields[1]) ?? 0) * sysconf(Int32(_SC_PAGESIZE)) : 0
}

/// A pipe; both ends are the caller's to close.
struct PlainPipe: Sendable {
    let reading: FileDescriptor
    let writing: FileDescriptor

    init() throws {
        (reading, writing) = try FileDescriptor.pipe()
        for end in [reading, writing] { _ = fcntl(end.rawValue, F_SETFD, FD_CLOEXEC) }
    }

    /// Closes the writing end and returns what was written, up to the end.
    func closeAndRead() -> String {
        try? writing.close()
        defer { try? reading.close() }
        return readAll(reading.rawValue)
    }
}

/// Writes a text at one go.
func put(_ text: String, to file: Int32) {
    let bytes = Array(text.utf8)
    _ = write(file, bytes, bytes.count)
}

/// Whether a descriptor is readable, or at its end, within a time.
func isReadable(_ file: Int32, within milliseconds: Int32 = 0) -> Bool {
    var entry = pollfd(fd: file, events: Int16(POLLIN), revents: 0)
    return poll(&entry, 1, milliseconds) > 0
}

/// A directory of its own, removed with its content at the end of `body`.
func withTemporaryDirectory<R>(_ body: (String) throws -> R) throws -> R {
    var template = Array("/tmp/multiprocessing-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw Errno(rawValue: errno) }
    let path = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    defer {
        for name in filesIn(path) { unlink("\(path)/\(name)") }
        rmdir(path)
    }
    return try body(path)
}

/// ``withTemporaryDirectory(_:)`` for an asynchronous body.
func withTemporaryDirectory<R>(_ body: (String) async throws -> R) async throws -> R {
    var template = Array("/tmp/multiprocessing-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw Errno(rawValue: errno) }
    let path = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    defer {
        for name in filesIn(path) { unlink("\(path)/\(name)") }
        rmdir(path)
    }
    return try await body(path)
}

/// The names in a directory.
func filesIn(_ path: String) -> [String] {
    guard let directory = opendir(path) else { return [] }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
            $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        if name != "." && name != ".." { names.append(name) }
    }
    return names
}

/// One line, without its end; blocks until it is there.
func line(from file: Int32) -> String {
    var bytes: [UInt8] = []
    var byte: UInt8 = 0
    while read(file, &byte, 1) == 1, byte != UInt8(ascii: "\n") { bytes.append(byte) }
    return String(decoding: bytes, as: UTF8.self)
}
