import Glibc
import Multiprocessing
import Testing

extension ProcessTests {
    /// Python's `multiprocessing.shared_memory` and NumPy at the other end.
    @Suite(.enabled(if: Python.isAvailable, Python.missing)) struct PythonInteropTests {
        @Test func pythonAttachesToOurs() throws {
            let memory = try SharedMemory(name: nil, size: 1001)
            try memory.withMutableSpan(of: UInt8.self) { $0[1000] = 77 }
            let output = try Python.run(
                Python.forget + """
                    import sys
                    from multiprocessing import shared_memory
                    shm = shared_memory.SharedMemory(name=sys.argv[1])
                    forget(shm)
                    print(shm.size, shm.buf[1000])
                    shm.buf[0] = 33
                    shm.close()
                    """,
                memory.name!
            )
            #expect(output == "1001 77\n")
            #expect(try memory.withSpan(of: UInt8.self) { $0[0] } == 33)
            #expect(segmentExists(memory.name!))
        }

        @Test func weAttachToPythons() throws {
            let name = freshName("py")
            _ = try Python.run(
                Python.forget + """
                    import sys
                    from multiprocessing import shared_memory
                    shm = shared_memory.SharedMemory(name=sys.argv[1], create=True, size=1000)
                    forget(shm)
                    shm.buf[999] = 9
                    shm.close()
                    """,
                name
            )
            let memory = try SharedMemory(attaching: name)
            #expect(memory.count == 1000)
            #expect(try memory.withSpan(of: UInt8.self) { $0[999] } == 9)
            try check(fails: .exists) { _ = try SharedMemory(name: name, size: 10) }
            // Python's to remove: our leaving does not.
            memory.close()
            #expect(segmentExists(name))
            try memory.unlink()
            #expect(!segmentExists(name))
        }

        @Test(.enabled(if: Python.hasNumPy, Python.noNumPy)) func numPyComputesInOurs() throws {
            let memory = try SharedMemory(name: nil, size: 8 * 1000)
            try memory.withMutableSpan(of: Double.self) { span in
                for index in span.indices { span[index] = Double(index) }
            }
            let output = try Python.run(
                Python.forget + """
                    import sys, numpy
                    from multiprocessing import shared_memory
                    shm = shared_memory.SharedMemory(name=sys.argv[1])
                    forget(shm)
                    array = numpy.ndarray((1000,), dtype=numpy.float64, buffer=shm.buf)
                    print(array.sum())
                    array *= 2
                    del array
                    shm.close()
                    """,
                memory.name!
            )
            #expect(output == "499500.0\n")
            #expect(
                try memory.withSpan(of: Double.self) { span in span.indices.allSatisfy { span[$0] == Double($0 * 2) } }
            )
        }

        @Test func pythonReadsAndWritesOurList() throws {
            let list = try SharedList(["howdy", 1, 2.5, true, nil, .bytes([1, 2]), "é🐦"], name: nil)
            let output = try Python.run(
                Python.forget + """
                    import sys
                    from multiprocessing import shared_memory
                    list = shared_memory.ShareableList(name=sys.argv[1])
                    forget(list.shm)
                    print([list[i] for i in range(len(list))])
                    list[0] = "by Py"
                    list[1] = -7
                    list[2] = "text"
                    list[3] = None
                    list[4] = False
                    list[5] = b"12345678"
                    list[6] = "ü"
                    """,
                list.name!
            )
            #expect(output == "['howdy', 1, 2.5, True, None, b'\\x01\\x02', 'é🐦']\n")
            #expect(
                try list.elements() == ["by Py", -7, "text", nil, false, .bytes(Array("12345678".utf8)), "ü"]
            )
        }

        @Test func weReadAndWritePythonsList() throws {
            let name = freshName("pylist")
            defer { unlink("/dev/shm/\(name)") }
            let output = try Python.run(
                Python.forget + """
                    import sys
                    from multiprocessing import shared_memory
                    list = shared_memory.ShareableList(["howdy", b"HoWdY", -273.154, 100, None, True, 42], name=sys.argv[1])
                    forget(list.shm)
                    print(list.shm.size)
                    """,
                name
            )
            let list = try SharedList(attaching: name)
            #expect(list.memory.count == Int(output.dropLast()))
            #expect(
                try list.elements() == ["howdy", .bytes(Array("HoWdY".utf8)), -273.154, 100, nil, true, 42]
            )
            try list.set("swift", at: 0)
            try list.set(nil, at: 3)
            try list.set(.bytes([1, 2, 3]), at: 4)
            try check(fails: .tooLarge) { try list.set("much too long for this", at: 4) }
            // It would come back without its end.
            try check(fails: .invalidArgument) { try list.set("a\0", at: 0) }
            let seen = try Python.run(
                Python.forget + """
                    import sys
                    from multiprocessing import shared_memory
                    list = shared_memory.ShareableList(name=sys.argv[1])
                    forget(list.shm)
                    print([list[i] for i in range(len(list))])
                    """,
                name
            )
            #expect(seen == "['swift', b'HoWdY', -273.154, None, b'\\x01\\x02\\x03', True, 42]\n")
        }
    }
}
