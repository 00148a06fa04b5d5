import Foundation
import Glibc
import Multiprocessing
import SystemPackage
import Testing

private let long: Duration = .seconds(30)

private struct Note: Codable, Hashable, Comparable {
    var number: Int
    var pid: Int32

    static func < (left: Note, right: Note) -> Bool {
        (left.number, left.pid) < (right.number, right.pid)
    }
}

/// Connected stream sockets.
private func socketPair() throws -> (FileDescriptor, FileDescriptor) {
    var ends: [Int32] = [0, 0]
    guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
        throw Errno(rawValue: errno)
    }
    return (FileDescriptor(rawValue: ends[0]), FileDescriptor(rawValue: ends[1]))
}

extension ProcessTests {
    /// CPython's tests of waiting for several things.
    @Suite struct WaitAnyPythonTests {
        private func manyWriters(_ method: StartMethod, slow: Bool) throws {
            var readers: [Connection] = []
            var children: [ChildProcess<Void>] = []
            for _ in 0..<4 {
                let (reader, writer) = try Connection.pair(duplex: false)
                let child = try ChildProcess(startMethod: method) {
                    for number in 0..<10 {
                        if slow { pause(.milliseconds(Int.random(in: 0..<60))) }
                        try writer.send(Note(number: number, pid: getpid()))
                    }
                    writer.close()
                }
                try child.start()
                writer.close()
                readers.append(reader)
                children.append(child)
            }
            var notes: [Note] = []
            while !readers.isEmpty {
                let ready = try waitAny(of: readers, timeout: long)
                #expect(!ready.isEmpty)
                if ready.isEmpty { break }
                for place in ready.reversed() {
                    do {
                        notes.append(try readers[place].receive(Note.self, timeout: .zero))
                    } catch let error as SharedStateError where error.code == .peerGone {
                        readers.remove(at: place).close()
                    }
                }
            }
            for child in children { #expect(try child.join(timeout: long)) }
            let pids = children.compactMap(\.processIdentifier)
            #expect(notes.sorted() == (0..<10).flatMap { n in pids.map { Note(number: n, pid: $0) } }.sorted())
        }

        // CPython: TestWait.test_wait
        @Test(arguments: StartMethod.allCases) func manyConnections(method: StartMethod) throws {
            try manyWriters(method, slow: false)
        }

        // CPython: TestWait.test_wait_slow
        @Test(arguments: StartMethod.allCases) func manySlowConnections(method: StartMethod) throws {
            try manyWriters(method, slow: true)
        }

        private func manySockets(_ method: StartMethod, slow: Bool) throws {
            var readers: [FileDescriptor] = []
            var texts: [Int32: String] = [:]
            var children: [ChildProcess<Void>] = []
            for _ in 0..<4 {
                let (ours, theirs) = try socketPair()
                let (parent, child) = try Connection.pair()
                let writer = try ChildProcess(startMethod: method) {
                    let file = try child.receiveDescriptor(timeout: long)
                    for number in 0..<10 {
                        if slow { pause(.milliseconds(Int.random(in: 0..<60))) }
                        put("\(number)\n", to: file.rawValue)
                    }
                    try file.close()
                }
                try writer.start()
                child.close()
                try parent.sendDescriptor(theirs)
                try theirs.close()
                readers.append(ours)
                children.append(writer)
            }
            while !readers.isEmpty {
                let ready = try waitAny(of: readers, timeout: long)
                #expect(!ready.isEmpty)
                if ready.isEmpty { break }
                for place in ready.reversed() {
                    var buffer = [UInt8](repeating: 0, count: 32)
                    let count = try buffer.withUnsafeMutableBytes { try readers[place].read(into: $0) }
                    if count == 0 {
                        try readers.remove(at: place).close()
                    } else {
                        texts[readers[place].rawValue, default: ""] += String(decoding: buffer[..<count], as: UTF8.self)
                    }
                }
            }
            for child in children { #expect(try child.join(timeout: long)) }
            #expect(texts.count == 4)
            for text in texts.values { #expect(text == (0..<10).map { "\($0)\n" }.joined()) }
        }

        // CPython: TestWait.test_wait_socket
        @Test(arguments: [StartMethod.forkServer, .spawn]) func manyForeignSockets(method: StartMethod) throws {
            try manySockets(method, slow: false)
        }

        // CPython: TestWait.test_wait_socket_slow
        @Test(arguments: [StartMethod.forkServer, .spawn]) func manySlowForeignSockets(method: StartMethod) throws {
            try manySockets(method, slow: true)
        }

        // CPython: TestWait.test_wait_timeout
        @Test func theTimeIsOver() throws {
            let (a, b) = try Connection.pair()
            let begin = ContinuousClock.now
            #expect(try waitAny(of: [a, b], timeout: .milliseconds(700)) == [])
            #expect(ContinuousClock.now - begin >= .milliseconds(700))
            try b.send(Int?.none)
            #expect(try waitAny(of: [a, b], timeout: .seconds(20)) == [0])
        }

        // CPython: TestWait.test_wait_integer
        @Test(arguments: StartMethod.allCases) func connectionsAndAProcess(method: StartMethod) throws {
            let (a, b) = try Connection.pair()
            let (started, tell) = try Connection.pair(duplex: false)
            let child = try ChildProcess(startMethod: method) {
                try tell.send(true)
                pause(.seconds(1))
            }
            try child.start()
            #expect(try started.receive(Bool.self, timeout: long))
            let items: [any Waitable] = [a, child, b]
            let begin = ContinuousClock.now
            #expect(try waitAny(of: items, timeout: long) == [1])
            #expect(ContinuousClock.now - begin > .milliseconds(700))
            #expect(try waitAny(of: [a, child.sentinel, b] as [any Waitable], timeout: long) == [1])
            try a.send(Int?.none)
            #expect(try waitAny(of: items, timeout: long) == [1, 2])
            try b.send(Int?.none)
            #expect(try waitAny(of: items, timeout: long) == [0, 1, 2])
            #expect(try child.join(timeout: long))
        }

        // CPython: TestWait.test_neg_timeout
        @Test func aNegativeTimeoutLooksOnce() throws {
            let (a, b) = try Connection.pair()
            let begin = ContinuousClock.now
            #expect(try waitAny(of: [a], timeout: .seconds(-1)) == [])
            #expect(ContinuousClock.now - begin < .seconds(1))
            #expect(try waitAny(of: [], timeout: nil) == [])
            b.close()
            #expect(try waitAny(of: [a], timeout: .seconds(-1)) == [0])
        }
    }
}
