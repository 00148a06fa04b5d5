import Glibc
import Multiprocessing
import Testing

extension ProcessTests {
    /// Lists and segments that are waited for without a thread.
    @Suite struct SharedMemoryWaitingTests {
        /// More than there are threads for tasks.
        private static let many = 40

        /// The code of the error that `body` throws; nil if it throws none.
        private func failure(_ body: () async throws -> some Any) async throws -> SharedStateError.Code? {
            do {
                _ = try await body()
            } catch let error as SharedStateError {
                return error.code
            }
            return nil
        }

        // MARK: Lists

        @Test func everyFormInATask() async throws {
            let list = try await SharedList(["a", 1, "a", nil], name: nil)
            #expect(try await list.elements() == ["a", 1, "a", nil])
            try await list.set(2.5, at: 1, timeout: .zero)
            #expect(try await list.element(at: 1, timeout: .zero) == 2.5)
            #expect(try await list.element(at: 3, timeout: nil) == nil)
            #expect(try await list.count(of: "a") == 2)
            #expect(try await list.firstIndex(of: 2.5) == 1)
            #expect(try await list.firstIndex(of: 3) == nil)
            let again = try await SharedList(attaching: list.name!, timeout: .zero)
            #expect(try await again.elements(timeout: .zero) == ["a", 2.5, "a", nil])
            #expect(try await failure { try await list.element(at: 4) } == .invalidArgument)
            #expect(try await failure { try await list.set(1, at: -1) } == .invalidArgument)
            #expect(try await failure { try await list.set("too long for it", at: 0) } == .tooLarge)
            list.memory.close()
            #expect(try await failure { try await list.element(at: 0) } == .closed)
            #expect(try await failure { try await list.set(1, at: 0) } == .closed)
        }

        /// A child that stops while it sets the first element to "after".
        private func stoppedWriter(of list: SharedList, at step: String) async throws -> ChildProcess<Void> {
            let child = try ChildProcess {
                Chaos.arm(Chaos.Plan(.stop, .named(step, occurrence: 0)))
                try list.set("after", at: 0)
            }
            try child.start()
            let pid = try #require(child.processIdentifier)
            try #require(try await eventually(within: .seconds(20)) { state(of: pid) == "T" })
            return child
        }

