import Glibc
import Multiprocessing
import MultiprocessingTestKit
import Synchronization
import SystemPackage
import Testing

private let long: Duration = .seconds(30)

extension ProcessTests {
    @Suite(.timeLimit(.minutes(3))) struct ConnectionTests {
        // MARK: Asynchronous use

        @Test func tasksSendAndReceive() async throws {
            let (a, b) = try Connection.pair()
            async let echo: Void = {
                for try await number in b.messages(of: Int.self) { try await b.send(number * 2) }
            }()
            for number in 0..<500 {
                try await a.send(number)
                #expect(try await a.receive(Int.self, timeout: long) == number * 2)
            }
            a.close()
            try await echo
        }

        @Test func manyTasksWaitOnOneEnd() async throws {
            let (a, b) = try Connection.pair()
            let sum = try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<100 { group.addTask { try await b.receive(Int.self, timeout: long) } }
                for number in 0..<100 {
                    group.addTask {
                        try await a.send(number).self; return number * 0
                    }
                }
                return try await group.reduce(0, +)
            }
            #expect(sum == 4950)
        }

        @Test func cancellationTakesNothing() async throws {
            let (a, b) = try Connection.pair()
            for round in 0..<200 {
                let waiting = Task { try await b.receive(Int.self, timeout: long) }
                if round % 2 == 0 { try await Task.sleep(for: .microseconds(Int.random(in: 0..<300))) }
                async let sent: Void = a.send(round)
                waiting.cancel()
                try await sent
                var received: Int?
                do { received = try await waiting.value } catch is CancellationError {}
                if received == nil { received = try await b.receive(Int.self, timeout: .zero) }
                #expect(received == round)
            }
            #expect(try await !b.poll())
        }

        @Test func fullAndCancelledSendsNothing() async throws {
            let (a, b) = try Connection.pair()
            var count = 0
            while await failure({ try await a.sendBytes([UInt8](repeating: 1, count: 10_000), timeout: .zero) }) == nil
            {
                count += 1
            }
            while await failure({ try await a.sendBytes([1], timeout: .zero) }) == nil { count += 1 }
            let waiting = Task { try await a.send("never") }
            try await Task.sleep(for: .milliseconds(50))
            waiting.cancel()
            await #expect(throws: CancellationError.self) { try await waiting.value }
            let later = Task { try await a.send("later", timeout: long) }
            for _ in 0..<count { #expect(try await [1, 10_000].contains(b.receiveBytes(timeout: long).count)) }
            #expect(try await b.receive(String.self, timeout: long) == "later")
            try await later.value
        }

        @Test func waitForAnyAsTasks() async throws {
            let (a, b) = try Connection.pair()
            let queue = try Queue<Int>()
            let child = try ChildProcess(startMethod: .forkServer) { sleepForever() }
            try child.start()
            let items: [any Waitable] = [a, queue, child, b]
            #expect(try await waitAny(of: items, timeout: .milliseconds(50)) == [])
            async let first = waitAny(of: items, timeout: long)
            try await Task.sleep(for: .milliseconds(50))
            try await queue.put(1)
            #expect(try await first == [1])
            #expect(try await queue.get(timeout: .zero) == 1)
            async let second = waitAny(of: items, timeout: long)
            try await Task.sleep(for: .milliseconds(50))
            try await a.send(1)
            #expect(try await second == [3])
            #expect(try await b.receive(Int.self) == 1)
            let third = Task { try await waitAny(of: items, timeout: long) }
            try child.kill()
            #expect(try await third.value == [2])
            try await child.join()
            let fourth = Task { try await waitAny(of: [a, queue] as [any Waitable]) }
            try await Task.sleep(for: .milliseconds(20))
            fourth.cancel()
            await #expect(throws: CancellationError.self) { try await fourth.value }
        }

        @Test(arguments: Backend.allCases) func waitForAnyOfQueuesAndConnections(backend: Backend) throws {
            let (a, b) = try Connection.pair()
            let queue = try Queue<Int>()
            let other = try backend.run {
                for number in 0..<20 {
                    pause(.milliseconds(5))
                    if number % 2 == 0 { try queue.put(number) } else { try b.send(number) }
                }
            }
            var numbers: [Int] = []
            while numbers.count < 20 {
                let ready = try waitAny(of: [a, queue] as [any Waitable], timeout: long)
                if ready.isEmpty { break }
                if ready.contains(0) { numbers.append(try a.receive(Int.self, timeout: .zero)) }
                if ready.contains(1) { numbers.append(try queue.get(timeout: .zero)) }
            }
            #expect(numbers.sorted() == Array(0..<20))
            #expect(try waitAny(of: [queue, queue], timeout: .milliseconds(20)) == [])
            try other.value()
        }

        // MARK: Many at once

        @Test(arguments: Backend.allCases) func manySendersAndReceivers(backend: Backend) throws {
            let (a, b) = try Connection.pair()
            let count = 2000
            let senders = try (0..<3).map { sender in
                try backend.run {
                    for number in 0..<count {
                        // Some go beside the ring, some with descriptors.
                        let size = number % 500 == 0 ? 70_000 : number % 40
                        try a.send([sender, number] + [Int](repeating: number, count: size), timeout: long)
                    }
                }
            }
            let receivers = try (0..<3).map { _ in
                try backend.run { () -> [[Int]] in
                    var found: [[Int]] = []
                    while true {
                        let message = try b.receive([Int].self, timeout: long)
                        if message.isEmpty { return found }
                        try check(message.dropFirst(2).allSatisfy { $0 == message[1] }, "a message is torn")
                        found.append(Array(message[..<2]))
                    }
                }
            }
            for sender in senders { try sender.value() }
            for _ in 0..<3 { try a.send([Int]()) }
            let all = try receivers.map { try $0.value() }
            for found in all {
                // What one sender sent, each receiver gets in order.
                for sender in 0..<3 {
                    let numbers = found.filter { $0[0] == sender }.map { $0[1] }
                    #expect(numbers == numbers.sorted())
                }
            }
            let expected = Set((0..<3).flatMap { sender in (0..<count).map { [sender, $0] } })
            #expect(all.map(\.count).reduce(0, +) == expected.count)
            #expect(Set(all.joined()) == expected)
        }

        @Test(arguments: Backend.processes) func valuesOfEverySize(backend: Backend) throws {
            let (a, b) = try Connection.pair()
            let sizes = [
                0, 1, 7, 8, 9, 1023, 1024, 1025, 65_535, 65_536, 65_537, 262_144, 1 << 20, 100, 65_000, 65_000, 65_000,
                65_000,
            ]
            let other = try backend.run {
                for size in sizes {
                    try b.sendBytes((0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) }, timeout: long)
                }
            }
            for size in sizes {
                #expect(try a.receiveBytes(timeout: long) == (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) })
            }
            try other.value()
        }

