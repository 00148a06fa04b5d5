import Glibc
import Multiprocessing
import Testing

/// Whether a name is in /dev/shm.
func segmentExists(_ name: String) -> Bool {
    access("/dev/shm/\(name)", F_OK) == 0
}

/// The permissions and size of a file in /dev/shm.
func segmentStatus(_ name: String) -> (mode: UInt32, size: Int)? {
    var status = stat()
    guard stat("/dev/shm/\(name)", &status) == 0 else { return nil }
    return (status.st_mode & 0o777, Int(status.st_size))
}

/// A name that no other test has.
func freshName(_ what: String = "test") -> String {
    "\(what)-\(getpid())-\(UInt32.random(in: 0 ... .max))"
}

/// Throws unless `body` throws a ``SharedStateError`` of that kind, which is returned.
@discardableResult
func check(
    fails code: SharedStateError.Code,
    file: String = #fileID,
    line: Int = #line,
    _ body: () throws -> Void
) throws -> SharedStateError {
    do {
        try body()
    } catch let error as SharedStateError {
        try check(error.code == code, "threw \(error), not \(code)", file: file, line: line)
        return error
    }
    throw CheckFailure(text: "threw nothing, not \(code)", place: "\(file):\(line)")
}
