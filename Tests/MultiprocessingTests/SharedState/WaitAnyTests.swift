import Foundation
import Synchronization
import SystemPackage
import Testing

@testable import Multiprocessing

extension ProcessTests {
    /// What waiting for several things costs.
    @Suite struct WaitAnyTests {
        /// A descriptor that cannot be watched, of a thing that is not ready: it is looked at now and then, not all the time.
        @Test func whatCannotBeWatched() async throws {
            let path = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
            let file = try FileDescriptor.open(path, .readWrite, options: .create, permissions: .ownerReadWrite)
            defer { try? file.close() }
            try FileManager.default.removeItem(atPath: path)
            let thing = Unwatchable(file: file)
            let ready = try await waitAny(of: [thing], timeout: .milliseconds(300))
            #expect(ready.isEmpty)
            // Twice in each round, whose pauses have a millisecond at least.
            #expect(thing.looks.load(ordering: .relaxed) <= 700)
        }

        /// Queues and descriptors together need no thread for each half second.
        @Test func mixedWaitsMakeNoThreads() async throws {
            let queue = try Queue<Int>()
            let (reader, writer) = try FileDescriptor.pipe()
            // Starts the thread that sleeps on words for all.
            let early = try await onThread { try waitAny(of: [queue, reader], timeout: .milliseconds(20)) }
            #expect(early.isEmpty)
            let before = libraryThreads()
            let waiting = Task {
                try await onThread { try waitAny(of: [queue, reader], timeout: .milliseconds(1800)) }
            }
            var made: Set<String> = []
            let end = ContinuousClock.now + .milliseconds(1700)
            while ContinuousClock.now < end {
                made.formUnion(libraryThreads().subtracting(before))
                try await Task.sleep(for: .milliseconds(2))
            }
            let late = try await waiting.value
            #expect(late.isEmpty)
            #expect(made.isEmpty)
            // The wait is woken by either.
            let first = Task { try await onThread { try waitAny(of: [queue, reader], timeout: .seconds(20)) } }
            try await Task.sleep(for: .milliseconds(30))
            try await queue.put(1)
            #expect(try await first.value == [0])
            #expect(try await queue.get() == 1)
            let another = Task { try await onThread { try waitAny(of: [queue, reader], timeout: .seconds(20)) } }
            try await Task.sleep(for: .milliseconds(30))
            _ = try writer.writeAll([1])
            #expect(try await another.value == [1])
            try reader.close()
            try writer.close()
        }
    }
}

/// Something that is never ready, and whose descriptor is a file, which the kernel does not watch.
private final class Unwatchable: Waitable {
    let looks = Atomic<Int>(0)
    private let file: FileDescriptor

    init(file: FileDescriptor) {
        self.file = file
    }

    func waitSource() -> WaitSource { .descriptor(file) }

    var isReady: Bool {
        looks.wrappingAdd(1, ordering: .relaxed)
        return false
    }
}

/// The threads of this process that the library has made, by number.
private func libraryThreads() -> Set<String> {
    let all = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")) ?? []
    return Set(all.filter { text(of: "/proc/self/task/\($0)/comm")?.hasPrefix("mp-") ?? false })
}
