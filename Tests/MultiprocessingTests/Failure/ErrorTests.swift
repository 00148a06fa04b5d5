import Glibc
import Multiprocessing
import SystemPackage
import Testing

extension ProcessTests {
    /// Errors that bodies throw, values that cannot travel, and calls out of order.
    @Suite struct ErrorTests {
        enum Refusal: Error, Codable, Equatable {
            case late(minutes: Int)
            case full
        }

        struct Opaque: Error, CustomStringConvertible {
            let description = "not for sending"
        }

        @Test(arguments: StartMethod.allCases) func aCodableErrorArrivesAsItself(method: StartMethod) async throws {
            try await isolated { @concurrent () async throws -> Void in
                do {
                    try await ChildProcess.run(startMethod: method) { throw Refusal.late(minutes: 5) }
                    try check(false, "nothing was thrown")
                } catch let error as Refusal {
                    try check(error, is: .late(minutes: 5))
                }
            }
        }

        @Test(arguments: StartMethod.allCases) func anyOtherErrorArrivesDescribed(method: StartMethod) async throws {
            try await isolated { @concurrent () async throws -> Void in
                do {
                    try await ChildProcess.run(name: "Thrower", startMethod: method) { throw Opaque() }
                    try check(false, "nothing was thrown")
                } catch let error as RemoteError {
                    try check(error.typeName.hasSuffix("Opaque"), error.typeName)
                    try check(error.message, is: "not for sending")
                    try check(error.processName, is: "Thrower")
                    try check(error.processIdentifier > 0 && error.processIdentifier != getpid())
                }
            }
        }

        @Test func errorsOfAsynchronousBodies() async throws {
            await #expect(throws: Refusal.full) {
                try await ChildProcess.run { () async throws -> Void in
                    try await Task.sleep(for: .milliseconds(1))
                    throw Refusal.full
                }
            }
        }

        @Test func aResultThatCannotTravelIsRefused() async throws {
            final class Handle: Sendable {}
            let error = await #expect(throws: ProcessError.self) { _ = try await ChildProcess.run { Handle() } }
            #expect(error?.code == .cannotTravel)
        }

        @Test(arguments: [StartMethod.forkServer, .spawn]) func aCaptureThatCannotTravelIsRefused(method: StartMethod)
            throws
        {
            final class Socket: Sendable {
                func send() {}
            }
            let socket = Socket()
            let line = #line + 1
            func make() throws { _ = try ChildProcess(startMethod: method) { socket.send() } }
            let error = #expect(throws: ProcessError.self) { try make() }
            #expect(error?.code == .cannotTravel)
            // It says where, what, and what helps.
            #expect(error?.message.contains("ErrorTests.swift:\(line)") == true, "\(String(describing: error))")
            #expect(error?.message.contains("Socket") == true)
            #expect(error?.message.contains("arguments:") == true || error?.message.contains("Codable") == true)
        }

        @Test(arguments: StartMethod.allCases) func callsOutOfOrder(method: StartMethod) async throws {
            try await isolated {
                let child = try ChildProcess(startMethod: method) { 1 }
                try check(throws: .notStarted) { try child.join() }
                try check(throws: .notStarted) { try child.terminate() }
                try check(throws: .notStarted) { _ = try child.handle }
                try check(throws: .notStarted) { _ = try child.waitForValue() }
                try child.start()
                try check(throws: .alreadyStarted) { try child.start() }
                // As often as one likes.
                for _ in 0..<3 { try check(child.waitForValue(timeout: .seconds(20)), is: 1) }
                try check(throws: .alreadyStarted) { try child.start() }
                let unused = try ChildProcess(startMethod: method) { 1 }
                try unused.close()
                try check(throws: .closed) { try unused.start() }
            }
        }

        @Test func onlyTheMakerStartsAndJoins() async throws {
            try await isolated {
                let unstarted = try ChildProcess { 1 }
                let sleeper = try ChildProcess { sleepForever() }
                try sleeper.start()
                let copy = try ChildProcess(startMethod: .fork) {
                    try check(throws: .wrongProcess) { try unstarted.start() }
                    try check(throws: .wrongProcess) { try sleeper.join() }
                    try check(ChildProcess.activeChildren.isEmpty)
                }
                try copy.start()
                try copy.waitForValue(timeout: .seconds(20))
                try check(sleeper.isAlive)
                try sleeper.kill()
            }
        }

        @Test(arguments: [StartMethod.forkServer, .spawn]) func largeArgumentsAndResults(method: StartMethod)
            async throws
        {
            let size = 64 << 20
            let large = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
                for index in 0..<size { buffer[index] = UInt8(truncatingIfNeeded: index &* 31) }
                count = size
            }
            let back = try await ChildProcess.run(arguments: large, startMethod: method) { bytes in bytes }
            #expect(back.count == size)
            #expect(
                back.withUnsafeBytes { a in
                    large.withUnsafeBytes { b in memcmp(a.baseAddress!, b.baseAddress!, size) == 0 }
                }
            )
        }

        @Test func aCapturedValueIsThatOfTheInitialiser() async throws {
            final class Counter: Codable, @unchecked Sendable {
                var count = 1  // changed by one thread, between two calls
            }
            let counter = Counter()
            let child = try ChildProcess { counter.count }
            counter.count = 2
            try child.start()
            #expect(try await child.value == 1)
        }
    }
}
