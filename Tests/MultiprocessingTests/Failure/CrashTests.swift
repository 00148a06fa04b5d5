import Foundation
import Glibc
import Multiprocessing
import Testing

extension ProcessTests {
    /// What a crash in a child looks like in its parent.
    @Suite struct CrashTests {
        /// The ways to crash, by name: the body finds its own again in the child.
        static let faults: [(name: String, reason: ProcessCrash.Reason, signal: Int32, message: String?)] = [
            ("fatalError", .trap, SIGILL, "Fatal error: on purpose"),
            ("range", .trap, SIGILL, "Index out of range"),
            ("overflow", .trap, SIGILL, nil),
            ("unwrap", .trap, SIGILL, "Unexpectedly found nil while unwrapping an Optional value"),
            ("segfault", .segmentationFault, SIGSEGV, nil),
            ("abort", .abort, SIGABRT, nil),
            ("SIGKILL", .killed, SIGKILL, nil),
            ("SIGUSR1", .signal, SIGUSR1, nil),
        ]

        @Test(arguments: StartMethod.allCases, faults.map(\.name)) func crash(method: StartMethod, fault: String)
            async throws
        {
            let expected = Self.faults.first { $0.name == fault }!
            // With standard error to nowhere but the report.
            let crash = try await isolated {
                silenceStandardError()
                let child = try ChildProcess(name: "Crasher", startMethod: method) {
                    put("last words of \(fault)\n", to: 2)
                    return try commit(fault, [1, 2, 3])
                }
                try child.start()
                do {
                    _ = try child.waitForValue(timeout: .seconds(40))
                } catch let crash as ProcessCrash {
                    try check(child.crash, is: crash)
                    try check(child.exitStatus, is: .signalled(crash.signal))
                    return crash
                }
                throw CheckFailure(text: "\(fault) gave a value", place: "")
            }
            #expect(crash.processName == "Crasher")
            #expect(crash.reason == expected.reason)
            #expect(crash.signal == expected.signal)
            #expect(crash.standardError.first == "last words of \(fault)")
            #expect(crash.startedAt.contains("CrashTests.swift:"))
            #expect(crash.peakMemory > 1 << 20)
            #expect("\(crash)".contains("Crasher (pid \(crash.processIdentifier)) crashed"))
            #if DEBUG
                // Optimised code traps without a word at most of its checks.
                if let message = expected.message { #expect(crash.message?.contains(message) == true, "\(crash)") }
            #endif
            let isFault = [SIGILL, SIGSEGV, SIGABRT].contains(expected.signal)
            if method != .fork, isFault, Self.hasBacktracer {
                #expect(!crash.backtrace.isEmpty, "\(crash.standardError)")
                #expect(crash.backtrace.contains { $0.contains("commit") } || fault == "abort", "\(crash.backtrace)")
            }
        }

        static let hasBacktracer = FileManager.default.isExecutableFile(
            atPath: URL(fileURLWithPath: ProcessInfo.processInfo.environment["SWIFT_ROOT"] ?? "/opt/swift/usr")
                .appendingPathComponent("libexec/swift/linux/swift-backtrace").path
        )

        @Test func theProgramGoesOn() async throws {
            for _ in 0..<3 {
                await #expect(throws: ProcessCrash.self) {
                    _ = try await ChildProcess.run(options: .quiet) { try commit("SIGKILL", []) }
                }
                #expect(try await ChildProcess.run { 2 } == 2)
            }
        }

        @Test func recursionWithoutEnd() async throws {
            let crash = await #expect(throws: ProcessCrash.self) {
                _ = try await isolated { @concurrent () async throws -> Int in
                    silenceStandardError()
                    return try await ChildProcess.run { recurse(1) }
                }
            }
            #expect(crash?.signal == SIGSEGV)
            #expect([.stackOverflow, .segmentationFault].contains(crash?.reason))
            #if DEBUG
                if Self.hasBacktracer { #expect(crash?.reason == .stackOverflow, "\(String(describing: crash))") }
            #endif
        }

