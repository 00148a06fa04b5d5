import Foundation

/// What is found out about a file, in a worker.
struct FileReport: Codable, Sendable {
    var path: String
    var size: Int
    /// The file's 64-bit FNV-1a hash, in hexadecimal.
    var hash: String
    /// What is in it, if it is a record file.
    var records: RecordParser.Summary?

    /// Reads, hashes and parses a file.
    init(of path: String, in root: String) throws {
        let data = try Data(contentsOf: URL(fileURLWithPath: root).appendingPathComponent(path), options: .mappedIfSafe)
        self.path = path
        size = data.count
        let (hash, records) = try data.withUnsafeBytes { bytes in
            let records = try bytes.starts(with: RecordParser.magic) ? Self.parse(bytes) : nil
            return (Self.hash(bytes), records)
        }
        self.hash = String(hash, radix: 16)
        self.records = records
    }

    private static func parse(_ bytes: UnsafeRawBufferPointer) throws -> RecordParser.Summary {
        var parser = RecordParser(bytes)
        try parser.parse()
        return parser.summary
    }

    static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    }
}

/// A file of which nothing was found out, and why.
struct FileFailure: Codable, Sendable {
    enum Kind: String, Codable { case crashed, tooLong, tooLarge, refused }

    var path: String
    var kind: Kind
    var why: String
}
