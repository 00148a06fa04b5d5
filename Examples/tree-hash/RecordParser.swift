/// A parser as one finds it in programs that grew: quick, and trusting.
///
/// A record file is `RECS`, then records: a byte that says what it is, four bytes of length (least first), and so many bytes. It
/// checks what its author thought of. What it does not check is the point of this example: each such place ends, or holds up, the
/// process in which it runs.
struct RecordParser {
    /// What the parser refuses by itself.
    struct Malformed: Error, Codable, CustomStringConvertible {
        var reason: String
        var offset: Int

        var description: String { "\(reason) at byte \(offset)" }
    }

    /// What is in a file.
    struct Summary: Codable {
        var records = 0
        var characters = 0
        var sum: Int32 = 0
    }

    static let magic = Array("RECS".utf8)

    private let bytes: UnsafeRawBufferPointer
    private(set) var summary = Summary()

    init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
    }

    mutating func parse() throws {
        try parseRecords(Self.magic.count..<bytes.count)
    }

    private mutating func parseRecords(_ range: Range<Int>) throws {
        var position = range.lowerBound
        while position < range.upperBound {
            guard range.upperBound - position >= 5 else {
                throw Malformed(reason: "a record is cut off", offset: position)
            }
            let length = Int(bytes.loadUnaligned(fromByteOffset: position + 1, as: UInt32.self))
            let payload = (position + 5)..<(position + 5 + length)
            guard payload.upperBound <= range.upperBound else {
                throw Malformed(reason: "a record is longer than its file", offset: position)
            }
            summary.records += 1
            try parseRecord(bytes[position], payload)
            position = payload.upperBound
        }
    }

    private mutating func parseRecord(_ kind: UInt8, _ payload: Range<Int>) throws {
        switch Record.Kind(rawValue: kind) {
        case .text:
            guard let text = String(validating: bytes[payload], as: UTF8.self) else {
                throw Malformed(reason: "text that is not UTF-8", offset: payload.lowerBound)
            }
            summary.characters += text.count
        case .numbers:
            for offset in stride(from: payload.lowerBound, to: payload.upperBound - 3, by: 4) {
                // Two large numbers are enough: a trap.
                summary.sum += bytes.loadUnaligned(fromByteOffset: offset, as: Int32.self)
            }
        case .list:
            // Lists in lists in lists: the stack has an end.
            try parseRecords(payload)
        case .reference:
            // Wherever it points to: a segmentation fault.
            let offset = Int(bytes.loadUnaligned(fromByteOffset: payload.lowerBound, as: Int64.self))
            summary.sum ^= Int32(bytes.baseAddress!.load(fromByteOffset: offset, as: UInt8.self))
        case .padding:
            // As much as it says: until memory runs out.
            var left = Int(bytes.loadUnaligned(fromByteOffset: payload.lowerBound, as: Int64.self))
            var padding: [[UInt8]] = []
            while left > 0 {
                padding.append(Array(repeating: 1, count: 1 << 20))
                left -= 1 << 20
            }
            summary.characters += padding.reduce(0) { $0 + Int($1[0]) }
        case .samples:
            // Every so many bytes; with zero it never ends.
            let step = Int(bytes[payload.lowerBound])
            var offset = payload.lowerBound + 1
            while offset < payload.upperBound {
                summary.sum ^= Int32(bytes[offset])
                offset += step
            }
        case nil:
            throw Malformed(reason: "an unknown kind of record, \(kind)", offset: payload.lowerBound - 5)
        }
    }
}