        @Test(arguments: [StartMethod.forkServer, .spawn]) func limitOnMemory(method: StartMethod) async throws {
            let crash = await #expect(throws: ProcessCrash.self) {
                _ = try await isolated { @concurrent () async throws -> Int in
                    silenceStandardError()
                    var options = ProcessOptions()
                    options.startMethod = method
                    options.limits = [.memory(600 << 20)]
                    return try await ChildProcess.run(options: options) { fillMemory(2 << 30) }
                }
            }
            #expect(crash?.reason == .outOfMemory, "\(String(describing: crash))")
        }

        @Test func limitOnProcessorTime() async throws {
            var options = ProcessOptions()
            options.limits = [.processorTime(seconds: 1)]
            let crash = await #expect(throws: ProcessCrash.self) {
                _ = try await ChildProcess.run(options: options) { spin() }
            }
            #expect(crash?.reason == .processorTime || crash?.signal == SIGKILL, "\(String(describing: crash))")
            #expect((crash?.cpuTime ?? .zero) > .milliseconds(900))
        }

        // A group with a limit of its own, made here; the kernel's killer ends the child.
        @Test func cgroupLimitOnMemory() async throws {
            let group = "/sys/fs/cgroup/memory/multiprocessing-test-\(getpid())"
            guard mkdir(group, 0o755) == 0 else {
                print(
                    "SKIPPED cgroupLimitOnMemory: no group can be made below /sys/fs/cgroup/memory (needs cgroup v1 and root)"
                )
                return
            }
            defer { rmdir(group) }
            guard write(text: "67108864", to: group + "/memory.limit_in_bytes") else {
                print("SKIPPED cgroupLimitOnMemory: no limit can be set")
                return
            }
            let crash = try await isolated { () -> ProcessCrash? in
                // The parent is in the group too: the counters that it watches are those of its own groups.
                try check(write(text: "\(getpid())", to: group + "/cgroup.procs"))
                defer { _ = write(text: "\(getpid())", to: "/sys/fs/cgroup/memory/cgroup.procs") }
                let child = try ChildProcess(startMethod: .spawn) { fillMemory(512 << 20) }
                try child.start()
                try check(child.join(timeout: .seconds(40)))
                return child.crash
            }
            #expect(crash?.signal == SIGKILL)
            #expect(crash?.reason == .outOfMemory, "\(String(describing: crash))")
        }
    }
}

/// What children say is still kept for their reports.
private func silenceStandardError() {
    let null = open("/dev/null", O_WRONLY)
    dup2(null, 2)
    close(null)
}

@inline(never)
private func commit(_ fault: String, _ numbers: [Int]) throws -> Int {
    switch fault {
    case "fatalError": fatalError("on purpose")
    case "range": return numbers[numbers.count + 4]
    case "overflow": return numbers.count + Int.max
    case "unwrap": return numbers.first { $0 > 100 }!
    case "segfault": return UnsafePointer<Int>(bitPattern: 8 * (numbers.count + 1))!.pointee
    case "abort": abort()
    case "SIGKILL": raise(SIGKILL)
    case "SIGUSR1": raise(SIGUSR1)
    default: break
    }
    return 0
}

@inline(never)
private func recurse(_ depth: Int) -> Int {
    // Not a tail call, and not to be known to end.
    var frame = (depth, depth + 1, depth + 2)
    return withUnsafeMutableBytes(of: &frame) { bytes in
        let further = recurse(Int(bytes[0]) + depth)
        return further + Int(bytes[8])
    }
}

/// Takes memory and uses it, to no good end.
private func fillMemory(_ most: Int) -> Int {
    var blocks: [[UInt8]] = []
    while blocks.count << 24 < most { blocks.append([UInt8](repeating: UInt8(blocks.count & 255), count: 1 << 24)) }
    return blocks.count
}

private func spin() -> Int {
    var number = 1
    while number != 0 { number = number &* 3 | 1 }
    return number
}

private func write(text: String, to path: String) -> Bool {
    let file = open(path, O_WRONLY)
    guard file >= 0 else { return false }
    defer { close(file) }
    let bytes = Array(text.utf8)
    return write(file, bytes, bytes.count) == bytes.count
}
