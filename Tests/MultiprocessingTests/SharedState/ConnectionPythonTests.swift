import Foundation
import Glibc
import Multiprocessing
import SystemPackage
import Testing

/// An empty message ends an echo, as in CPython's tests.
private func echo(_ connection: Connection) throws {
    while true {
        let message = try connection.receiveBytes(timeout: .seconds(30))
        if message.isEmpty { break }
        try connection.sendBytes(message, timeout: .seconds(30))
    }
    connection.close()
}

private let long: Duration = .seconds(30)

extension ProcessTests {
    /// CPython's tests of pipes.
    @Suite struct ConnectionPythonTests {
        // CPython: _TestConnection.test_connection
        @Test(arguments: Backend.allCases) func connection(backend: Backend) throws {
            let (ours, theirs) = try Connection.pair()
            let other = try backend.run { try echo(theirs) }
            let values: [Double?] = [1, 2.25, nil]
            #expect(try ours.fileDescriptor.rawValue > 2)

            try ours.send(values)
            #expect(try ours.receive([Double?].self, timeout: long) == values)
            let message = Array("hello world".utf8)
            let longer = Array(repeatElement(message, count: 10).joined())
            try ours.sendBytes(message)
            #expect(try ours.receiveBytes(timeout: long) == message)

            let numbers: [UInt8] = [0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0]
            var buffer = [UInt8](repeating: 0, count: 40)
            try ours.sendBytes(numbers)
            #expect(try ours.receiveBytes(into: &buffer, timeout: long) == 16)
            #expect(buffer == numbers + [UInt8](repeating: 0, count: 24))
            buffer = [UInt8](repeating: 0, count: 40)
            try ours.sendBytes(numbers)
            #expect(try ours.receiveBytes(into: &buffer, offset: 12, timeout: long) == 16)
            #expect(buffer == [UInt8](repeating: 0, count: 12) + numbers + [UInt8](repeating: 0, count: 12))
            // Where Python's error carries the message, ours leaves it where it is.
            try ours.sendBytes(longer)
            #expect(failure { try ours.receiveBytes(into: &buffer, timeout: long) } == .tooLarge)
            #expect(try ours.receiveBytes(timeout: long) == longer)

            #expect(try !ours.poll())
            #expect(try !ours.poll(timeout: .seconds(-1)))
            let begin = ContinuousClock.now
            #expect(try !ours.poll(timeout: .milliseconds(300)))
            #expect(ContinuousClock.now - begin >= .milliseconds(300))
            try ours.send(Int?.none)
            #expect(try ours.poll(timeout: long))
            #expect(try ours.receive(Int?.self, timeout: .zero) == nil)

            let large = [UInt8](repeating: UInt8(ascii: "X"), count: 16 << 20)
            try ours.sendBytes(large)
            #expect(try ours.receiveBytes(timeout: long) == large)

            try ours.sendBytes([])
            // A thread has no copy of its own, and closes this one.
            if backend != .threads { theirs.close() }
            #expect(ours.isReadable && ours.isWritable)
            #expect(failure { try ours.receive(Int.self, timeout: long) } == .peerGone)
            #expect(failure { try ours.receiveBytes(timeout: long) } == .peerGone)
            try other.value()
        }

        // CPython: _TestConnection.test_duplex_false
        @Test func oneWay() throws {
            let (reader, writer) = try Connection.pair(duplex: false)
            try writer.send(1)
            #expect(try reader.receive(Int.self, timeout: long) == 1)
            #expect(reader.isReadable && !reader.isWritable && !writer.isReadable && writer.isWritable)
            #expect(failure { try reader.send(2) } == .invalidArgument)
            #expect(failure { try writer.receive(Int.self) } == .invalidArgument)
            #expect(failure { try writer.poll() } == .invalidArgument)
        }

        // CPython: _TestConnection.test_spawn_close
        @Test(arguments: Backend.processes) func closedRightAfterTheStart(backend: Backend) throws {
            let (ours, theirs) = try Connection.pair()
            let other = try backend.run { try echo(theirs) }
            theirs.close()
            try ours.sendBytes(Array("hello".utf8))
            #expect(try ours.receiveBytes(timeout: long) == Array("hello".utf8))
            try ours.sendBytes([])
            ours.close()
            try other.value()
        }

