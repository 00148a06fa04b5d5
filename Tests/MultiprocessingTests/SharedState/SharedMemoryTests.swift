import Foundation
import Glibc
import Multiprocessing
import SystemPackage
import Testing

extension ProcessTests {
    @Suite struct SharedMemoryTests {
        @Test func sizesThatMakeNoSense() throws {
            for size in [0, -1, .min, .max] {
                try check(fails: .invalidArgument) { _ = try SharedMemory(size: size) }
                try check(fails: .invalidArgument) { _ = try SharedMemory(name: nil, size: size) }
            }
        }

        @Test func moreThanTheMachineHas() throws {
            let anonymous = try check(fails: .outOfResources) { _ = try SharedMemory(size: 1 << 46) }
            #expect(anonymous.errno != nil)
            let named = try check(fails: .outOfResources) { _ = try SharedMemory(name: "too-large", size: 1 << 46) }
            #expect(named.errno == .noSpace)
            #expect(!segmentExists("too-large"))
        }

        @Test func namesThatMakeNoSense() throws {
            let long = String(repeating: "x", count: 256)
            for name in ["", ".", "..", "a/b", "/a", "a\0b", long] {
                try check(fails: .invalidArgument) { _ = try SharedMemory(name: name, size: 1) }
                try check(fails: .invalidArgument) { _ = try SharedMemory(attaching: name) }
                try check(fails: .invalidArgument) { try SharedMemory.unlink(name) }
            }
            let longest = String(repeating: "x", count: 240) + freshName().suffix(10)
            #expect(try SharedMemory(name: longest, size: 1).name == longest)
            #expect(!segmentExists(longest))
        }

        @Test func modeAndSizeAreExact() throws {
            let previous = umask(0o777)
            defer { umask(previous) }
            let name = freshName()
            let memory = try SharedMemory(name: name, size: 4097)
            #expect(segmentStatus(name)! == (0o600, 4097))
            #expect(try SharedMemory(attaching: name).count == 4097)
            #expect(memory.count == 4097)
            #expect(try SharedMemory(size: 4097).count == 4097)
        }

        @Test func theLastUserTakesTheNameAlong() throws {
            let name = freshName()
            let first = try SharedMemory(name: name, size: 10)
            let second = try SharedMemory(attaching: name)
            first.close()
            #expect(segmentExists(name))
            second.close()
            #expect(!segmentExists(name))
            second.close()
            #expect(second.isClosed)
            // By the last reference as well.
            _ = try SharedMemory(name: name, size: 10)
            #expect(!segmentExists(name))
        }

        @Test func closeThenUnlinkAsInPython() throws {
            let memory = try SharedMemory(name: freshName(), size: 10)
            memory.close()
            try memory.unlink()
            try check(fails: .notFound) { try memory.unlink() }
        }

        @Test func persistentStays() throws {
            let name = freshName()
            try SharedMemory(name: name, size: 10, lifetime: .persistent).withMutableSpan(of: UInt8.self) { $0[9] = 9 }
            #expect(segmentExists(name))
            let again = try SharedMemory(attaching: name)
            #expect(try again.withSpan(of: UInt8.self) { $0[9] } == 9)
            again.close()
            #expect(segmentExists(name))
            try SharedMemory.unlink(name)
            #expect(!segmentExists(name))
        }

        @Test func aNameThatSomebodyElseGotSinceIsNotRemoved() throws {
            let name = freshName()
            let first = try SharedMemory(name: name, size: 10)
            try first.unlink()
            let second = try SharedMemory(name: name, size: 20)
            try check(fails: .notFound) { try first.unlink() }
            first.close()
            #expect(segmentStatus(name)?.size == 20)
            second.close()
            #expect(!segmentExists(name))
        }

        @Test func useAfterClose() throws {
            let memory = try SharedMemory(name: nil, size: 10)
            try memory.withUnsafeMutableBytes { bytes in
                memory.close()
                // This access began before.
                bytes[0] = 1
                #expect(bytes[0] == 1)
            }
            try check(fails: .closed) { try memory.withUnsafeBytes { _ in } }
            try check(fails: .closed) { try memory.withSpan(of: Int.self) { _ in } }
            #expect(throws: SharedStateError.self) { try JSONEncoder().encode(memory) }
            #expect(!segmentExists(memory.name!))
        }

