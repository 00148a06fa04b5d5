import Foundation

/// A tree to try it on: record files, other files, and some that the parser does not survive.
enum SampleTree {
    /// The files that have no report, and what becomes of each.
    static let poison: [(path: String, kind: FileFailure.Kind, records: [Record])] = [
        ("deep/overflow.rec", .crashed, [.numbers([.max, 1])]),
        ("deep/nested.rec", .crashed, [.nest(depth: 400_000)]),
        ("wild-pointer.rec", .crashed, [.reference(1 << 44)]),
        ("padding/greedy.rec", .tooLarge, [.padding(4 << 30)]),
        ("endless.rec", .tooLong, [.samples(step: 0, [1, 2, 3])]),
        ("latin1.rec", .refused, [.text([0x63, 0x61, 0x66, 0xe9])]),
    ]

    /// - Returns: how many files there are.
    static func make(in root: String, files: Int) throws -> Int {
        for number in 0..<files {
            let text = String(repeating: "Record \(number). ", count: 1 + number % 500)
            let records: [Record] = [
                .text(text),
                .numbers((0..<Int32(number % 100)).map { $0 * 7 }),
                .samples(step: UInt8(1 + number % 5), Array(text.utf8.prefix(200))),
                .nest(depth: number % 10),
            ]
            if number % 4 == 3 {
                try write(Array(text.utf8), "notes/\(number % 7)/note-\(number).txt", root)
            } else {
                try write(RecordParser.magic + records.flatMap(\.bytes), "data/\(number % 13)/\(number).rec", root)
            }
        }
        for file in poison { try write(RecordParser.magic + file.records.flatMap(\.bytes), file.path, root) }
        return files + poison.count
    }

    private static func write(_ bytes: [UInt8], _ path: String, _ root: String) throws {
        let file = URL(fileURLWithPath: root).appendingPathComponent(path)
        try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(bytes).write(to: file)
    }
}
