internal import Glibc

/// What a process has used so far, as the kernel counts it.
public struct ProcessUsage: Sendable {
    /// How much of it is in memory, in bytes.
    public let residentMemory: Int
    /// Processor time, its own and the kernel's on its behalf, of all its threads; in steps of a clock tick, ten milliseconds.
    public let processorTime: Duration

    /// Reads a small file, which takes some ten microseconds; nil if there is no such process.
    public init?(of pid: CInt) {
        guard let bytes = try? SmallFile.read("/proc/\(pid)/stat") else { return nil }
        self.init(stat: String(decoding: bytes, as: UTF8.self))
    }

    /// From the content of "stat": the name of the program stands in parentheses, and may contain anything.
    init?(stat: String) {
        guard let name = stat.lastIndex(of: ")") else { return nil }
        let fields = stat[stat.index(after: name)...].split(separator: " ")
        guard fields.count > 21, let user = Int(fields[11]), let system = Int(fields[12]), let pages = Int(fields[21])
        else {
            return nil
        }
        let nanoseconds = 1_000_000_000 / max(1, sysconf(CInt(_SC_CLK_TCK)))
        processorTime = .nanoseconds((user + system) * nanoseconds)
        residentMemory = pages * sysconf(CInt(_SC_PAGESIZE))
    }
}