        private func guardWord(of list: SharedList) throws -> UInt64 {
            try list.memory.withUnsafeBytes { bytes in
                let offsets = stride(from: 0, to: bytes.count - 8, by: 8)
                let own = offsets.first { bytes.load(fromByteOffset: $0, as: UInt64.self) == 0x0100_5453_494C_504D }
                return bytes.load(fromByteOffset: try #require(own) + 8, as: UInt64.self)
            }
        }

        @Test(.enabled(if: Chaos.isAvailable, "this build has no steps to be stopped at"))
        func aStoppedWriterIsGivenUp() async throws {
            let list = try SharedList(["before", 1])
            let child = try await stoppedWriter(of: list, at: "list.journalled")
            for timeout in [Duration.zero, .seconds(-1), .milliseconds(20)] {
                #expect(try await failure { try await list.element(at: 1, timeout: timeout) } == .timedOut)
                #expect(try await failure { try await list.set(2, at: 1, timeout: timeout) } == .timedOut)
                #expect(try await failure { try await list.elements(timeout: timeout) } == .timedOut)
                #expect(try await failure { try await list.count(of: 1, timeout: timeout) } == .timedOut)
                #expect(try await failure { try await list.firstIndex(of: 1, timeout: timeout) } == .timedOut)
                try await onThread {
                    try check(fails: .timedOut) { _ = try list.element(at: 1, timeout: timeout) }
                    try check(fails: .timedOut) { try list.set(2, at: 1, timeout: timeout) }
                    try check(fails: .timedOut) { _ = try list.elements(timeout: timeout) }
                    try check(fails: .timedOut) { _ = try list.count(of: 1, timeout: timeout) }
                    try check(fails: .timedOut) { _ = try list.firstIndex(of: 1, timeout: timeout) }
                }
            }
            // What nobody can do is refused before it is waited for.
            #expect(try await failure { try await list.set("too long for it", at: 0, timeout: nil) } == .tooLarge)
            #expect(try await failure { try await list.element(at: 2, timeout: nil) } == .invalidArgument)
            try child.send(signal: SIGCONT)
            try await child.value
            #expect(try await list.elements() == ["after", 1])
        }

        @Test(.enabled(if: Chaos.isAvailable, "this build has no steps to be stopped at"))
        func whoWaitsForAStoppedWriterHoldsNoThread() async throws {
            let list = try SharedList(["before", 1])
            let child = try await stoppedWriter(of: list, at: "list.committed")
            let found = try await withThrowingTaskGroup(of: SharedList.Element.self) { group in
                for _ in 0..<Self.many {
                    group.addTask { try await list.element(at: 0, timeout: .seconds(30)) }
                }
                // Reached only if those above have left a thread for it.
                group.addTask {
                    try await Task.sleep(for: .milliseconds(50))
                    try child.send(signal: SIGCONT)
                    return "after"
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(found == Array(repeating: "after", count: Self.many + 1))
            try await child.value
        }

        @Test(
            .enabled(if: Chaos.isAvailable, "this build has no steps to be stopped at"),
            arguments: [("list.journalled", "before"), ("list.committed", "after")]
        )
        func aStoppedWriterThatIsKilled(step: String, content: String) async throws {
            let list = try SharedList(["before", 1])
            let child = try await stoppedWriter(of: list, at: step)
            async let found = list.elements(timeout: .seconds(30))
            try await Task.sleep(for: .milliseconds(20))
            try child.kill()
            #expect(try await found == [.string(content), 1])
            try await child.join()
        }

        @Test(.enabled(if: Chaos.isAvailable, "this build has no steps to be stopped at"))
        func whoIsCancelledHasChangedNothing() async throws {
            let list = try SharedList(["before", 1])
            let child = try await stoppedWriter(of: list, at: "list.journalled")
            let reader = Task { try await list.element(at: 1, timeout: nil) }
            let writer = Task { try await list.set(2, at: 1, timeout: nil) }
            try await Task.sleep(for: .milliseconds(20))
            reader.cancel()
            writer.cancel()
            await #expect(throws: CancellationError.self) { _ = try await reader.value }
            await #expect(throws: CancellationError.self) { try await writer.value }
            try child.send(signal: SIGCONT)
            try await child.value
            #expect(try await list.elements() == ["after", 1])
        }

        @Test(.enabled(if: Chaos.isAvailable, "this build has no steps to be stopped at"))
        func closingTakesTheMemoryFromNobodyWhoWaits() async throws {
            let list = try SharedList(["before", 1])
            let child = try await stoppedWriter(of: list, at: "list.committed")
            let taken = try guardWord(of: list)
            let reader = Task { try await list.element(at: 0, timeout: .seconds(30)) }
            // Whoever goes to sleep leaves a mark.
            #expect(try await eventually(within: .seconds(20)) { try guardWord(of: list) != taken })
            list.memory.close()
            try child.send(signal: SIGCONT)
            #expect(try await reader.value == "after")
            try await child.value
        }

        // MARK: Segments

        /// Runs `body` with the name of a segment that has no size yet, as others make them, and its file.
        private func withUnsized(_ body: (_ name: String, _ file: Int32) async throws -> Void) async throws {
            let name = freshName()
            let file = open("/dev/shm/\(name)", O_RDWR | O_CREAT | O_EXCL, 0o600)
            defer {
                close(file)
                unlink("/dev/shm/\(name)")
            }
            try await body(name, file)
        }

        @Test func attachingInATask() async throws {
            let memory = try await SharedMemory(name: nil, size: 123)
            #expect(try await SharedMemory(attaching: memory.name!, timeout: .zero).count == 123)
            #expect(try await failure { try await SharedMemory(attaching: freshName(), timeout: nil) } == .notFound)
            #expect(try await failure { try await SharedMemory(attaching: "a/b", timeout: nil) } == .invalidArgument)
            let tiny = try await SharedMemory(name: nil, size: 8)
            #expect(try await failure { try await SharedList(attaching: tiny.name!) } == .malformed)
            try await withUnsized { (name, _) async throws -> Void in
                for timeout in [Duration.zero, .seconds(-1), .milliseconds(20)] {
                    #expect(
                        try await failure { try await SharedMemory(attaching: name, timeout: timeout) } == .timedOut
                    )
                    #expect(try await failure { try await SharedList(attaching: name, timeout: timeout) } == .timedOut)
                }
            }
        }

        @Test func whoWaitsForASizeHoldsNoThread() async throws {
            try await withUnsized { name, file in
                let counts = try await withThrowingTaskGroup(of: Int.self) { group in
                    for _ in 0..<Self.many {
                        group.addTask { try await SharedMemory(attaching: name, timeout: .seconds(30)).count }
                    }
                    group.addTask {
                        try await Task.sleep(for: .milliseconds(50))
                        ftruncate(file, 123)
                        return 123
                    }
                    return try await group.reduce(into: []) { $0.append($1) }
                }
                #expect(counts == Array(repeating: 123, count: Self.many + 1))
            }
        }

        @Test func attachingThatIsCancelledLeavesNothing() async throws {
            let name = freshName()
            let file = open("/dev/shm/\(name)", O_RDWR | O_CREAT | O_EXCL, 0o600)
            defer {
                close(file)
                unlink("/dev/shm/\(name)")
            }
            try await isolated { () async throws -> Void in
                func attempt() async throws {
                    let task = Task { _ = try await SharedMemory(attaching: name, timeout: nil) }
                    try await Task.sleep(for: .milliseconds(5))
                    task.cancel()
                    do {
                        try await task.value
                        try check(false, "attached to what has no size")
                    } catch is CancellationError {}
                }
                try await attempt()
                let before = openDescriptors()
                for _ in 0..<20 { try await attempt() }
                try check(openDescriptors(), is: before)
            }
        }
    }
}
