import Glibc
import Multiprocessing
import MultiprocessingTestKit
import SystemPackage
import Testing

private let long: Duration = .seconds(15)

/// Both ends of a connection, as a process knows them.
private struct Ends: Codable, Sendable {
    var ours: Connection
    var theirs: Connection

    init(duplex: Bool = true) throws {
        (ours, theirs) = try Connection.pair(duplex: duplex)
    }
}

/// What is sent: something small, something large, something with handles, all of it.
private enum Cargo: String, CaseIterable, Codable, Sendable {
    case small, large, handles, largeWithHandles

    struct Value: Codable, Sendable {
        var number: Int
        var bytes: [UInt8]
        var locks: [Lock]
        var connection: Connection?
    }

    func value(_ number: Int) throws -> Value {
        let hasHandles = self == .handles || self == .largeWithHandles
        return Value(
            number: number,
            bytes: self == .large || self == .largeWithHandles ? [UInt8](repeating: 7, count: 200_000) : [1, 2, 3],
            locks: hasHandles ? [try Lock(), try Lock()] : [],
            connection: hasHandles ? try Connection.pair().0 : nil
        )
    }

    /// Whether what arrived is whole.
    func check(_ value: Value) throws {
        let expected = try self.value(0)
        try MultiprocessingTests.check(value.bytes == expected.bytes, "the bytes are not those that were sent")
        try MultiprocessingTests.check(value.locks.count, is: expected.locks.count)
        for lock in value.locks {
            try MultiprocessingTests.check(lock.acquire(timeout: .zero))
            try lock.release()
        }
        try MultiprocessingTests.check((value.connection != nil) == (expected.connection != nil))
    }
}

/// The numbers of the messages that are there, each found whole.
private func drain(_ connection: Connection, _ cargo: Cargo) async throws -> [Int] {
    var numbers: [Int] = []
    while try await connection.poll() {
        do {
            let value = try await connection.receive(Cargo.Value.self, timeout: long)
            try cargo.check(value)
            numbers.append(value.number)
        } catch let error as SharedStateError where error.code == .peerGone {
            break
        }
    }
    return numbers
}

extension ProcessTests {
    /// Whoever dies at whatever step of sending and receiving: the others go on, nothing that was committed is lost, and nothing that
    /// was not is there.
    @Suite(.enabled(if: ChaosPlan.isAvailable), .timeLimit(.minutes(3))) struct ConnectionChaosTests {
        @Test(arguments: Cargo.allCases) fileprivate func theSenderDiesAlone(cargo: Cargo) async throws {
            let report = try await killAtEveryStep {
                try Ends()
            } operation: { ends in
                try ends.theirs.send(cargo.value(1), timeout: long)
            } survivors: { ends, death in
                ends.theirs.close()
                let numbers = try await drain(ends.ours, cargo)
                let isCommitted = death.map { ["send.committed", "send.rung"].contains($0) } ?? true
                try check(numbers, is: isCommitted ? [1] : [])
                try await check(failure { try await ends.ours.receive(Int.self, timeout: long) } == .peerGone)
            }
            #expect(report.steps.contains("send.committed"))
        }

        @Test(arguments: Cargo.allCases) fileprivate func othersSendFromTheSameEnd(cargo: Cargo) async throws {
            try await killAtEveryStep {
                try Ends()
            } operation: { ends in
                try ends.theirs.send(cargo.value(1), timeout: long)
            } survivors: { ends, death in
                // The guard is the dead sender's at most of the steps.
                try await ends.theirs.send(cargo.value(2), timeout: long)
                let numbers = try await drain(ends.ours, cargo)
                let isCommitted = death.map { ["send.committed", "send.rung"].contains($0) } ?? true
                try check(numbers, is: isCommitted ? [1, 2] : [2])
                try check(!isReadable(ends.ours.fileDescriptor.rawValue))
                try await ends.theirs.send(cargo.value(3), timeout: long)
                try check(isReadable(ends.ours.fileDescriptor.rawValue, within: 1000))
                try check(try await drain(ends.ours, cargo), is: [3])
            }
        }

        @Test(arguments: Cargo.allCases) fileprivate func theReceiverDies(cargo: Cargo) async throws {
            let report = try await killAtEveryStep {
                let ends = try Ends()
                for number in 1...2 { try await ends.theirs.send(cargo.value(number)) }
                return ends
            } operation: { ends in
                _ = try ends.ours.receive(Cargo.Value.self, timeout: long)
            } survivors: { ends, death in
                try await ends.theirs.send(cargo.value(3), timeout: long)
                let numbers = try await drain(ends.ours, cargo)
                let isTaken =
                    death.map { ["receive.taken", "receive.packet", "receive.released"].contains($0) } ?? true
                if death?.hasPrefix("receive") ?? true { try check(numbers, is: isTaken ? [2, 3] : [1, 2, 3]) }
                try check([[2, 3], [1, 2, 3]].contains(numbers))
            }
            #expect(report.steps.contains("receive.taken"))
        }

        @Test(arguments: [false, true]) func theReceiverDiesAtAnEmptyConnection(isPolled: Bool) async throws {
            let report = try await killAtEveryStep {
                let ends = try Ends()
                try await ends.theirs.send(1)
                if isPolled { _ = try ends.ours.fileDescriptor }
                return ends
            } operation: { ends in
                _ = try ends.ours.receive(Int.self, timeout: long)
                try check(try !ends.ours.poll(timeout: .milliseconds(5)))
            } survivors: { ends, _ in
                try await ends.theirs.send(2, timeout: long)
                if isPolled { try check(isReadable(ends.ours.fileDescriptor.rawValue, within: 1000)) }
                var number = try await ends.ours.receive(Int.self, timeout: long)
                if number == 1 { number = try await ends.ours.receive(Int.self, timeout: long) }
                try check(number, is: 2)
                try check(try await !ends.ours.poll())
                if isPolled { try check(!isReadable(ends.ours.fileDescriptor.rawValue)) }
            }
            #expect(report.steps.contains("receive.armed"))
        }

        @Test func theSenderDiesAtAFullConnection() async throws {
            let report = try await killAtEveryStep {
                let ends = try Ends()
                while await failure({
                    try await ends.theirs.sendBytes([UInt8](repeating: 0, count: 60_000), timeout: .zero)
                })
                    == nil
                {}
                return ends
            } operation: { ends in
                try check(
                    failure { try ends.theirs.sendBytes([UInt8](repeating: 0, count: 60_000), timeout: .zero) }
                        == .timedOut
                )
            } survivors: { ends, _ in
                var count = 0
                while try await ends.ours.poll() {
                    try check(try await ends.ours.receiveBytes(timeout: long).count, is: 60_000)
                    count += 1
                }
                try check(count >= 4)
                try await ends.theirs.send(1, timeout: long)
                try check(try await ends.ours.receive(Int.self, timeout: long), is: 1)
            }
            #expect(report.steps.contains("send.full"))
        }

        @Test(arguments: Cargo.allCases) fileprivate func aSenderThatStops(cargo: Cargo) async throws {
            try await killAtEveryStep(action: .stop) {
                try Ends()
            } operation: { ends in
                try ends.theirs.send(cargo.value(1), timeout: long)
            } survivors: { ends, _ in
                try check(try await drain(ends.ours, cargo), is: [1])
            }
        }
    }
}
