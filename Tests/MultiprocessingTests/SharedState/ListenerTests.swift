import Glibc
import Multiprocessing
import MultiprocessingTestKit
import SystemPackage
import Testing

private let long: Duration = .seconds(30)

/// A packet socket connected to an abstract name, as a foreign program would have it.
private func foreignClient(_ listener: Listener) throws -> FileDescriptor {
    let file = socket(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard file >= 0 else { throw Errno(rawValue: errno) }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let name = Array("\(listener.address)".dropFirst("abstract:".count).utf8)
    withUnsafeMutableBytes(of: &address.sun_path) { $0[1...].copyBytes(from: name) }
    let size = socklen_t(MemoryLayout<sa_family_t>.size + 1 + name.count)
    let result = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(file, $0, size) }
    }
    guard result == 0 else { throw Errno(rawValue: errno) }
    return FileDescriptor(rawValue: file)
}

extension ProcessTests {
    @Suite struct ListenerTests {
        @Test func strangersHoldUpNobody() throws {
            let listener = try Listener()
            // One says nothing, one leaves, others say what nobody understands.
            let silent = try foreignClient(listener)
            try foreignClient(listener).close()
            var talkers: [FileDescriptor] = []
            for size in [0, 1, 15, 16, 40, 5000] {
                let talker = try foreignClient(listener)
                let bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: size), count: size)
                _ = send(talker.rawValue, bytes, bytes.count, Int32(MSG_NOSIGNAL))
                talkers.append(talker)
            }
            let client = try Connection.connect(to: listener.address)
            try client.send("hello")
            let accepted = try listener.accept(timeout: long)
            #expect(try accepted.receive(String.self, timeout: long) == "hello")
            #expect(failure { try listener.accept(timeout: .milliseconds(100)) } == .timedOut)
            for talker in talkers {
                // At its end, and told nothing.
                var byte: UInt8 = 0
                #expect(isReadable(talker.rawValue, within: 1000))
                #expect(recv(talker.rawValue, &byte, 1, Int32(MSG_DONTWAIT)) <= 0)
                try talker.close()
            }
            #expect(!isReadable(silent.rawValue))
            #expect(failure { try listener.accept(timeout: .milliseconds(5200)) } == .timedOut)
            #expect(isReadable(silent.rawValue))
            try silent.close()
        }

        /// As many silent ones as are kept, and more behind them: who greets gets in without their time having to pass.
        @Test(arguments: [64, 150]) func silentCrowdsHoldUpNobody(size: Int) async throws {
            let listener = try Listener(backlog: 200)
            var silent: [FileDescriptor] = []
            for _ in 0..<size { silent.append(try foreignClient(listener)) }
            #expect(await failure { try await listener.accept(timeout: .zero) } == .timedOut)
            let client = try await Connection.connect(to: listener.address)
            try await client.send("hello")
            let time = try await ContinuousClock().measure {
                let accepted = try await listener.accept(timeout: long)
                #expect(try await accepted.receive(String.self, timeout: long) == "hello")
            }
            #expect(time < .seconds(3))
            let another = try await Connection.connect(to: listener.address)
            try await another.send(1)
            let accepted = try await listener.accept(timeout: .seconds(3))
            #expect(try await accepted.receive(Int.self, timeout: long) == 1)
            for file in silent { try file.close() }
        }

        /// One who said nothing yet is nobody to accept; when it says something, there is something to do.
        @Test func silentStrangersMakeNothingReady() async throws {
            let listener = try Listener()
            let silent = try foreignClient(listener)
            #expect(await failure { try await listener.accept(timeout: .zero) } == .timedOut)
            #expect(try await waitAny(of: [listener], timeout: .milliseconds(20)) == [])
            let waiting = Task { try await waitAny(of: [listener], timeout: long) }
            _ = send(silent.rawValue, [1], 1, Int32(MSG_NOSIGNAL))
            #expect(try await waiting.value == [0])
            #expect(await failure { try await listener.accept(timeout: .zero) } == .timedOut)
            #expect(try await waitAny(of: [listener], timeout: .zero) == [])
            let client = try await Connection.connect(to: listener.address)
            #expect(try await waitAny(of: [listener], timeout: long) == [0])
            try await listener.accept(timeout: long).send(1)
            #expect(try await client.receive(Int.self, timeout: long) == 1)
            try silent.close()
        }

        @Test(.enabled(if: geteuid() == 0)) func otherUsersAreRefused() async throws {
            let listener = try Listener()
            let address = listener.address
            let code = try await ChildProcess.run(startMethod: .spawn) { () -> Bool in
                guard setgid(65534) == 0, setuid(65534) == 0 else { throw Errno(rawValue: errno) }
                return failure { try Connection.connect(to: address) } == .refused
            }
            #expect(code)
            #expect(await failure { try await listener.accept(timeout: .milliseconds(50)) } == .timedOut)
        }

        @Test func manyClientsAtOnce() async throws {
            let listener = try Listener(backlog: 4)
            let address = listener.address
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<50 {
                    group.addTask {
                        let client = try await Connection.connect(to: address, timeout: long)
                        try await client.send(number)
                        #expect(try await client.receive(Int.self, timeout: long) == number + 1)
                    }
                }
                for _ in 0..<50 {
                    let accepted = try await listener.accept(timeout: long)
                    group.addTask { try await accepted.send(accepted.receive(Int.self, timeout: long) + 1) }
                }
                try await group.waitForAll()
            }
        }

        @Test func waiting() async throws {
            let listener = try Listener()
            #expect(try await waitAny(of: [listener], timeout: .milliseconds(20)) == [])
            let address = listener.address
            let connecting = Task { try await Connection.connect(to: address) }
            #expect(try await waitAny(of: [listener], timeout: long) == [0])
            let accepted = try await listener.accept(timeout: long)
            accepted.close()
            let client = try await connecting.value
            #expect(await failure { try await client.receive(Int.self, timeout: long) } == .peerGone)
            let waiting = Task { try await listener.accept() }
            try await Task.sleep(for: .milliseconds(20))
            waiting.cancel()
            await #expect(throws: CancellationError.self) { _ = try await waiting.value }
            let closed = Task { await failure { try await listener.accept(timeout: long) } }
            try await Task.sleep(for: .milliseconds(20))
            listener.close()
            #expect(await closed.value == .closed)
        }

        @Test func aListenerThatGoesTakesItsClientsAlong() throws {
            let listener = try Listener()
            let client = try Connection.connect(to: listener.address)
            listener.close()
            #expect(failure { try client.receive(Int.self, timeout: long) } == .peerGone)
            #expect(failure { try client.send(1) } == .peerGone)
        }

        @Test func aPathIsPrivateAndGoes() throws {
            try withTemporaryDirectory { directory in
                let path = "\(directory)/listener"
                let listener = try Listener(address: .unix(path))
                var status = stat()
                #expect(stat(path, &status) == 0)
                #expect(status.st_mode & 0o777 == 0o600)
                listener.close()
                #expect(stat(path, &status) != 0)
                // Somebody else's file stays.
                let second = try Listener(address: .unix(path))
                unlink(path)
                close(open(path, O_CREAT, 0o600))
                second.close()
                #expect(stat(path, &status) == 0)
            }
        }

        /// A client that is killed at every step of connecting and talking leaves a listener that goes on.
        @Test(.enabled(if: ChaosPlan.isAvailable)) func clientsDie() async throws {
            let listener = try Listener()
            try await killAtEveryStep {
                listener.address
            } operation: { address in
                try Connection.connect(to: address).send([try Lock()])
            } survivors: { address, death in
                let accepted = try await listener.accept(timeout: long)
                do {
                    try check(try await accepted.receive([Lock].self, timeout: long).count, is: 1)
                } catch let error as SharedStateError where error.code == .peerGone {
                    try check(
                        death != nil
                            && !["send.committed", "send.waking", "send.rung", "word.released"].contains(death)
                    )
                }
            }
        }

        @Test func nothingIsLeftBehind() async throws {
            try await isolated {
                try LeakCheck.expectNoLeaks {
                    for _ in 0..<10 {
                        let listener = try Listener()
                        let stranger = try foreignClient(listener)
                        let client = try Connection.connect(to: listener.address)
                        let accepted = try listener.accept(timeout: long)
                        try client.send(1)
                        _ = try accepted.receive(Int.self, timeout: long)
                        try stranger.close()
                        listener.close()
                    }
                }
            }
        }
    }
}
