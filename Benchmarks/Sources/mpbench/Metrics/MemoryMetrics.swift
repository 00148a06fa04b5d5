internal import Glibc
internal import Multiprocessing

/// The memory that a waiting process has to itself. What it shares with the fork server is not counted.
let idleMemory = Metric(
    name: "idle_child_private_memory",
    summary: "private memory of a child whose body sleeps",
    unit: .mebibytes,
    target: .amount(atMost: 3),
    pause: .milliseconds(20)
) { _ in
    [
        Series("ours") {
            let child = try idleChild()
            try child.start()
            defer {
                try? child.kill()
                _ = try? child.join()
            }
            // Until its set-up is done and the body sleeps.
            pauseFor(.milliseconds(20))
            guard let pid = child.processIdentifier else { throw BenchmarkError("a started child has no process id") }
            return try privateMemory(of: pid)
        }
    ]
}

let spareMemory = Metric(
    name: "spare_private_memory",
    summary: "private memory of a process that the fork server keeps ready",
    unit: .mebibytes,
    target: .amount(atMost: 3),
    pause: .milliseconds(20)
) { _ in
    [
        Series("ours") {
            // A start, so that there is a server, and a moment for it to make its spares.
            let child = try emptyChild(.forkServer)
            try child.start()
            try child.join()
            pauseFor(.milliseconds(20))
            guard let spare = childrenOfThisProcess().first(where: { name(of: $0) == "mp-ready" }) else {
                throw BenchmarkError("the fork server keeps no process ready")
            }
            return try privateMemory(of: spare)
        }
    ]
}

/// In MiB.
private func privateMemory(of pid: Int32) throws -> Double {
    let path = "/proc/\(pid)/smaps_rollup"
    var sum = 0.0
    for name in ["Private_Clean", "Private_Dirty"] {
        guard let kilobytes = Machine.field(name, of: path)?.split(separator: " ").first.flatMap({ Double($0) }) else {
            throw BenchmarkError("\(path) does not tell \(name)")
        }
        sum += kilobytes
    }
    return sum / 1024
}

private func childrenOfThisProcess() -> [Int32] {
    guard let directory = opendir("/proc") else { return [] }
    defer { closedir(directory) }
    var found: [Int32] = []
    while let entry = readdir(directory) {
        let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        guard let pid = Int32(name) else { continue }
        if Machine.field("PPid", of: "/proc/\(pid)/status") == "\(getpid())" { found.append(pid) }
    }
    return found
}

private func name(of pid: Int32) -> String? {
    Machine.text("/proc/\(pid)/comm")?.split(separator: "\n").first.map(String.init)
}
