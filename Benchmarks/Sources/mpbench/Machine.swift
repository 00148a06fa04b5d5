internal import CBaselines
internal import Glibc

/// What the figures were measured on.
enum Machine {
    /// The processors that this program may use.
    static let processorCount = Int(mpb_processor_count())

    static let isOptimized: Bool = {
        var isDebug = false
        // An assertion's condition is evaluated in a debug build only.
        func noteDebug() -> Bool {
            isDebug = true
            return true
        }
        assert(noteDebug())
        return !isDebug
    }()

    static func facts(_ context: Context) -> [(String, String)] {
        [
            ("processor", field("model name", of: "/proc/cpuinfo") ?? "unknown"),
            ("cores", "\(processorCount)"),
            ("memory", field("MemTotal", of: "/proc/meminfo") ?? "unknown"),
            ("kernel", firstLine("/proc/sys/kernel/osrelease") ?? "unknown"),
            ("load", firstLine("/proc/loadavg") ?? "unknown"),
            ("build", isOptimized ? "release" : "debug"),
            ("python", context.python?.greeting ?? "none"),
        ]
    }

    static func field(_ name: String, of path: String) -> String? {
        for line in text(path)?.split(separator: "\n") ?? [] where line.hasPrefix(name) {
            guard let colon = line.firstIndex(of: ":") else { continue }
            return trimmed(line[line.index(after: colon)...])
        }
        return nil
    }

    private static func firstLine(_ path: String) -> String? {
        text(path)?.split(separator: "\n").first.map { trimmed($0) }
    }

    private static func trimmed(_ text: Substring) -> String {
        String(text.drop { $0 == " " || $0 == "\t" })
    }

    /// A file of /proc, which has no size to ask for.
    static func text(_ path: String) -> String? {
        guard let file = fopen(path, "re") else { return nil }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while case let count = fread(&chunk, 1, chunk.count, file), count > 0 { bytes += chunk[..<count] }
        return String(decoding: bytes, as: UTF8.self)
    }
}
