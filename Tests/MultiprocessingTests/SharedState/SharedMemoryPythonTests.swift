import Foundation
import Glibc
import Multiprocessing
import Testing

extension ProcessTests {
    /// What CPython's suite asks of shared memory. Its remaining tests are in ``TrackerTests``.
    @Suite struct SharedMemoryPythonTests {
        // CPython: _TestSharedMemory.test_shared_memory_name_with_embedded_null
        @Test func nameWithEmbeddedNull() throws {
            try check(fails: .invalidArgument) { _ = try SharedMemory(attaching: "test01\0") }
            try check(fails: .invalidArgument) { _ = try SharedMemory(name: "test01\0", size: 10) }
            try check(fails: .invalidArgument) { try SharedMemory.unlink("test01\0") }
        }

        // CPython: _TestSharedMemory.test_shared_memory_basics
        @Test func basics() throws {
            let name = freshName("test01_fn")
            let memory = try SharedMemory(name: name, size: 512)
            #expect(memory.name == name && memory.count >= 512)
            try memory.withMutableSpan(of: UInt8.self) { $0[0] = 42 }
            let also = try SharedMemory(attaching: name)
            #expect(try also.withSpan(of: UInt8.self) { $0[0] } == 42)
            try also.withMutableSpan(of: UInt8.self) { $0[1] = 22 }
            #expect(try memory.withSpan(of: UInt8.self) { $0[1] } == 22)
            #expect(try SharedMemory(attaching: name).count == memory.count)
            try check(fails: .exists) { _ = try SharedMemory(name: name, size: 512) }
            also.close()
            also.close()
            try memory.unlink()
            try check(fails: .notFound) { try memory.unlink() }
            try check(fails: .notFound) { _ = try SharedMemory(attaching: name) }
            try check(fails: .invalidArgument) { _ = try SharedMemory(name: name, size: -1) }
        }

        // CPython: _TestSharedMemory.test_shared_memory_recreate
        // Adapted: names are random and cannot be foreseen; a thousand are all different.
        @Test func automaticNamesAreNeverTaken() throws {
            let pieces = try (0..<300).map { _ in try SharedMemory(name: nil, size: 1) }
            #expect(Set(pieces.map(\.name)).count == 300)
        }

        // CPython: _TestSharedMemory.test_invalid_shared_memory_creation
        @Test func invalidCreation() throws {
            try check(fails: .invalidArgument) { _ = try SharedMemory(name: nil, size: -1) }
            try check(fails: .invalidArgument) { _ = try SharedMemory(name: nil, size: 0) }
        }

        // CPython: _TestSharedMemory.test_shared_memory_pickle_unpickle
        @Test func goingByBytes() throws {
            let memory = try SharedMemory(name: nil, size: 512)
            try memory.withMutableSpan(of: UInt8.self) { $0[0] = 1 }
            let bytes = try JSONEncoder().encode(memory)
            let again = try JSONDecoder().decode(SharedMemory.self, from: bytes)
            #expect(again.name == memory.name && again.count == 512)
            try again.withMutableSpan(of: UInt8.self) { $0[1] = 2 }
            #expect(try memory.withSpan(of: UInt8.self) { [$0[0], $0[1]] } == [1, 2])
            try memory.withMutableSpan(of: UInt8.self) { $0[2] = 3 }
            #expect(try again.withSpan(of: UInt8.self) { $0[2] } == 3)
        }

        // CPython: _TestSharedMemory.test_shared_memory_pickle_unpickle_dead_object
        @Test func goingByBytesWhenItIsGone() throws {
            let memory = try SharedMemory(name: nil, size: 512)
            let bytes = try JSONEncoder().encode(memory)
            memory.close()
            try check(fails: .notFound) { _ = try JSONDecoder().decode(SharedMemory.self, from: bytes) }
        }

