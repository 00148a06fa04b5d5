import Glibc
import SystemPackage

/// A count that processes and threads share, made of nothing that is tested: a file that grows by a byte each time.
struct Tally: Codable, Sendable {
    private let path: String

    /// A count of zero in a directory; see ``withTemporaryDirectory(_:)``.
    init(in directory: String, _ name: String) throws {
        path = "\(directory)/\(name)"
        try FileDescriptor.open(path, .writeOnly, options: .create, permissions: .ownerReadWrite).close()
    }

    /// Adds one.
    func add() throws {
        let file = try FileDescriptor.open(path, .writeOnly, options: .append)
        defer { try? file.close() }
        _ = try file.writeAll([1])
    }

    /// The count now.
    var count: Int {
        var status = stat()
        return stat(path, &status) == 0 ? Int(status.st_size) : -1
    }

    /// Waits until it is at least `count`; throws when that takes too long.
    func reaches(_ count: Int, within limit: Duration = .seconds(30), line: Int = #line) throws {
        try check(eventually(within: limit) { self.count >= count }, "\(self.count) of \(count)", line: line)
    }
}
