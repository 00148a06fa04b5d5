import Dispatch
import Glibc
import Multiprocessing
import Synchronization
import SystemPackage
import Testing

/// Set by a preload hook in the server; children find it set.
private let preloaded = Mutex<[Int32]>([])

extension ProcessTests {
    /// The process behind `.forkServer`: its death, its spares, its preload hook.
    @Suite struct ForkServerTests {
        // CPython: _TestProcess.test_forkserver_sigint
        @Test func serverEndedBySIGINT() async throws {
            try await isolated { try endServer(by: SIGINT) }
        }

        // CPython: _TestProcess.test_forkserver_sigkill
        @Test func serverEndedBySIGKILL() async throws {
            try await isolated { try endServer(by: SIGKILL) }
        }

        @Test(arguments: [SIGTERM, SIGHUP]) func serverEndedBy(signal: Int32) async throws {
            try await isolated { try endServer(by: signal) }
        }

        // The start gives up on a server that does not answer; until then it waits, at most half a minute.
        @Test func stoppedServer() async throws {
            try await isolated {
                let running = try ChildProcess { pause(.milliseconds(300)) }
                try running.start()
                let server = ForkServer.processIdentifier!
                // The child, the server and two that wait, who have announced themselves.
                try check(eventually { childrenOfThisProcess().count == 4 })
                pause(.milliseconds(50))
                kill(server, SIGSTOP)
                // Those kept ready need no server.
                let ready = try ChildProcess { 3 }
                try ready.start()
                try check(ready.waitForValue(timeout: .seconds(20)), is: 3)
                try check(running.join(timeout: .seconds(20)))
                try check(running.exitStatus, is: .exited(0))
                kill(server, SIGCONT)
                let later = try ChildProcess { 4 }
                try later.start()
                try check(later.waitForValue(timeout: .seconds(20)), is: 4)
            }
        }

        @Test(arguments: [0, 2, 16]) func spares(count: Int) async throws {
            try await isolated {
                ForkServer.spares = count
                let children = try (0..<20).map { index in try ChildProcess { index } }
                for child in children { try child.start() }
                for (index, child) in children.enumerated() {
                    try check(child.waitForValue(timeout: .seconds(20)), is: index)
                }
                // The server and those that wait.
                try check(eventually { childrenOfThisProcess().count == count + 1 }, "\(childrenOfThisProcess())")
                pause(.milliseconds(50))
                try check(childrenOfThisProcess().count, is: count + 1)
                // They are none of the user's.
                try check(ChildProcess.activeChildren, is: [])
                ForkServer.stop()
                try check(ForkServer.processIdentifier, is: nil)
                try check(eventually { childrenOfThisProcess().isEmpty }, "\(childrenOfThisProcess())")
            }
        }

        @Test func sparesThatDiedAreReplaced() async throws {
            try await isolated {
                let first = try ChildProcess { 1 }
                try first.start()
                try check(first.waitForValue(timeout: .seconds(20)), is: 1)
                let server = ForkServer.processIdentifier!
                try check(eventually { childrenOfThisProcess().count == 3 })
                for spare in childrenOfThisProcess() where spare != server {
                    kill(spare, SIGKILL)
                    try check(eventually { isGone(spare) })
                }
                let second = try ChildProcess { 2 }
                try second.start()
                try check(second.waitForValue(timeout: .seconds(20)), is: 2)
                try check(eventually { zombies().isEmpty })
            }
        }

        @Test func stoppingTheServerDoesNotTouchChildren() async throws {
            try await isolated {
                let child = try ChildProcess {
                    pause(.milliseconds(100))
                    return 8
                }
                try child.start()
                ForkServer.stop()
                ForkServer.stop()
                try check(child.waitForValue(timeout: .seconds(20)), is: 8)
            }
        }

        // CPython: TestStartMethod.test_preload_resources
        // Adapted: a closure takes the place of modules to import.
        @Test func preloadHook() async throws {
            try await isolated {
                let number = 11
                try ForkServer.preload { preloaded.withLock { $0.append(Int32(number)) } }
                for _ in 0..<5 {
                    let child = try ChildProcess { preloaded.withLock { $0 } }
                    try child.start()
                    // Once, however many children there are; and not here.
                    try check(child.waitForValue(timeout: .seconds(20)), is: [11])
                }
                try check(preloaded.withLock { $0 }, is: [])
                ForkServer.removePreload()
                let child = try ChildProcess { preloaded.withLock { $0 } }
                try child.start()
                try check(child.waitForValue(timeout: .seconds(20)), is: [])
            }
        }

        @Test func preloadHookThatStartsAThread() async throws {
            try await isolated {
                try ForkServer.preload { DispatchQueue.global().async { pause(.seconds(5)) } }
                let child = try ChildProcess { 1 }
                let error = try check(throws: .startFailed) { try child.start() }
                try check(error.message.contains("thread"), "\(error)")
                // The start can be tried again without the hook.
                ForkServer.removePreload()
                try child.start()
                try check(child.waitForValue(timeout: .seconds(20)), is: 1)
            }
        }

        @Test func preloadHookThatFails() async throws {
            try await isolated {
                try ForkServer.preload { throw CheckFailure(text: "no model", place: "hook") }
                let child = try ChildProcess { 1 }
                let error = try check(throws: .startFailed) { try child.start() }
                try check(error.message.contains("no model"), "\(error)")
                try ForkServer.preload { exit(3) }
                try check(throws: .startFailed) { try child.start() }
                try ForkServer.preload(timeout: .milliseconds(100)) { sleepForever() }
                try check(throws: .timedOut) { try child.start() }
                ForkServer.removePreload()
                try child.start()
                try check(child.waitForValue(timeout: .seconds(20)), is: 1)
                try check(eventually { zombies().isEmpty }, "\(zombies())")
                // The server that slept is gone too.
                try check(eventually { childrenOfThisProcess().count == 3 }, "\(childrenOfThisProcess())")
            }
        }

        @Test func aLargePreloadHook() async throws {
            try await isolated {
                let large = [Int32](repeating: 6, count: 100_000)
                try ForkServer.preload { preloaded.withLock { $0 = large } }
                let child = try ChildProcess { preloaded.withLock { $0.count } }
                try child.start()
                try check(child.waitForValue(timeout: .seconds(20)), is: 100_000)
            }
        }
    }
}

/// A child that runs survives the server, and the next start has a new one.
private func endServer(by signal: Int32) throws {
    let child = try ChildProcess {
        pause(.milliseconds(300))
        return 5
    }
    try child.start()
    let server = ForkServer.processIdentifier!
    try check(kill(server, signal) == 0)
    try check(eventually { isGone(server) })
    try check(child.waitForValue(timeout: .seconds(20)), is: 5)
    try check(child.exitStatus, is: .exited(0))
    for _ in 0..<5 {
        let next = try ChildProcess { 6 }
        try next.start()
        try check(next.waitForValue(timeout: .seconds(20)), is: 6)
    }
    try check(ForkServer.processIdentifier != server && ForkServer.processIdentifier != nil)
    try check(eventually { zombies().isEmpty }, "\(zombies())")
}
