internal import Glibc

/// The machine and the build that the figures belong to.
package struct Machine: Codable, Sendable, Hashable {
    package var processor: String
    /// Those that this process may run on.
    package var processors: Int
    package var memoryBytes: Int
    package var system: String
    package var kernel: String
    package var architecture: String
    package var build: String
    /// Runnable threads at the start, averaged over a minute: much above zero means noisy figures.
    package var loadAverage: Double
    /// UTC, ISO 8601.
    package var date: String

    package init(
        processor: String,
        processors: Int,
        memoryBytes: Int,
        system: String,
        kernel: String,
        architecture: String,
        build: String,
        loadAverage: Double,
        date: String
    ) {
        self.processor = processor
        self.processors = processors
        self.memoryBytes = memoryBytes
        self.system = system
        self.kernel = kernel
        self.architecture = architecture
        self.build = build
        self.loadAverage = loadAverage
        self.date = date
    }

    /// A debug build: its figures say little.
    package static var isDebugBuild: Bool {
        #if DEBUG
            true
        #else
            false
        #endif
    }

    /// Looks at the machine that we run on.
    package static func current() -> Machine {
        var name = utsname()
        uname(&name)
        return Machine(
            processor: value(of: "model name", in: "/proc/cpuinfo", separator: ":") ?? "unknown processor",
            processors: usableProcessors,
            memoryBytes: sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE)),
            system: value(of: "PRETTY_NAME", in: "/etc/os-release", separator: "=") ?? "Linux",
            kernel: "\(text(name.sysname)) \(text(name.release))",
            architecture: text(name.machine),
            build: "\(compiler), \(isDebugBuild ? "debug" : "release") build",
            loadAverage: readFile("/proc/loadavg")?.split(separator: " ").first.flatMap { Double($0) } ?? 0,
            date: now()
        )
    }

    package var memory: String {
        "\(fixed(Double(memoryBytes) / 1_073_741_824, 1)) GiB"
    }

    /// The machine in one line.
    package var summary: String {
        "\(processor), \(processors) \(processors == 1 ? "processor" : "processors"), \(memory), \(system), \(kernel)"
    }

    private static var compiler: String {
        #if compiler(>=6.4)
            "Swift 6.4 or later"
        #elseif compiler(>=6.3)
            "Swift 6.3"
        #else
            "Swift 6.2"
        #endif
    }

    /// The first value of a key in a file of lines such as `key : value`.
    private static func value(of key: String, in path: String, separator: Character) -> String? {
        for line in (readFile(path) ?? "").split(separator: "\n") where line.hasPrefix(key) {
            guard let mark = line.firstIndex(of: separator) else { continue }
            let value = line[line.index(after: mark)...].filter { $0 != "\"" }.drop { $0 == " " || $0 == "\t" }
            if !value.isEmpty { return String(value) }
        }
        return nil
    }

    private static func text<Characters>(_ characters: Characters) -> String {
        withUnsafeBytes(of: characters) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }

    private static func now() -> String {
        var seconds = time(nil)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        var buffer = [CChar](repeating: 0, count: 32)
        let length = strftime(&buffer, buffer.count, "%Y-%m-%dT%H:%M:%SZ", &parts)
        return String(decoding: buffer[..<length].map(UInt8.init), as: UTF8.self)
    }

    private enum CodingKeys: String, CodingKey {
        case processor, processors, system, kernel, architecture, build, date
        case memoryBytes = "memory_bytes"
        case loadAverage = "load_average"
    }
}