        @Test func manyHandlesInOneMessage() throws {
            let (a, b) = try Connection.pair()
            let locks = try (0..<50).map { _ in try Lock() }
            let connections = try (0..<150).map { _ in try Connection.pair() }
            try a.send(connections.map(\.0))
            try a.send(locks)
            let arrived = try b.receive([Connection].self, timeout: long)
            #expect(try b.receive([Lock].self, timeout: long).count == 50)
            for (index, connection) in arrived.enumerated() { try connection.send(index) }
            for (index, pair) in connections.enumerated() {
                #expect(try pair.1.receive(Int.self, timeout: long) == index)
            }
            #expect(
                failure {
                    try a.send((0..<600).map { _ in connections[0].0 } + (0..<600).map { _ in try Connection.pair().0 })
                }
                    == .tooLarge
            )
        }

        // MARK: The other end

        @Test(arguments: StartMethod.allCases) func deathWakesTheReceiver(method: StartMethod) async throws {
            let (ours, theirs) = try Connection.pair()
            let child = try ChildProcess(startMethod: method) {
                try theirs.send("ready")
                sleepForever()
            }
            try child.start()
            theirs.close()
            #expect(try await ours.receive(String.self, timeout: long) == "ready")
            let waiting = Task { await failure { try await ours.receive(Int.self, timeout: long) } }
            let blocked = Task { try await onThread { failure { try ours.receive(Int.self, timeout: long) } } }
            try await Task.sleep(for: .milliseconds(50))
            try child.kill()
            #expect(await waiting.value == .peerGone)
            #expect(try await blocked.value == .peerGone)
            #expect(await failure { try await ours.send(1) } == .peerGone)
            #expect(try await ours.poll(timeout: long))
            try await child.join()
        }

        @Test(arguments: StartMethod.allCases) func deathWakesTheSender(method: StartMethod) async throws {
            let (ours, theirs) = try Connection.pair()
            let child = try ChildProcess(startMethod: method) {
                _ = try theirs.receive(Int.self, timeout: long)
                try theirs.send("busy")
                sleepForever()
            }
            try child.start()
            theirs.close()
            try await ours.send(1)
            #expect(try await ours.receive(String.self, timeout: long) == "busy")
            let waiting = Task {
                await failure {
                    while true { try await ours.sendBytes([UInt8](repeating: 0, count: 50_000), timeout: long) }
                }
            }
            let blocked = Task {
                try await onThread {
                    failure { while true { try ours.sendBytes([UInt8](repeating: 0, count: 50_000), timeout: long) } }
                }
            }
            try await Task.sleep(for: .milliseconds(100))
            try child.kill()
            #expect(await waiting.value == .peerGone)
            #expect(try await blocked.value == .peerGone)
            try await child.join()
        }

        @Test func aStoppedPeerMakesTimesRunOut() throws {
            let (ours, theirs) = try Connection.pair()
            let child = try ChildProcess(startMethod: .forkServer) {
                while true { try theirs.send(theirs.receive(Int.self, timeout: long), timeout: long) }
            }
            try child.start()
            theirs.close()
            try ours.send(1)
            #expect(try ours.receive(Int.self, timeout: long) == 1)
            try child.send(signal: SIGSTOP)
            #expect(failure { try ours.receive(Int.self, timeout: .milliseconds(50)) } == .timedOut)
            try ours.send(2)
            while failure({ try ours.sendBytes([UInt8](repeating: 0, count: 60_000), timeout: .milliseconds(20)) })
                == nil
            {}
            try child.send(signal: SIGCONT)
            #expect(try ours.receive(Int.self, timeout: long) == 2)
            try child.kill()
            #expect(try child.join(timeout: long))
        }

        @Test func aSendToNobodyIsNoticed() throws {
            let (a, b) = try Connection.pair()
            b.close()
            #expect(failure { try a.send(1) } == .peerGone)
            #expect(failure { try a.sendBytes([UInt8](repeating: 0, count: 100_000)) } == .peerGone)
        }

        @Test func messagesOutliveTheirSender() throws {
            let (a, b) = try Connection.pair()
            try a.send([try Lock()])
            try a.sendBytes([UInt8](repeating: 9, count: 300_000))
            try a.send("last")
            a.close()
            #expect(try b.receive([Lock].self, timeout: .zero).count == 1)
            #expect(try b.receiveBytes(timeout: .zero).count == 300_000)
            #expect(try b.receive(String.self, timeout: .zero) == "last")
            #expect(failure { try b.receive(Int.self, timeout: .zero) } == .peerGone)
        }

        @Test func closingWakesWhoWaitsHere() async throws {
            let (a, _b) = try Connection.pair()
            let waiting = Task { await failure { try await a.receive(Int.self, timeout: long) } }
            let blocked = Task { try await onThread { failure { try a.receive(Int.self, timeout: long) } } }
            try await Task.sleep(for: .milliseconds(50))
            a.close()
            #expect(await waiting.value == .closed)
            #expect(try await blocked.value == .closed)
            withExtendedLifetime(_b) {}
        }

        // MARK: The descriptor

        @Test func theDescriptorIsReadableWhileAMessageIsThere() throws {
            let (a, b) = try Connection.pair()
            let file = try b.fileDescriptor.rawValue
            for round in 0..<50 {
                #expect(!isReadable(file))
                for number in 0...(round % 3) { try a.send(number) }
                for number in 0...(round % 3) {
                    #expect(isReadable(file, within: 1000))
                    #expect(try b.receive(Int.self, timeout: .zero) == number)
                }
            }
            try a.send([try Lock()])
            #expect(isReadable(file, within: 1000))
            _ = try b.receive([Lock].self, timeout: .zero)
            #expect(!isReadable(file))
            a.close()
            #expect(isReadable(file, within: 1000))
        }

        @Test func nothingIsLeftBehind() async throws {
            try await isolated {
                try LeakCheck.expectNoLeaks {
                    for _ in 0..<20 {
                        let (a, b) = try Connection.pair()
                        try a.send([try Lock()])
                        try a.sendBytes([UInt8](repeating: 9, count: 300_000))
                        let (c, d) = try Connection.pair(duplex: false)
                        try a.send(c)
                        try a.send(d)
                        _ = try b.receive([Lock].self, timeout: long)
                        _ = try b.receiveBytes(timeout: long)
                        let reader = try b.receive(Connection.self, timeout: long)
                        try d.send(1)
                        _ = try reader.receive(Int.self, timeout: long)
                        // One stays in it.
                        let listener = try Listener()
                        let client = try Connection.connect(to: listener.address)
                        let accepted = try listener.accept(timeout: long)
                        try accepted.send(a)
                        try client.receive(Connection.self, timeout: long).send("x")
                        _ = try waitAny(of: [a, b], timeout: .zero)
                    }
                }
            }
        }
    }
}
