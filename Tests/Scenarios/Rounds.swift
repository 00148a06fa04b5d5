import Glibc
import Multiprocessing

/// Many starts, one after the other and many at once; then nothing may be left: no descriptor, no zombie, no memory.
enum Rounds {
    static func run(count: Int, atOnce: Int, method name: String) throws {
        let method = StartMethod.allCases.first { $0.description == name }!
        // The first starts set up what the library has once, and let the allocator reach its size.
        for _ in 0..<max(20, count / 20) { try startOne(method) }
        pause(milliseconds: 100)
        let before = (descriptors: descriptorCount(), memory: residentKiB())
        for _ in 0..<count { try startOne(method) }
        pause(milliseconds: 100)
        let after = (descriptors: descriptorCount(), memory: residentKiB())
        // Processes kept ready have a descriptor each, and come and go.
        let spares = method == .forkServer ? ForkServer.spares : 0
        // A kilobyte per ten rounds would be a leak that shows; pages come and go by a few hundred.
        require(
            after.descriptors <= before.descriptors + spares,
            "descriptors: \(before.descriptors), then \(after.descriptors)"
        )
        require(zombies() == 0, "\(zombies()) zombies")
        require(
            after.memory - before.memory < max(2048, count / 10),
            "memory: \(before.memory), then \(after.memory) KiB"
        )

        var children: [ChildProcess<Int>] = []
        for index in 0..<atOnce { children.append(try ChildProcess(arguments: index, startMethod: method) { $0 }) }
        for child in children { try child.start() }
        for (index, child) in children.enumerated() {
            let value = try child.waitForValue(timeout: .seconds(50))
            require(value == index, "\(value), not \(index)")
        }
        children = []
        pause(milliseconds: 100)
        require(
            descriptorCount() <= after.descriptors + spares,
            "descriptors: \(after.descriptors), then \(descriptorCount())"
        )
        require(zombies() == 0, "\(zombies()) zombies")
        say(
            "OK: \(count) rounds, \(atOnce) at once; descriptors \(before.descriptors), memory \(before.memory) to \(after.memory) KiB"
        )
    }

    private static func startOne(_ method: StartMethod) throws {
        let child = try ChildProcess(arguments: 1, startMethod: method) { $0 + 1 }
        try child.start()
        let value = try child.waitForValue(timeout: .seconds(20))
        require(value == 2, "\(value)")
    }

    private static func names(in directory: String) -> [String] {
        guard let open = opendir(directory) else { return [] }
        defer { closedir(open) }
        var names: [String] = []
        while let entry = readdir(open) {
            names.append(
                withUnsafePointer(to: &entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                }
            )
        }
        return names.filter { $0 != "." && $0 != ".." }
    }

    private static func descriptorCount() -> Int { names(in: "/proc/self/fd").count }

    private static func content(of path: String) -> String {
        let file = open(path, O_RDONLY)
        guard file >= 0 else { return "" }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 65536)
        let count = read(file, &bytes, bytes.count)
        return String(decoding: bytes[..<max(0, count)], as: UTF8.self)
    }

    private static func residentKiB() -> Int {
        Int(content(of: "/proc/self/statm").split(separator: " ")[1])! * 4
    }

    /// Children that have ended and were not reaped. The spares and the server, which live, do not count.
    private static func zombies() -> Int {
        names(in: "/proc/self/task").flatMap { content(of: "/proc/self/task/\($0)/children").split(separator: " ") }
            .filter { content(of: "/proc/\($0)/stat").contains(") Z ") }.count
    }
}