        // CPython: _TestSharedMemory.test_shared_memory_across_processes
        @Test(arguments: StartMethod.allCases) func acrossProcesses(_ method: StartMethod) async throws {
            let memory = try await SharedMemory(name: nil, size: 512)
            let name = memory.name!
            let byName = try ChildProcess(startMethod: method) {
                let local = try SharedMemory(attaching: name)
                try local.withUnsafeMutableBytes { $0.copyBytes(from: Array("howdy".utf8)) }
                local.close()
            }
            try byName.start()
            try await byName.value
            #expect(try memory.withUnsafeBytes { Array($0[..<5]) } == Array("howdy".utf8))
            let byHandle = try ChildProcess(startMethod: method) {
                try memory.withUnsafeMutableBytes { $0.copyBytes(from: Array("HELLO".utf8)) }
                memory.close()
            }
            try byHandle.start()
            try await byHandle.value
            #expect(try memory.withUnsafeBytes { Array($0[..<5]) } == Array("HELLO".utf8))
        }

        // CPython: _TestSharedMemory.test_shared_memory_SharedMemoryManager_basics
        // Adapted: a scope has no process of its own, so there is nothing to start.
        @Test func scopes() throws {
            let scope = SharedMemoryScope()
            let lists = try (0..<5).map { try scope.list([.int($0), "x", nil], name: nil) }
            let pieces = try (0..<5).map { _ in try scope.memory(name: nil, size: 100) }
            let anonymous = try scope.memory(size: 100)
            #expect(scope.count == 11)
            let names = lists.map { $0.name! } + pieces.map { $0.name! }
            #expect(names.allSatisfy(segmentExists))
            scope.end()
            #expect(!names.contains(where: segmentExists))
            #expect(anonymous.isClosed)
            try check(fails: .notFound) { _ = try SharedList(attaching: names[0]) }
            try check(fails: .closed) { _ = try scope.memory(size: 1) }
            try check(fails: .closed) { _ = try lists[0][0] }
            var inner: SharedMemory?
            #expect(throws: CheckFailure.self) {
                try withSharedMemory { scope in
                    inner = try scope.memory(name: nil, size: 100)
                    throw CheckFailure(text: "", place: "")
                }
            }
            #expect(inner?.isClosed == true && !segmentExists(inner!.name!))
        }

        // CPython: _TestSharedMemory.test_shared_memory_ShareableList_basics
        @Test func lists() throws {
            let bytes = SharedList.Element.bytes(Array("HoWdY".utf8))
            let list = try SharedList(["howdy", bytes, -273.154, 100, nil, true, 42], name: nil)
            #expect(list.count == 7)
            #expect(try list.elements() == ["howdy", bytes, -273.154, 100, nil, true, 42])
            for index in [-1, 7, .max] {
                try check(fails: .invalidArgument) { _ = try list[index] }
                try check(fails: .invalidArgument) { try list.set(1, at: index) }
            }
            // Another value, and another type.
            try list.set("replaced", at: 0)
            try list.set(5, at: 1)
            try list.set("text", at: 3)
            try list.set(nil, at: 5)
            #expect(try list.elements() == ["replaced", 5, -273.154, "text", nil, nil, 42])
            // One that does not fit changes nothing.
            try check(fails: .tooLarge) { try list.set("far too long for it", at: 3) }
            #expect(try list[3] == "text")
            #expect(try list.slotSize(at: 3) == 8)
            #expect(try list.firstIndex(of: 42) == 6)
            #expect(try list.firstIndex(of: 43) == nil)
            #expect(try list.count(of: nil) == 2)
            // A duplicate under another name.
            let name = freshName("duplicate")
            let copy = try SharedList(list.elements(), name: name)
            #expect(copy.name == name && list.name != name)
            #expect(try copy.elements() == list.elements())
            try copy.set(7, at: 6)
            #expect(try list[6] == 42)
            // A second handle.
            let second = try SharedList(attaching: name)
            try second.set(8, at: 6)
            #expect(try copy[6] == 8)
            // An empty one.
            let empty = try SharedList([], name: nil)
            #expect(empty.count == 0)
            #expect(try empty.elements().isEmpty)
            #expect(try SharedList(attaching: empty.name!).count == 0)
            try check(fails: .invalidArgument) { _ = try empty[0] }
        }

