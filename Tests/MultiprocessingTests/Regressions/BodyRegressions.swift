import Glibc
import Multiprocessing
import Synchronization
import SystemPackage
import Testing

extension ProcessTests {
    /// Bodies that once did not get what they should, or could not report.
    @Suite struct BodyRegressions {
        /// A forked copy's first thread has its parent's id cached for Swift's Mutex: a contended one ended the process.
        @Test(arguments: StartMethod.allCases) func contendedMutex(method: StartMethod) async throws {
            try await isolated {
                let child = try ChildProcess(startMethod: method) { () -> Int in
                    let counter = Counter()
                    let other = startThread { counter.count(to: 20_000) }
                    counter.count(to: 20_000)
                    pthread_join(other, nil)
                    return counter.value.withLock { $0 }
                }
                try child.start()
                try check(child.waitForValue(timeout: .seconds(20)), is: 40_000)
            }
        }

        /// Children of a forked copy, whose monitor thread contends with its first thread.
        @Test func childrenOfForkedCopy() async throws {
            try await isolated {
                let copy = try ChildProcess(startMethod: .fork) {
                    for index in 0..<50 {
                        let child = try ChildProcess(arguments: index) {
                            put("x", to: 2); return $0
                        }
                        try child.start()
                        let other = startThread { _ = try? child.join() }
                        try check(child.waitForValue(timeout: .seconds(20)), is: index)
                        pthread_join(other, nil)
                    }
                }
                try copy.start()
                try copy.waitForValue(timeout: .seconds(40))
            }
        }

        /// What is not UTF-8 was mended on the way.
        @Test(arguments: StartMethod.allCases) func variableThatIsNotText(method: StartMethod) async throws {
            try await isolated {
                let bytes: [CChar] = [0x61, -1, -2, 0x62]
                for round in 0..<2 {  // before the fork server is there, and after
                    setenv("NOT_TEXT_\(round)", bytes + [0], 1)
                    let child = try ChildProcess(arguments: "NOT_TEXT_\(round)", startMethod: method) {
                        (name: String) -> [CChar]? in
                        getenv(name).map { Array(UnsafeBufferPointer(start: $0, count: strlen($0))) }
                    }
                    try child.start()
                    try check(child.waitForValue(timeout: .seconds(20)), is: bytes)
                }
            }
        }

        /// A thread that waits on standard input holds its lock, for which fflush(NULL) waited.
        @Test(arguments: StartMethod.allCases) func threadThatReadsStandardInput(method: StartMethod) async throws {
            let pipe = try PlainPipe()
            defer { _ = pipe.closeAndRead() }
            var options = ProcessOptions()
            options.standardInput = .descriptor(pipe.reading)
            try await isolated(options: options) {
                // In the parent for .fork, whose start flushes; in the child for all.
                if method == .fork { _ = startThread { _ = getchar() } }
                pause(.milliseconds(100))
                var options = ProcessOptions()
                options.standardInput = .inherit
                let child = try ChildProcess(startMethod: method, options: options) {
                    _ = startThread { _ = getchar() }
                    pause(.milliseconds(100))
                    return 3
                }
                try child.start()
                try check(child.waitForValue(timeout: .seconds(10)), is: 3)
            }
        }

        /// The file of a large result hit the limit: SIGXFSZ.
        @Test(arguments: StartMethod.allCases) func largeResultUnderFileSizeLimit(method: StartMethod) async throws {
            var options = ProcessOptions()
            options.limits = [.fileSize(1000)]
            do {
                _ = try await ChildProcess.run(startMethod: method, options: options) {
                    [UInt8](repeating: 1, count: 200_000)
                }
                Issue.record("a value came back")
            } catch {
                #expect("\(error)".contains("File too large"))
            }
        }
    }
}

/// A number under a lock.
private final class Counter: Sendable {
    let value = Mutex(0)

    func count(to limit: Int) {
        for index in 0..<limit {
            value.withLock { $0 += 1 }
            if index % 64 == 0 { sched_yield() }
        }
    }
}

/// Starts a thread.
private func startThread(_ body: @escaping @Sendable () -> Void) -> pthread_t {
    final class Box: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var thread = pthread_t()
    pthread_create(
        &thread,
        nil,
        {
            Unmanaged<Box>.fromOpaque($0!).takeRetainedValue().body()
            return nil
        },
        Unmanaged.passRetained(Box(body)).toOpaque()
    )
    return thread
}