        @Test func spansOfWholeElements() throws {
            let memory = try SharedMemory(size: 19)
            try memory.withMutableSpan(of: UInt64.self) { span in
                #expect(span.count == 2)
                span[1] = .max
            }
            #expect(
                try memory.withUnsafeBytes { Array($0) } == [0, 0, 0, 0, 0, 0, 0, 0] + [UInt8](repeating: 255, count: 8)
                    + [0, 0, 0]
            )
        }

        @Test(arguments: StartMethod.allCases, [false, true])
        func travels(_ method: StartMethod, named: Bool) async throws {
            let memory = named ? try await SharedMemory(name: nil, size: 100_000) : try SharedMemory(size: 100_000)
            try await sendThereAndBack(memory, method)
            memory.close()
            if let name = memory.name { #expect(try await eventually { !segmentExists(name) }) }
        }

        private func sendThereAndBack(_ memory: SharedMemory, _ method: StartMethod) async throws {
            let child = try ChildProcess(startMethod: method) { () -> SharedMemory in
                try memory.withMutableSpan(of: UInt8.self) { $0[99_999] = 42 }
                return memory
            }
            try child.start()
            // The child object keeps what it sent and what came back: a use that ends with it.
            let back = try await child.value
            #expect(try memory.withSpan(of: UInt8.self) { $0[99_999] } == 42)
            try back.withMutableSpan(of: UInt8.self) { $0[0] = 7 }
            #expect(try memory.withSpan(of: UInt8.self) { $0[0] } == 7)
        }

        @Test func anonymousMemoryHasNoNameAndCannotGoAsBytes() throws {
            let memory = try SharedMemory(size: 10)
            #expect(memory.name == nil)
            try check(fails: .invalidArgument) { try memory.unlink() }
            #expect(throws: SharedStateError.self) { try JSONEncoder().encode(memory) }
        }

        // Others make the name first and size it later.
        @Test func attachingWaitsForTheSize() async throws {
            let name = freshName()
            let file = open("/dev/shm/\(name)", O_RDWR | O_CREAT | O_EXCL, 0o600)
            defer {
                close(file)
                unlink("/dev/shm/\(name)")
            }
            try check(fails: .timedOut) { _ = try SharedMemory(attaching: name, timeout: .milliseconds(20)) }
            async let attached = onThread { try SharedMemory(attaching: name, timeout: .seconds(20)).count }
            try await Task.sleep(for: .milliseconds(30))
            ftruncate(file, 123)
            #expect(try await attached == 123)
        }

        @Test func whatIsNoSegmentIsRefused() throws {
            let name = freshName()
            mkfifo("/dev/shm/\(name)", 0o600)
            defer { unlink("/dev/shm/\(name)") }
            try check(fails: .malformed) { _ = try SharedMemory(attaching: name) }
            let link = freshName("link")
            symlink("/etc/passwd", "/dev/shm/\(link)")
            defer { unlink("/dev/shm/\(link)") }
            try check(fails: .refused) { _ = try SharedMemory(attaching: link) }
        }

        @Test func beyondTheLimitOnFileSizes() async throws {
            try await isolated {
                var limit = rlimit(rlim_cur: 4096, rlim_max: 4096)
                try check(setrlimit(__rlimit_resource_t(1), &limit) == 0)
                let error = try check(fails: .outOfResources) { _ = try SharedMemory(name: nil, size: 8192) }
                try check(error.errno == .fileTooLarge)
                try check(fails: .outOfResources) { _ = try SharedMemory(size: 8192) }
            }
        }

        @Test func withoutDescriptors() async throws {
            try await isolated {
                let name = freshName()
                let kept = try SharedMemory(name: name, size: 10)
                var limit = rlimit(rlim_cur: 3, rlim_max: 64)
                try check(setrlimit(__rlimit_resource_t(7), &limit) == 0)
                try check(fails: .outOfResources) { _ = try SharedMemory(size: 10) }
                try check(fails: .outOfResources) { _ = try SharedMemory(name: nil, size: 10) }
                try check(fails: .outOfResources) { _ = try SharedMemory(attaching: name) }
                limit.rlim_cur = 64
                try check(setrlimit(__rlimit_resource_t(7), &limit) == 0)
                try check(SharedMemory(attaching: name).count, is: 10)
                kept.close()
                try check(!segmentExists(name))
            }
        }

        @Test(.enabled(if: getuid() == 0, "needs root, to mount a small /dev/shm"))
        func whereThereIsNoRoom() throws {
            let script = "mount -t tmpfs -o size=1m none /dev/shm && exec ./mp-scenarios segments full"
            let scenario = try Scenario(
                ["-m", "/bin/sh", "-c", script],
                path: "/usr/bin/unshare",
                directory: Scenario.directory
            )
            let end = scenario.finish()
            #expect(end.output == "OK\n")
            #expect(end.errors.isEmpty, "\(end.errors)")
        }

        @Test func hugePagesThatTheSystemHasNot() async throws {
            guard text(of: "/proc/sys/vm/nr_hugepages")?.first == "0" else { return }
            let error = try check(fails: .outOfResources) { _ = try SharedMemory(size: 4 << 20, hugePages: true) }
            #expect(error.message.contains("nr_hugepages"))
            #expect(error.errno != nil)
            let array = try check(fails: .outOfResources) {
                _ = try SharedArray<Int>(count: 1 << 20, hugePages: true)
            }
            #expect(array.message.contains("nr_hugepages"))
        }

        @Test func nothingLeaks() async throws {
            try await isolated {
                let warm = try SharedMemory(name: nil, size: 10)
                _ = try SharedMemory(size: 10)
                let before = openDescriptors()
                let maps = text(of: "/proc/self/maps")!.split(separator: "\n").count
                for _ in 0..<200 {
                    let memory = try SharedMemory(name: nil, size: 10)
                    _ = try SharedMemory(attaching: memory.name!)
                    try memory.unlink()
                    _ = try SharedMemory(size: 10)
                    try check(fails: .exists) { _ = try SharedMemory(name: warm.name, size: 10) }
                }
                try check(openDescriptors(), is: before)
                try check(abs(text(of: "/proc/self/maps")!.split(separator: "\n").count - maps) < 10)
                try check(zombies(), is: [])
                try check(childrenOfThisProcess(), is: [])
            }
        }

        @Test func manyRaceForOneName() async throws {
            let name = freshName()
            let winners = try await withThrowingTaskGroup(of: SharedMemory?.self) { group in
                for _ in 0..<16 {
                    group.addTask {
                        try await onThread {
                            do {
                                return try SharedMemory(name: name, size: 10)
                            } catch let error as SharedStateError where error.code == .exists {
                                return nil
                            }
                        }
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(winners.compactMap { $0 }.count == 1)
        }

        // Attaching either works or finds nothing, and nobody is ever left with a name that nobody uses.
        @Test func attachingWhileTheLastUserLeaves() async throws {
            let name = freshName()
            try await isolated {
                for _ in 0..<300 {
                    let memory = try SharedMemory(name: name, size: 10)
                    let thread = AttachThread(name)
                    memory.close()
                    let attached = try thread.finish()
                    try check(segmentExists(name) == (attached != nil))
                    attached?.close()
                    try check(!segmentExists(name))
                }
            }
        }
    }
}

/// Attaches at the same time as its maker does something else.
private final class AttachThread: @unchecked Sendable {
    // Unchecked: `result` is written before the semaphore is signalled, and read after.
    private let done = DispatchSemaphore(value: 0)
    private var result: Result<SharedMemory?, any Error> = .success(nil)

    init(_ name: String) {
        Foundation.Thread.detachNewThread {
            self.result = Result {
                do {
                    return try SharedMemory(attaching: name)
                } catch let error as SharedStateError where error.code == .notFound {
                    return nil
                }
            }
            self.done.signal()
        }
    }

    func finish() throws -> SharedMemory? {
        done.wait()
        let found = result
        result = .success(nil)
        return try found.get()
    }
}
