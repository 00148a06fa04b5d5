internal import MultiprocessingSystem
internal import SystemPackage

/// The number of processors that this process may use, at least 1.
///
/// The smaller of what its affinity allows and what a cgroup on the way up grants it (`cpu.max`, or `cpu.cfs_quota_us`), rounded
/// up. The environment variable `SWIFT_MULTIPROCESSING_CPU_COUNT` overrides it. Reads a few files: keep it, do not ask in a loop.
///
/// Python: `os.process_cpu_count()`, which knows nothing of cgroups.
public var availableProcessorCount: Int {
    ProcessorCount.current()
}

enum ProcessorCount {
    static let override = "SWIFT_MULTIPROCESSING_CPU_COUNT"

    static func current() -> Int {
        if let count = number(in: override) { return count }
        let allowed = (try? ThisProcess.affinity().count) ?? 1
        let quota = quota(cgroups: text("/proc/self/cgroup") ?? "", read: text)
        return max(1, min(allowed, quota ?? allowed))
    }

    /// The positive number in a variable of the environment.
    static func number(in variable: String) -> Int? {
        for entry in ThisProcess.environment.map({ String(decoding: $0, as: UTF8.self) })
        where entry.hasPrefix(variable + "=") {
            if let count = Int(entry.dropFirst(variable.utf8.count + 1)), count > 0 { return count }
        }
        return nil
    }

    /// The smallest quota of any group from this process's own up to the root, in whole processors.
    static func quota(cgroups: String, read: (String) -> String?) -> Int? {
        var smallest: Double?
        for line in cgroups.split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { continue }
            let version1 = parts[1].split(separator: ",").contains("cpu")
            guard version1 || (parts[0] == "0" && parts[1].isEmpty) else { continue }
            for path in CgroupPath.wayUp(String(parts[2])) {
                for root in version1 ? ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"] : CgroupPath.version2Roots {
                    guard let share = version1 ? share1(root + path, read) : share2(root + path, read) else { continue }
                    smallest = min(smallest ?? share, share)
                }
            }
        }
        return smallest.map { max(1, Int($0.rounded(.up))) }
    }

    private static func share1(_ directory: String, _ read: (String) -> String?) -> Double? {
        guard let quota = read(directory + "/cpu.cfs_quota_us").flatMap(decimal), quota > 0,
            let period = read(directory + "/cpu.cfs_period_us").flatMap(decimal), period > 0
        else { return nil }
        return quota / period
    }

    private static func share2(_ directory: String, _ read: (String) -> String?) -> Double? {
        let words = (read(directory + "/cpu.max") ?? "").split(whereSeparator: \.isWhitespace)
        guard words.count == 2, let quota = Double(words[0]), let period = Double(words[1]), period > 0 else {
            return nil
        }
        return quota / period
    }

    private static func decimal(_ text: String) -> Double? {
        Double(text.filter { !$0.isWhitespace })
    }

    private static func text(_ path: String) -> String? {
        (try? SmallFile.read(path)).map { String(decoding: $0, as: UTF8.self) }
    }
}

/// Where a cgroup and those above it are.
enum CgroupPath {
    static let version2Roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]

    /// A group's path and those of its parents, as suffixes of a mount point: "/a/b", "/a", "".
    static func wayUp(_ path: String) -> [String] {
        var paths: [String] = []
        var rest = path == "/" ? "" : path
        while true {
            paths.append(rest)
            guard let slash = rest.lastIndex(of: "/") else { break }
            rest = String(rest[..<slash])
        }
        return paths
    }
}