        // CPython: _TestConnection.test_sendbytes
        @Test func windows() throws {
            let message = Array("abcdefghijklmnopqrstuvwxyz".utf8)
            let (a, b) = try Connection.pair()
            for (offset, size) in [(0, nil), (5, nil), (7, 8), (26, nil), (26, 0)] as [(Int, Int?)] {
                try a.sendBytes(message, offset: offset, size: size)
                let expected = message[offset..<(size.map { offset + $0 } ?? 26)]
                #expect(try b.receiveBytes(timeout: long) == Array(expected))
            }
            for (offset, size) in [(27, nil), (22, 5), (26, 1), (-1, nil), (4, -1), (1, .max)] as [(Int, Int?)] {
                #expect(failure { try a.sendBytes(message, offset: offset, size: size) } == .invalidArgument)
            }
            #expect(try !b.poll())
        }

        /// Passes a file to a child, which writes to it; returns what is in it then.
        private func written(_ text: String, _ backend: Backend, fillsTable: Bool) throws -> String {
            let (ours, theirs) = try Connection.pair()
            let other = try backend.run { () -> Int32 in
                var copies: [Int32] = []
                if fillsTable {
                    let file = open("/dev/null", O_RDONLY)
                    for number in 0..<256 where fcntl(Int32(number), F_GETFD) < 0 {
                        copies.append(dup2(file, Int32(number)))
                    }
                }
                let file = try theirs.receiveDescriptor(timeout: long)
                put(text, to: file.rawValue)
                try file.close()
                return file.rawValue
            }
            let pipe = try PlainPipe()
            if fillsTable {
                let high = fcntl(pipe.writing.rawValue, F_DUPFD_CLOEXEC, 300)
                try ours.sendDescriptor(FileDescriptor(rawValue: high))
                close(high)
            } else {
                try ours.sendDescriptor(pipe.writing)
            }
            let number = try other.value()
            if fillsTable { #expect(number >= 256) }
            return pipe.closeAndRead()
        }

        // CPython: _TestConnection.test_fd_transfer
        @Test(arguments: Backend.processes) func aFileArrives(backend: Backend) throws {
            #expect(try written("foo", backend, fillsTable: false) == "foo")
        }

        // CPython: _TestConnection.test_large_fd_transfer
        @Test(arguments: Backend.processes) func aFileWithALargeNumberArrives(backend: Backend) throws {
            #expect(try written("bar", backend, fillsTable: true) == "bar")
        }

        // CPython: _TestConnection.test_missing_fd_transfer
        @Test(arguments: Backend.processes) func aFileThatWasNotSent(backend: Backend) throws {
            let (ours, theirs) = try Connection.pair()
            let other = try backend.run { try theirs.sendBytes([0]) }
            #expect(failure { try ours.receiveDescriptor(timeout: long) } == .malformed)
            #expect(try ours.receiveBytes(timeout: long) == [0])
            try other.value()
        }

        // CPython: _TestConnection.test_context
        @Test func closing() throws {
            let (a, b) = try Connection.pair()
            try a.send(1729)
            #expect(try b.receive(Int.self, timeout: long) == 1729)
            #expect(!a.isClosed && !b.isClosed)
            a.close()
            b.close()
            #expect(a.isClosed && b.isClosed)
            #expect(failure { try a.receive(Int.self) } == .closed)
            #expect(failure { try b.receive(Int.self) } == .closed)
            #expect(failure { try b.send(1) } == .closed)
            #expect(failure { try b.poll() } == .closed)
            #expect(failure { try b.fileDescriptor } == .closed)
            a.close()
        }

        // CPython: _TestPoll.test_empty_string
        @Test func anEmptyMessage() throws {
            let (a, b) = try Connection.pair()
            #expect(try !a.poll())
            try b.sendBytes([])
            #expect(try a.poll())
            #expect(try a.poll())
            #expect(try a.receiveBytes() == [])
        }

        // CPython: _TestPoll.test_strings
        @Test(arguments: Backend.allCases) func slowStrings(backend: Backend) throws {
            let strings = ["hello", "", "a", "b", "", "bye", "", "lop"].map { Array($0.utf8) }
            let (a, b) = try Connection.pair()
            let other = try backend.run {
                for string in strings {
                    pause(.milliseconds(30))
                    try b.sendBytes(string)
                }
                b.close()
            }
            for string in strings {
                for _ in 0..<3000 {
                    if try a.poll(timeout: .milliseconds(10)) { break }
                }
                #expect(try a.receiveBytes(timeout: .zero) == string)
            }
            try other.value()
        }

        // CPython: _TestPoll.test_boundaries
        @Test(arguments: Backend.allCases) func pollingTakesNothing(backend: Backend) throws {
            let (reader, writer) = try Connection.pair(duplex: false)
            let other = try backend.run { try reader.poll(timeout: long) }
            pause(.milliseconds(300))
            for text in ["first", "second"] { try writer.sendBytes(Array(text.utf8)) }
            writer.close()
            #expect(try other.value())
            #expect(try reader.receiveBytes(timeout: long) == Array("first".utf8))
            #expect(try reader.receiveBytes(timeout: long) == Array("second".utf8))
        }

        // CPython: _TestPoll.test_dont_merge
        @Test(arguments: Backend.allCases) func messagesStayApart(backend: Backend) throws {
            let (a, b) = try Connection.pair()
            #expect(try !a.poll(timeout: .zero))
            #expect(try !a.poll(timeout: .milliseconds(100)))
            let other = try backend.run {
                for text in ["a", "b", "cd"] { try b.sendBytes(Array(text.utf8)) }
            }
            for text in ["a", "b", "cd"] {
                #expect(try a.poll(timeout: long))
                #expect(try a.poll(timeout: .seconds(1)))
                #expect(try a.receiveBytes(timeout: .zero) == Array(text.utf8))
            }
            try other.value()
        }

        // CPython: _TestPicklingConnections.test_access
        @Test(arguments: Backend.processes) func connectionsTravel(backend: Backend) throws {
            let (ours, theirs) = try Connection.pair()
            let other = try backend.run {
                let writer = try theirs.receive(Connection.self, timeout: long)
                try writer.send("all is well")
                writer.close()
                let reader = try theirs.receive(Connection.self, timeout: long)
                let text = try reader.receive(String.self, timeout: long)
                try theirs.send(text + text)
                theirs.close()
            }
            theirs.close()
            var (reader, writer) = try Connection.pair(duplex: false)
            try ours.send(writer)
            writer.close()
            #expect(try reader.receive(String.self, timeout: long) == "all is well")
            reader.close()
            (reader, writer) = try Connection.pair(duplex: false)
            try ours.send(reader)
            reader.close()
            try writer.send("foobar")
            writer.close()
            #expect(try ours.receive(String.self, timeout: long) == "foobarfoobar")
            try other.value()
        }

        // CPython: TestIgnoreEINTR.test_ignore
        @Test(arguments: StartMethod.allCases) func signalsInterruptNothing(method: StartMethod) throws {
            let (ours, theirs) = try Connection.pair()
            let size = 4 << 20
            let child = try ChildProcess(startMethod: method) {
                signal(SIGUSR1) { _ in }
                try theirs.send("ready")
                try theirs.send(theirs.receive(Int.self, timeout: long))
                try theirs.sendBytes([UInt8](repeating: UInt8(ascii: "x"), count: size))
            }
            try child.start()
            theirs.close()
            let pid = try #require(child.processIdentifier)
            #expect(try ours.receive(String.self, timeout: long) == "ready")
            pause(.milliseconds(100))
            kill(pid, SIGUSR1)
            pause(.milliseconds(100))
            try ours.send(1234)
            #expect(try ours.receive(Int.self, timeout: long) == 1234)
            pause(.milliseconds(100))
            kill(pid, SIGUSR1)
            #expect(
                try ours.receiveBytes(timeout: long) == [UInt8](repeating: UInt8(ascii: "x"), count: size)
            )
            #expect(try child.join(timeout: long))
        }
    }
}