        // CPython: _TestSharedMemory.test_shared_memory_ShareableList_pickling
        @Test func listsGoingByBytes() throws {
            let short = try SharedList((0..<10).map { .int($0) }, name: nil)
            let long = try SharedList((0..<400).map { .int($0) }, name: nil)
            let (few, many) = (try JSONEncoder().encode(short), try JSONEncoder().encode(long))
            #expect(abs(few.count - many.count) < 8)
            let again = try JSONDecoder().decode(SharedList.self, from: few)
            #expect(try again.elements() == short.elements())
            try again.set(99, at: 0)
            #expect(try short[0] == 99)
            try short.set(98, at: 1)
            #expect(try again[1] == 98)
        }

        // CPython: _TestSharedMemory.test_shared_memory_ShareableList_pickling_dead_object
        @Test func listsGoingByBytesWhenTheyAreGone() throws {
            let list = try SharedList([1, 2], name: nil)
            let bytes = try JSONEncoder().encode(list)
            list.memory.close()
            try check(fails: .notFound) { _ = try JSONDecoder().decode(SharedList.self, from: bytes) }
        }
    }

    /// Lists beyond what CPython's suite asks.
    @Suite struct SharedListTests {
        @Test func nothingIsLost() throws {
            let texts: [SharedList.Element] = [
                "", "\0", "a\0\0", "12345678", "é", "🐦🐦🐦🐦", .bytes([]), .bytes([0]), .bytes([1, 0, 0, 0, 0, 0, 0, 0]),
                .int(.min), .double(-.infinity), false,
            ]
            let list = try SharedList(texts)
            #expect(try list.elements() == texts)
            // As long as the slot, to the byte.
            try list.set("123456789012345\0", at: 3)
            #expect(try list[3] == "123456789012345\0")
            try list.set("ééééé", at: 3)
            #expect(try list[3] == "ééééé")
        }

        @Test func roomForMore() throws {
            let list = try SharedList([1, "x"], slotSize: 20)
            #expect(try list.slotSize(at: 0) == 24)
            try list.set("twenty-four bytes of it!", at: 0)
            #expect(try list.elements() == ["twenty-four bytes of it!", "x"])
            try check(fails: .tooLarge) { _ = try SharedList([1], slotSize: 10_000_000) }
        }

        @Test(arguments: StartMethod.allCases) func travels(_ method: StartMethod) async throws {
            let list = try SharedList([0, "zero"], slotSize: 32)
            let children = try (0..<2).map { _ in
                try ChildProcess(startMethod: method) {
                    for number in 0..<300 { try list.set(.string("number \(number)"), at: 1) }
                }
            }
            for child in children { try child.start() }
            for _ in 0..<300 {
                guard case .string(let text) = try await list.element(at: 1) else { Issue.record("no text"); break }
                #expect(text == "zero" || text.hasPrefix("number "))
            }
            for child in children { try await child.value }
            #expect(try await list.element(at: 1) == "number 299")
        }

        @Test func whatIsNoListIsRefused() throws {
            let memory = try SharedMemory(size: 64)
            var generator = SystemRandomNumberGenerator()
            for _ in 0..<3000 {
                try memory.withMutableSpan(of: UInt64.self) { span in
                    for index in span.indices { span[index] = generator.next() >> UInt64.random(in: 0...64) }
                    span[0] = .random(in: 0...4)
                }
                // Refused, or read without leaving the memory.
                if let list = try? SharedList(in: memory) { _ = try? list.elements() }
            }
            for bytes in [1, 8, 15] {
                try check(fails: .malformed) { _ = try SharedList(in: SharedMemory(size: bytes)) }
            }
            try memory.withMutableSpan(of: Int64.self) { $0[0] = .max }
            try check(fails: .malformed) { _ = try SharedList(in: memory) }
        }
    }
}
