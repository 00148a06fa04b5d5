internal import Glibc

/// The PEP's fourth test: seek at random in a text file and write lines of it to `/dev/null`.
package struct FileIO: Codable, Sendable, Hashable {
    package var path: String
    package var size: Int
    package var seeks: Int
    package var linesPerSeek: Int
    package var expectedBytes: Int

    package static let standardSeeks = 20_000
    package static let standardLinesPerSeek = 10
    static let seed: UInt64 = 371

    /// Writes the text to `path` and computes from memory what a run must copy.
    package static func prepare(
        at path: String,
        text: [UInt8] = Lorem.text(lines: Lorem.standardLines),
        seeks: Int = standardSeeks,
        linesPerSeek: Int = standardLinesPerSeek
    ) throws -> FileIO {
        try writeFile(text, to: path)
        return FileIO(
            path: path,
            size: text.count,
            seeks: seeks,
            linesPerSeek: linesPerSeek,
            expectedBytes: bytesToCopy(of: text, seeks: seeks, linesPerSeek: linesPerSeek)
        )
    }

    package func run() throws {
        guard let source = fopen(path, "rbe") else { throw BenchmarkError.errno("open \(path)") }
        defer { fclose(source) }
        guard let sink = fopen("/dev/null", "wbe") else { throw BenchmarkError.errno("open /dev/null") }
        defer { fclose(sink) }
        // `getline` grows this buffer itself.
        var line: UnsafeMutablePointer<CChar>?
        var capacity = 0
        defer { free(line) }

        var offsets = RandomOffsets(seed: Self.seed)
        var copied = 0
        for _ in 0..<seeks {
            guard fseek(source, offsets.next(below: size), SEEK_SET) == 0 else {
                throw BenchmarkError.errno("seek in \(path)")
            }
            for _ in 0..<linesPerSeek {
                let length = getline(&line, &capacity, source)
                if length < 0 { break }
                copied += fwrite(line, 1, length, sink)
            }
        }
        try check("file_io: bytes copied", copied, is: expectedBytes)
    }

    /// The same walk over the text in memory: what `run` is checked against.
    private static func bytesToCopy(of text: [UInt8], seeks: Int, linesPerSeek: Int) -> Int {
        let newline = UInt8(ascii: "\n")
        var offsets = RandomOffsets(seed: seed)
        var bytes = 0
        for _ in 0..<seeks {
            let start = offsets.next(below: text.count)
            var end = start
            for _ in 0..<linesPerSeek where end < text.count {
                end = text[end...].firstIndex(of: newline).map { $0 + 1 } ?? text.count
            }
            bytes += end - start
        }
        return bytes
    }
}
