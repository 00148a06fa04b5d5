internal import Glibc
public import SystemPackage
internal import _MultiprocessingShims

/// An open file descriptor with one owner, closed when the owner goes.
///
/// Everything made here is close-on-exec and numbered above standard error.
public struct Descriptor: ~Copyable, Sendable {
    /// The descriptor's number, valid as long as this value lives.
    public let number: CInt

    /// Takes over a descriptor that nobody else will close.
    public init(owning number: CInt) {
        self.number = number
    }

    deinit {
        // Never retried: on Linux the number is free again even after EINTR.
        _ = close(number)
    }

    /// Gives the number away; the caller closes it.
    public consuming func release() -> CInt {
        let number = self.number
        discard self
        return number
    }

    /// A second descriptor for the same open file, at `minimum` or above.
    public func duplicate(minimum: CInt = 3) throws(Errno) -> Descriptor {
        try Descriptor(duplicating: number, minimum: minimum)
    }

    /// A second descriptor for the open file behind a number that somebody else owns.
    public init(duplicating number: CInt, minimum: CInt = 3) throws(Errno) {
        self.init(owning: try check(_mp_duplicate(number, minimum, true)))
    }

    /// Opens a file.
    public init(opening path: String, flags: CInt) throws(Errno) {
        self.init(owning: try check(_mp_open(path, flags)))
    }

    /// Opens the current working directory, as a place to come back to.
    public static func currentDirectory() throws(Errno) -> Descriptor {
        Descriptor(owning: try check(_mp_get_cwd()))
    }

    /// An anonymous memory file.
    public static func memoryFile(named name: String) throws(Errno) -> Descriptor {
        Descriptor(owning: try check(_mp_memfd(name)))
    }

    /// A one-way pipe. Plain numbers: the caller decides who owns which end, often across a fork.
    public static func pipeNumbers() throws(Errno) -> (read: CInt, write: CInt) {
        try pair(_mp_pipe)
    }

    /// A lifeline, whose write end no copy of this process made by fork(2) keeps. Plain numbers, as for a pipe.
    public static func lifelineNumbers() throws(Errno) -> (read: CInt, write: CInt) {
        try pair(_mp_make_lifeline)
    }

    /// A pair of connected sockets that keep packets apart and carry descriptors. Plain numbers, as for a pipe.
    public static func socketPairNumbers() throws(Errno) -> (parent: CInt, child: CInt) {
        try pair(_mp_socketpair)
    }

    private static func pair(_ make: (UnsafeMutablePointer<CInt>) -> CInt) throws(Errno) -> (CInt, CInt) {
        var ends: (CInt, CInt) = (-1, -1)
        let result = withUnsafeMutableBytes(of: &ends) { make($0.baseAddress!.assumingMemoryBound(to: CInt.self)) }
        _ = try check(result)
        return ends
    }

    /// Makes reads and writes fail with `EAGAIN` instead of waiting.
    public func setNonblocking() throws(Errno) {
        _ = try check(_mp_set_nonblocking(number, true))
    }

    /// Reads what is there, up to `buffer.count` bytes; 0 at end of file.
    public func read(into buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> Int {
        while true {
            let count = Glibc.read(number, buffer.baseAddress, buffer.count)
            if count >= 0 { return count }
            let error = Errno(rawValue: Glibc.errno)
            if error != .interrupted { throw error }
        }
    }

    /// Writes all bytes, waiting where the file makes it wait.
    public func writeAll(_ bytes: UnsafeRawBufferPointer) throws(Errno) {
        guard let base = bytes.baseAddress else { return }
        _ = try check(_mp_write_all(number, base, bytes.count))
    }

    /// The size of the file in bytes.
    public func fileSize() throws(Errno) -> Int {
        Int(try check(_mp_file_size(number)))
    }

    /// Whether `number` is an open descriptor of this process.
    public static func isOpen(_ number: CInt) -> Bool {
        _mp_is_open(number)
    }
}
