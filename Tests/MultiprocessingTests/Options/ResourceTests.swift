import Glibc
import Multiprocessing
import SystemPackage
import Testing

extension ProcessTests {
    /// Processors, priority, limits and signals of a child.
    @Suite struct ResourceTests {
        @Test(arguments: StartMethod.allCases) func affinity(method: StartMethod) async throws {
            try await isolated {
                var options = ProcessOptions()
                options.startMethod = method
                options.processorAffinity = [0]
                let child = try ChildProcess(options: options) { availableProcessorCount }
                try child.start()
                try check(child.waitForValue(timeout: .seconds(20)), is: 1)
                options.processorAffinity = [100_000]
                let impossible = try ChildProcess(options: options) {}
                try impossible.start()
                let error = try check(throws: .setupFailed) { try impossible.waitForValue(timeout: .seconds(20)) }
                try check(error.errno, is: .invalidArgument)
                options.processorAffinity = []
                try check(throws: .invalidArgument) { _ = try ChildProcess(options: options) {} }
            }
        }

        @Test(arguments: StartMethod.allCases) func niceness(method: StartMethod) async throws {
            try await isolated {
                var options = ProcessOptions()
                options.startMethod = method
                options.niceness = 7
                let child = try ChildProcess(options: options) { getpriority(__priority_which_t(0), 0) }
                try child.start()
                try check(child.waitForValue(timeout: .seconds(20)), is: 7)
                options.niceness = 20
                try check(throws: .invalidArgument) { _ = try ChildProcess(options: options) {} }
            }
        }

        @Test(arguments: StartMethod.allCases) func limits(method: StartMethod) async throws {
            try await isolated {
                var options = ProcessOptions()
                options.startMethod = method
                options.limits = [.openFiles(50), .fileSize(1000), .coreSize(0), .processorTime(seconds: 30)]
                let child = try ChildProcess(options: options) { [7, 1, 4, 0].map { softLimit($0) } }
                try child.start()
                try check(child.waitForValue(timeout: .seconds(20)), is: [50, 1000, 0, 30])
                try check(softLimit(7) > 50)
            }
        }

        @Test(arguments: StartMethod.allCases) func signals(method: StartMethod) async throws {
            try await isolated {
                var options = ProcessOptions()
                options.startMethod = method
                options.ignoredSignals = [SIGHUP, SIGTERM]
                options.blockedSignals = [SIGUSR1, SIGINT]
                let child = try ChildProcess(options: options) { signalSets() }
                try child.start()
                let seen = try child.waitForValue(timeout: .seconds(20))
                try check(seen.ignored, is: [SIGHUP, SIGTERM])
                try check(seen.blocked, is: [SIGINT, SIGUSR1])
                for impossible in [0, 65, SIGKILL, SIGSTOP, 32, 33] {
                    options.ignoredSignals = [impossible]
                    try check(throws: .invalidArgument) { _ = try ChildProcess(options: options) {} }
                }
            }
        }

        @Test(arguments: StartMethod.allCases) func signalsOfTheParentAreItsOwn(method: StartMethod) async throws {
            try await isolated {
                for ignored in [SIGTERM, SIGPIPE, SIGINT, SIGUSR2] { signal(ignored, SIG_IGN) }
                signal(SIGUSR1) { _ in }
                var all = sigset_t()
                sigfillset(&all)
                sigprocmask(SIG_BLOCK, &all, nil)
                // The second is forked by a server, or a spare of its, that exists already.
                for _ in 0..<2 {
                    let child = try ChildProcess(startMethod: method) { signalSets() }
                    try child.start()
                    let seen = try child.waitForValue(timeout: .seconds(20))
                    try check(seen.ignored, is: [])
                    try check(seen.blocked, is: [])
                    try check(seen.caught.contains(SIGUSR1), is: false)
                }
                let sleeper = try ChildProcess(startMethod: method) { sleepForever() }
                try sleeper.start()
                try sleeper.terminate()
                try check(sleeper.join(timeout: .seconds(20)))
                try check(sleeper.exitStatus, is: .signalled(SIGTERM))
            }
        }
    }
}

private func softLimit(_ resource: Int32) -> UInt64 {
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(UInt32(resource)), &limit)
    return UInt64(limit.rlim_cur)
}

/// The signals that the calling process ignores, blocks and has handlers for, as the kernel sees them.
private func signalSets() -> (ignored: [Int32], blocked: [Int32], caught: [Int32]) {
    let status = text(of: "/proc/thread-self/status") ?? ""
    func set(_ name: String) -> [Int32] {
        for line in status.split(separator: "\n") where line.hasPrefix(name + ":") {
            let bits = UInt64(line.dropFirst(name.count + 1).filter(\.isHexDigit), radix: 16) ?? 0
            // Beyond 31, libc's own and those of an unusual parent of the tests.
            return (1...31).filter { bits >> UInt64($0 - 1) & 1 == 1 }.map { Int32($0) }
        }
        return [-1]
    }
    return (set("SigIgn"), set("SigBlk"), set("SigCgt"))
}
