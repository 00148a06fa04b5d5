internal import MultiprocessingSystem
internal import Synchronization
internal import SystemPackage

/// Tells a SIGKILL of the kernel's out-of-memory killer from any other, by the kill counters of this process's cgroups.
///
/// The counters are those of the group, not of one process: with several deaths at once the first one asked about is taken
/// for the victim. Read only when a child was killed.
final class MemoryEvents: Sendable {
    static let shared = MemoryEvents()

    private let files: [String]
    private let seen: Mutex<[UInt64]>

    private init() {
        files = Self.counterFiles(Self.text("/proc/self/cgroup") ?? "")
        seen = Mutex(files.map { Self.kills($0) })
    }

    /// Takes the counters as they are for the start; called before the first child.
    static func noteBaseline() {
        _ = shared
    }

    /// Whether the killer struck since the last question.
    func killsIncreased() -> Bool {
        let now = files.map { Self.kills($0) }
        return seen.withLock { seen in
            defer { seen = now }
            return zip(now, seen).contains { $0 > $1 }
        }
    }

    /// The files with kill counters of every group on the way up: a limit may be set at any of them.
    static func counterFiles(_ cgroups: String) -> [String] {
        var files: [String] = []
        for line in cgroups.split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { continue }
            let version1 = parts[1].split(separator: ",").contains("memory")
            guard version1 || (parts[0] == "0" && parts[1].isEmpty) else { continue }
            let file = version1 ? "/memory.oom_control" : "/memory.events"
            for root in version1 ? ["/sys/fs/cgroup/memory"] : CgroupPath.version2Roots {
                files += CgroupPath.wayUp(String(parts[2])).map { root + $0 + file }
            }
        }
        return files
    }

    private static func kills(_ file: String) -> UInt64 {
        for line in (text(file) ?? "").split(separator: "\n") {
            let words = line.split(separator: " ")
            if words.count == 2, words[0] == "oom_kill" { return UInt64(words[1]) ?? 0 }
        }
        return 0
    }

    private static func text(_ path: String) -> String? {
        guard let bytes = try? SmallFile.read(path) else { return nil }
        return String(decoding: bytes, as: UTF8.self)
    }
}
