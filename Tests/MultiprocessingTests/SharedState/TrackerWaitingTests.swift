import Glibc
import Testing

@testable import Multiprocessing
@testable import MultiprocessingSystem

extension ProcessTests {
    /// Making, closing and unlinking named segments while the tracker is stopped.
    @Suite struct TrackerWaitingTests {
        /// More than there are threads for tasks.
        private static let many = 40

        /// How many names there are that the process made up which made this one.
        private static func siblings(of memory: SharedMemory) -> Int {
            let prefix = memory.name!.prefix { $0 != "_" } + "_" + memory.name!.split(separator: "_")[1] + "_"
            return filesIn("/dev/shm").count { $0.hasPrefix(prefix) }
        }

        @Test func aStoppedTracker() async throws {
            let left = try await isolated { () async throws -> [String] in
                let first = try await SharedMemory(name: nil, size: 10)
                let tracker = TrackerProbe.processIdentifier!
                kill(tracker, SIGSTOP)
                // Until its socket is full.
                var pieces: [SharedMemory] = []
                var error: SharedStateError?
                while error == nil, pieces.count < 10_000 {
                    do {
                        pieces.append(try await SharedMemory(name: nil, size: 10, timeout: .zero))
                    } catch let refusal as SharedStateError {
                        error = refusal
                    }
                }
                try check(error?.code == .timedOut, "\(String(describing: error))")
                try check(Self.siblings(of: first), is: pieces.count + 1)

                // Whoever waits holds no thread, or nobody would continue the tracker before another has taken its place.
                let makers = Task {
                    try await withThrowingTaskGroup(of: SharedMemory.self) { group in
                        for _ in 0..<Self.many { group.addTask { try await SharedMemory(name: nil, size: 10) } }
                        return try await group.reduce(into: []) { $0.append($1) }
                    }
                }
                let cancelled = Task { _ = try await SharedMemory(name: nil, size: 10, timeout: nil) }
                try await Task.sleep(for: .milliseconds(50))
                cancelled.cancel()
                do {
                    try await cancelled.value
                    try check(false, "made what could not be reported")
                } catch is CancellationError {}
                try check(Self.siblings(of: first), is: pieces.count + 1)
                // As many as there are would take minutes, if each of them waited.
                for (index, piece) in pieces.enumerated() {
                    if index.isMultiple(of: 2) { try piece.unlink() }
                    piece.close()
                }
                try check(Self.siblings(of: first), is: 1)
                kill(tracker, SIGCONT)
                let made = try await makers.value
                try check(TrackerProbe.processIdentifier, is: tracker)
                try check(Self.siblings(of: first), is: Self.many + 1)
                // Both are left without being closed.
                return withExtendedLifetime((first, made)) { [first.name!, made[0].name!] }
            }
            #expect(try await eventually { !left.contains(where: segmentExists) })
        }

        /// A child finds the tracker of its parent, which does not greet it.
        @Test func aTrackerThatDoesNotGreet() async throws {
            try await isolated { () async throws -> Void in
                let first = try await SharedMemory(name: nil, size: 10)
                let tracker = TrackerProbe.processIdentifier!
                kill(tracker, SIGSTOP)
                let child = try ChildProcess { () async throws -> [String] in
                    do {
                        _ = try await SharedMemory(name: nil, size: 10, timeout: .milliseconds(20))
                        try check(false, "made what could not be reported")
                    } catch let error as SharedStateError {
                        try check(error.code, is: .timedOut)
                    }
                    let own = try await SharedMemory(name: nil, size: 10)
                    try check(Self.siblings(of: own), is: 1)
                    let other = TrackerProbe.processIdentifier
                    try check(other != nil && other != tracker, "\(String(describing: other))")
                    // The child ends without closing it.
                    return withExtendedLifetime(own) { [own.name!] }
                }
                try child.start()
                let left = try await child.value
                try check(await eventually { !left.contains(where: segmentExists) })
                kill(tracker, SIGKILL)
                try first.unlink()
            }
        }

        /// The tracker needs some milliseconds to start: whoever does not wait for it has made nothing, and left no process.
        @Test func thereIsNoTimeToStartOne() async throws {
            try await isolated { () async throws -> Void in
                let names = Set(filesIn("/dev/shm").filter { $0.hasPrefix("mp_") })
                for _ in 0..<3 {
                    do {
                        _ = try await SharedMemory(name: nil, size: 10, timeout: .zero)
                        try check(false, "made what could not be reported")
                    } catch let error as SharedStateError {
                        try check(error.code, is: .timedOut)
                    }
                }
                let pid = String(UInt64(ProcessStamp.current.rawValue), radix: 16)
                let own = filesIn("/dev/shm").filter { $0.hasPrefix("mp_\(pid)_") && !names.contains($0) }
                try check(own.isEmpty, "\(own)")
                try check(await eventually { childrenOfThisProcess().isEmpty })
                try await SharedMemory(name: nil, size: 10).close()
                // What needs no tracker needs no time.
                let kept = try await SharedMemory(name: nil, size: 10, lifetime: .persistent, timeout: .zero)
                try kept.unlink()
            }
        }
    }
}

/// What a process has to tell, without a tracker.
@Suite struct TrackerBacklogTests {
    private let one = FileIdentity(device: 1, inode: 1)
    private let two = FileIdentity(device: 1, inode: 2)

    /// What a tracker with room for some reports gets.
    private func told(_ backlog: inout TrackerBacklog, room: Int = .max) -> (reports: [TrackerReport], isAll: Bool) {
        var reports: [TrackerReport] = []
        let isAll = backlog.flush { (report) throws(Never) in
            guard reports.count < room else { return false }
            reports.append(report)
            return true
        }
        return (reports, isAll)
    }

    @Test func eachIsToldOnce() throws {
        var backlog = TrackerBacklog()
        backlog.watch(try SegmentName("a"), one)
        backlog.watch(try SegmentName("b"), two)
        #expect(told(&backlog, room: 1) == ([.watch("a", one)], false))
        #expect(told(&backlog) == ([.watch("b", two)], true))
        #expect(told(&backlog) == ([], true))
        #expect(backlog.end(one, .forgotten) && backlog.end(two, .retired))
        #expect(told(&backlog, room: 0) == ([], false))
        #expect(told(&backlog) == ([.forget(one), .retire(two)], true))
        #expect(!backlog.end(one, .forgotten) && !backlog.end(two, .retired))
    }

    @Test func whatIsOverBeforeItWasTold() throws {
        var backlog = TrackerBacklog()
        backlog.watch(try SegmentName("a"), one)
        backlog.watch(try SegmentName("b"), two)
        #expect(backlog.end(one, .forgotten) && backlog.end(two, .retired))
        #expect(told(&backlog, room: 1) == ([.watch("b", two)], false))
        #expect(told(&backlog) == ([.retire(two)], true))
        // Under another name.
        backlog.watch(try SegmentName("c"), one)
        #expect(told(&backlog) == ([.watch("c", one)], true))
    }

    @Test func anotherTrackerIsToldWhatIsSo() throws {
        var backlog = TrackerBacklog()
        backlog.watch(try SegmentName("a"), one)
        backlog.watch(try SegmentName("b"), two)
        _ = told(&backlog)
        #expect(backlog.end(one, .retired) && backlog.end(two, .forgotten))
        backlog.startOver()
        #expect(told(&backlog) == ([.watch("a", one), .retire(one)], true))
        backlog.startOver()
        #expect(told(&backlog) == ([], true))
    }
}
