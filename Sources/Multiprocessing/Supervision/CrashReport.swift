internal import MultiprocessingSystem

/// Turns what is known of a dead process into a ``ProcessCrash``.
enum CrashReport {
    /// Nil if the process did not crash.
    static func make(_ record: ProcessRecord, _ end: ProcessRecord.End) -> ProcessCrash? {
        guard case .signalled(let signal) = end.status, !end.neverBegan else { return nil }
        let text = StandardErrorText(end.tail)
        let message = text.message
        let exhausted = end.memoryRanOut || text.tellsOfExhaustedMemory
        return ProcessCrash(
            processName: record.name,
            processIdentifier: record.pid,
            signal: signal,
            reason: exhausted ? .outOfMemory : reason(signal, text),
            message: message,
            standardError: text.lines,
            backtrace: text.frames,
            peakMemory: end.raw?.peakMemory ?? 0,
            cpuTime: end.raw?.cpuTime ?? .zero,
            startedAt: record.startedAt,
            dumpedCore: end.raw?.dumpedCore ?? false
        )
    }

    private static func reason(_ signal: Int32, _ text: StandardErrorText) -> ProcessCrash.Reason {
        switch signal {
        case 4, 5: .trap
        case 6: .abort
        case 7, 11: text.faultedBesideTheStack ? .stackOverflow : .segmentationFault
        case 9, 15: .killed
        case 24: .processorTime
        default: .signal
        }
    }
}

/// The end of a dead process's standard error, taken apart: its own lines, the runtime's message, the runtime's backtrace.
struct StandardErrorText {
    /// The process's own last lines, at most 40.
    private(set) var lines: [String] = []
    /// The frames of the backtrace, innermost first.
    private(set) var frames: [String] = []
    /// What the backtrace has for a heading, of a check that the compiler made: "Swift runtime failure: arithmetic overflow".
    private var heading: String?

    init(_ bytes: [UInt8]) {
        var inBacktrace = false
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix("*** Signal ") && line.contains("Backtracing from") {
                inBacktrace = true
                continue
            }
            if line.hasPrefix("*** Program crashed: ") || line.hasPrefix("💣 Program crashed: ") {
                inBacktrace = true
                continue
            }
            guard inBacktrace else {
                lines.append(String(line))
                continue
            }
            if line.hasPrefix("Backtrace took") {
                inBacktrace = false
            } else if line.hasPrefix("*** Swift runtime failure: "), line.hasSuffix(" ***") {
                heading = String(line.dropFirst(4).dropLast(4))
            } else {
                takeFrame(line)
            }
        }
        while lines.last?.isEmpty == true { lines.removeLast() }
        lines = lines.suffix(40).map { String($0.prefix(1000)) }
    }

    private mutating func takeFrame(_ line: Substring) {
        let trimmed = line.drop { $0 == " " }
        let number = trimmed.prefix { $0.isNumber }
        guard !number.isEmpty, trimmed.dropFirst(number.count).first == " " else { return }
        frames.append(String(trimmed.dropFirst(number.count).drop { $0 == " " }))
    }

    /// The last line in which the runtime, or a C library, says why it gives up; or the backtrace does.
    var message: String? {
        let signs = [
            "Fatal error", "fatal error", "Precondition failed", "Assertion failed", "Could not allocate memory",
            "Out of memory", "assertion failed", "Assertion `", "terminate called", "Object was ",
            "Simultaneous accesses",
        ]
        return lines.last { line in signs.contains { line.contains($0) } } ?? heading
    }

    /// Whether an allocation failed: at a limit on address space, the kernel kills nobody.
    var tellsOfExhaustedMemory: Bool {
        guard let message else { return false }
        // The runtime's words, which have changed over its versions, and those of C and C++ programs.
        return ["Could not allocate memory", "failed to allocate", "Out of memory", "std::bad_alloc"]
            .contains { message.contains($0) }
    }

    /// Recursion without end: the runtime's backtrace is as deep as it goes, and three functions, which may call each other, are
    /// most of it.
    var faultedBesideTheStack: Bool {
        let names = frames.compactMap { $0.split(separator: " ").first { $0.contains("(") } }
        guard names.count >= 16 else { return false }
        let counts = Dictionary(names.map { ($0, 1) }, uniquingKeysWith: +).values.sorted(by: >)
        return counts.prefix(3).reduce(0, +) * 4 >= names.count * 3
    }
}
