import Glibc
import Multiprocessing
import SystemPackage
import Testing

extension ProcessTests {
    /// Which descriptors a child has, and under which numbers.
    @Suite struct DescriptorTests {
        // CPython: TestCloseFds.test_closefd
        @Test(arguments: StartMethod.allCases) func unrelatedDescriptorsAreNotInherited(method: StartMethod)
            async throws
        {
            try await isolated {
                let file = open("/dev/null", O_RDONLY)  // not close-on-exec
                let high = fcntl(file, F_DUPFD, 200)
                let child = try ChildProcess(arguments: file, high, startMethod: method) { file, high in
                    [linkTarget("/proc/self/fd/\(file)"), linkTarget("/proc/self/fd/\(high)")].map { $0 == "/dev/null" }
                }
                try child.start()
                let inherits = method == .fork
                try check(child.waitForValue(timeout: .seconds(20)), is: [inherits, inherits])
            }
        }

        // CPython: _TestProcess.test_child_fd_inflation
        @Test(arguments: [StartMethod.forkServer, .spawn]) func childrenHaveTheSameNumberOfDescriptors(
            method: StartMethod
        ) async throws {
            try await isolated {
                let gate = try PlainPipe()
                var options = ProcessOptions()
                options.startMethod = method
                options.descriptors = [gate.reading]
                let number = gate.reading.rawValue
                let children = try (0..<5).map { _ in
                    try ChildProcess(options: options) {
                        let count = openDescriptors().count
                        _ = readAll(number)
                        return count
                    }
                }
                for child in children { try child.start() }
                try gate.writing.close()
                let counts = try children.map { try $0.waitForValue(timeout: .seconds(20)) }
                try check(Set(counts).count == 1, "\(counts)")
            }
        }

        @Test(arguments: [StartMethod.forkServer, .spawn]) func aChildHasItsStreamsAndWhatItWasGiven(
            method: StartMethod
        ) async throws {
            try await isolated {
                let pipe = try PlainPipe()
                var options = ProcessOptions()
                options.startMethod = method
                options.descriptors = [pipe.writing]
                let given = pipe.writing.rawValue
                let child = try ChildProcess(options: options) {
                    openDescriptors().map { ($0, linkTarget("/proc/self/fd/\($0)") ?? "") }.map { "\($0.0) \($0.1)" }
                }
                try child.start()
                let found = try child.waitForValue(timeout: .seconds(20))
                // Beside them, the library's own: the channel to the parent (a socket) and two ends of the lifeline (pipes).
                let own = found.filter { entry in
                    let number = Int32(entry.prefix { $0 != " " })!
                    return number > 2 && number != given
                }
                try check(found.filter { $0.hasPrefix("0 ") || $0.hasPrefix("1 ") || $0.hasPrefix("2 ") }.count, is: 3)
                try check(found.contains("0 /dev/null"), "\(found)")
                try check(found.contains { $0.hasPrefix("\(given) pipe:") }, "\(found)")
                try check(own.filter { $0.contains("socket:") }.count == 1, "\(found)")
                try check(own.filter { $0.contains("pipe:") }.count == 2, "\(found)")
                try check(own.count == 3, "\(found)")
            }
        }

        @Test func theMostDescriptors() async throws {
            try await isolated {
                let file = open("/dev/zero", O_RDONLY | O_CLOEXEC)
                var options = ProcessOptions()
                options.descriptors = (0..<240).map { FileDescriptor(rawValue: fcntl(file, F_DUPFD_CLOEXEC, 300 + $0)) }
                let numbers = options.descriptors.map(\.rawValue)
                let child = try ChildProcess(options: options) {
                    numbers.allSatisfy { linkTarget("/proc/self/fd/\($0)") == "/dev/zero" }
                }
                try child.start()
                try check(child.waitForValue(timeout: .seconds(20)))
                options.descriptors.append(FileDescriptor(rawValue: fcntl(file, F_DUPFD_CLOEXEC, 300)))
                try check(throws: .invalidArgument) { _ = try ChildProcess(options: options) {} }
            }
        }

        @Test func impossibleDescriptorsAreRefused() async throws {
            try await isolated {
                var options = ProcessOptions()
                for standard: Int32 in [-1, 0, 1, 2] {
                    options.descriptors = [FileDescriptor(rawValue: standard)]
                    try check(throws: .invalidArgument) { _ = try ChildProcess(options: options) {} }
                }
                let pipe = try PlainPipe()
                options.descriptors = [pipe.reading, pipe.reading]
                try check(throws: .invalidArgument) { _ = try ChildProcess(options: options) {} }
                options.descriptors = [FileDescriptor(rawValue: 900)]
                let child = try ChildProcess(options: options) {}
                try check(throws: .invalidArgument) { try child.start() }
                // It can be started once the reason is gone.
                dup2(pipe.reading.rawValue, 900)
                try child.start()
                try check(child.join(timeout: .seconds(20)))
            }
        }

        @Test(arguments: StartMethod.allCases) func aChildHoldsNoEndOfItsSiblings(method: StartMethod) async throws {
            try await isolated {
                // Two at a time, of which the first sleeps: the second's end must be noticed all the same.
                let sleeper = try ChildProcess(startMethod: method) { sleepForever() }
                try sleeper.start()
                for _ in 0..<5 {
                    let short = try ChildProcess(startMethod: method) {}
                    try short.start()
                    try check(eventually { !short.isAlive })
                }
                try sleeper.kill()
            }
        }
    }
}
