import Foundation

/// What was found out about a tree.
struct TreeReport: Codable {
    var files: [FileReport] = []
    var failures: [FileFailure] = []

    func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }

    var text: String {
        let lines = files.map { file in
            let hash = String(repeating: "0", count: 16 - file.hash.count) + file.hash
            let records = file.records.map { "  \($0.records) records" } ?? ""
            return "\(hash)  \(file.path)\(records)"
        }
        let failed = failures.map { "\($0.kind.rawValue): \($0.path): \($0.why)" }
        let size = files.reduce(0) { $0 + $1.size }
        let summary = "\(files.count) files, \(size) bytes; \(failures.count) could not be examined"
        return (lines + failed + [summary]).joined(separator: "\n")
    }
}
