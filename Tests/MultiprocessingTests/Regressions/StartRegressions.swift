import Glibc
import Multiprocessing
import Testing

extension ProcessTests {
    /// Starts that something cut across, and results that could not leave the child.
    @Suite struct StartRegressions {
        /// A close while the process was being started was forgotten when the start was done.
        @Test func closeDuringStart() async throws {
            try await isolated { @concurrent () async throws -> Void in
                try ForkServer.preload { pause(.milliseconds(600)) }
                let child = try ChildProcess { 1 }
                async let start: Void = onThread { try child.start() }
                try await Task.sleep(for: .milliseconds(200))
                try child.close()
                try await start
                try check(throws: .closed) { _ = try child.handle }
                try check(throws: .closed) { try child.start() }
                // It runs to its end and is looked after all the same.
                try check(await eventually(within: .seconds(10)) { child.exitStatus == .exited(0) })
                try check(zombies(), is: [])
            }
        }

        /// So was a close during a start that failed: the process could be started again.
        @Test func closeDuringStartThatFails() async throws {
            try await isolated { @concurrent () async throws -> Void in
                struct Refused: Error {}
                try ForkServer.preload {
                    pause(.milliseconds(600))
                    throw Refused()
                }
                let child = try ChildProcess { 1 }
                async let failure: Void = onThread { try check(throws: .startFailed) { try child.start() } }
                try await Task.sleep(for: .milliseconds(200))
                try child.close()
                try await failure
                ForkServer.removePreload()
                try check(throws: .closed) { try child.start() }
                try check(throws: .closed) { _ = try child.handle }
            }
        }

        /// A fork server that does not answer was waited for without end.
        @Test func stoppedForkServer() async throws {
            try await isolated {
                ForkServer.spares = 0
                let first = try ChildProcess { 1 }
                try first.start()
                try first.join()
                let server = ForkServer.processIdentifier!
                kill(server, SIGSTOP)
                let child = try ChildProcess { 2 }
                try child.start()
                try check(child.waitForValue(timeout: .seconds(20)), is: 2)
                try check(ForkServer.processIdentifier != server, "the stopped server answered")
                try check(eventually(within: .seconds(10)) { state(of: server) == nil }, "the stopped server is left")
            }
        }

        /// A value for which there was no descriptor in the child looked like a body without a value.
        @Test(arguments: StartMethod.allCases) func resultWithoutDescriptor(method: StartMethod) async throws {
            let child = try ChildProcess(startMethod: method) { () -> [UInt8] in
                var none = rlimit(rlim_cur: 0, rlim_max: 0)
                setrlimit(__rlimit_resource_t(7), &none)  // RLIMIT_NOFILE
                return [UInt8](repeating: 1, count: 200_000)  // goes by a file of memory
            }
            try child.start()
            let error = await #expect(throws: ProcessError.self) { _ = try await child.value }
            #expect(error?.code == .cannotTravel)
            #expect(error?.message.contains("the result could not be sent") == true)
            #expect(child.exitStatus == .exited(1))
        }

        /// So did a value that its own type refuses to encode.
        @Test(arguments: [StartMethod.forkServer, .spawn]) func resultThatRefuses(method: StartMethod) async throws {
            let error = await #expect(throws: (any Error).self) {
                _ = try await ChildProcess.run(startMethod: method) { Refusing(isInChild: true) }
            }
            #expect("\(String(describing: error))".contains("not today"))
        }

        /// A process that was killed after it was taken and before it had read its launch looked like a crash of the body.
        @Test func spareKilledBeforeItReadItsLaunch() async throws {
            try await isolated { @concurrent () async throws -> Void in
                let spares = try await stoppedSpares()
                let child = try ChildProcess { 1 }
                try child.start()
                try check(spares.contains(child.processIdentifier!), "no spare was taken")
                kill(child.processIdentifier!, SIGKILL)
                try check(await child.join(timeout: .seconds(20)))
                try check(child.crash == nil, "it looks like a crash")
                let error = try check(throws: .startFailed) { _ = try child.waitForValueNow() }
                try check(error.exitStatus, is: .signalled(SIGKILL))
            }
        }

        /// `run`, which tells nobody of its process, takes the next one.
        @Test func runTakesAnotherSpare() async throws {
            try await isolated { @concurrent () async throws -> Void in
                let spares = try await stoppedSpares()
                async let value = ChildProcess.run { 5 }
                try check(await eventually { !ChildProcess.activeChildren.isEmpty })
                for spare in spares { kill(spare, SIGKILL) }
                try check(await value, is: 5)
                ForkServer.stop()
                try check(await eventually { childrenOfThisProcess().isEmpty })
            }
        }

        /// Whoever ends a child through the library sees it killed, however early that came.
        @Test func killedAtOnce() async throws {
            try await isolated { @concurrent () async throws -> Void in
                _ = try await stoppedSpares()
                let child = try ChildProcess { 1 }
                try child.start()
                try child.kill()
                try check(await child.join(timeout: .seconds(20)))
                try check(child.crash?.signal, is: SIGKILL)
            }
        }
    }
}

/// A value that encodes where it was made, and not in the child.
private struct Refusing: Codable {
    var isInChild: Bool

    init(isInChild: Bool) { self.isInChild = isInChild }

    struct No: Error, CustomStringConvertible { let description = "not today" }

    func encode(to encoder: any Encoder) throws { throw No() }
}

/// Stops the processes that the fork server keeps ready: they can be taken, and read nothing.
private func stoppedSpares() async throws -> [Int32] {
    try await ChildProcess.run {}
    var spares: [Int32] = []
    let ready = try await eventually {
        spares = childrenOfThisProcess().filter { $0 != ForkServer.processIdentifier }
        return spares.count == ForkServer.spares
    }
    try check(ready, "no process is kept ready")
    // They have announced themselves before they can be stopped.
    try await Task.sleep(for: .milliseconds(200))
    for spare in spares { kill(spare, SIGSTOP) }
    // Until then one may still read what arrives.
    try check(await eventually { spares.allSatisfy { state(of: $0) == "T" } }, "the processes do not stop")
    return spares
}

extension ChildProcess {
    /// The value of a child that has ended.
    fileprivate func waitForValueNow() throws -> Success { try waitForValue(timeout: .zero) }
}
