import Dispatch
import Foundation
import Glibc
import Multiprocessing
import Testing

extension ProcessTests {
    /// The library beside others that start and reap processes in the same program.
    @Suite struct CoexistenceTests {
        @Test(arguments: StartMethod.allCases) func besideFoundationProcess(method: StartMethod) async throws {
            try await isolated {
                for _ in 0..<5 {
                    let child = try ChildProcess(startMethod: method) {
                        pause(.milliseconds(20))
                        return 1
                    }
                    let program = Process()
                    program.executableURL = URL(fileURLWithPath: "/bin/sh")
                    program.arguments = ["-c", "sleep 0.02; exit 5"]
                    try program.run()
                    try child.start()
                    let other = Process()
                    other.executableURL = URL(fileURLWithPath: "/bin/true")
                    try other.run()
                    // Neither takes the other's status.
                    try check(child.waitForValue(timeout: .seconds(20)), is: 1)
                    program.waitUntilExit()
                    other.waitUntilExit()
                    try check(program.terminationStatus, is: 5)
                    try check(other.terminationStatus, is: 0)
                }
            }
        }

        @Test(arguments: [StartMethod.forkServer, .spawn]) func programsStartedByABody(method: StartMethod) async throws
        {
            let output = try await ChildProcess.run(startMethod: method) {
                let (program, pipe) = (Process(), Pipe())
                program.executableURL = URL(fileURLWithPath: "/bin/echo")
                program.arguments = ["from", "a program"]
                program.standardOutput = pipe
                try program.run()
                program.waitUntilExit()
                return String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            }
            #expect(output == "from a program\n")
        }

        @Test(arguments: StartMethod.allCases) func somebodyElseCollectsTheStatus(method: StartMethod) async throws {
            try await isolated {
                let child = try ChildProcess(startMethod: method, options: .quiet) { exit(3) }
                try child.start()
                let pid = child.processIdentifier!
                // A wait for any child, as a program with a SIGCHLD handler does it; either it or the library is first.
                var status: Int32 = 0
                var collected: Int32 = 0
                _ = eventually {
                    collected = waitpid(pid, &status, WNOHANG)
                    return collected != 0
                }
                try check(child.join(timeout: .seconds(20)))
                try check(!child.isAlive)
                if collected == pid, child.exitStatus == .unknown {
                    try check(throws: .statusLost) { _ = try child.waitForValue() }
                    try check(child.exitStatus?.code, is: nil)
                } else {
                    try check(child.exitStatus, is: .exited(3))
                }
                // Signals to one that is gone go nowhere.
                try child.kill()
                try check(child.crash, is: nil)
            }
        }

        @Test(arguments: StartMethod.allCases) func theSystemCollectsAllStatuses(method: StartMethod) async throws {
            try await isolated {
                signal(SIGCHLD, SIG_IGN)
                let ender = try ChildProcess(startMethod: method) { exit(3) }
                try ender.start()
                try check(ender.join(timeout: .seconds(20)))
                try check(ender.exitStatus, is: .unknown)
                try check(throws: .statusLost) { _ = try ender.waitForValue() }
                // A value comes over a channel of its own.
                let child = try ChildProcess(startMethod: method) { 7 }
                try child.start()
                try check(child.waitForValue(timeout: .seconds(20)), is: 7)
                let sleeper = try ChildProcess(startMethod: method) { sleepForever() }
                try sleeper.start()
                try check(sleeper.isAlive)
                try sleeper.kill()
                try check(sleeper.join(timeout: .seconds(20)))
                try check(sleeper.exitStatus, is: .unknown)
            }
        }

        // A C library that forks: the copy holds every descriptor of the child, the channel to us too.
        @Test(arguments: StartMethod.allCases) func aProcessLeftBehindByABody(method: StartMethod) async throws {
            for blocking in [true, false] {
                try await isolated { @concurrent () async throws -> Void in
                    let child = try ChildProcess(startMethod: method) {
                        if fork() == 0 { sleepForever() }
                        return 9
                    }
                    try child.start()
                    let begin = ContinuousClock.now
                    if blocking {
                        try check(await onThread { try child.waitForValue(timeout: .seconds(10)) }, is: 9)
                    } else {
                        try check(await child.join(timeout: .seconds(10)), "a wait that hangs")
                        try check(await child.value, is: 9)
                    }
                    try check(ContinuousClock.now - begin < .seconds(5))
                }
            }
        }

        @Test(arguments: StartMethod.allCases) func aLookAtAChildThatLeftAProcessBehind(method: StartMethod)
            async throws
        {
            try await isolated {
                let child = try ChildProcess(startMethod: method) {
                    if fork() == 0 { sleepForever() }
                }
                try child.start()
                try check(eventually(within: .seconds(3)) { !child.isAlive }, "dead, but said to be alive")
                try check(child.exitStatus, is: .exited(0))
            }
        }

        @Test func dispatchBeforeAndWhile() async throws {
            try await isolated {
                let queue = DispatchQueue(label: "busy", attributes: .concurrent)
                let stop = LockedNumber()
                for _ in 0..<4 { queue.async { while stop.load() == 0 { usleep(100) } } }
                for _ in 0..<10 {
                    let child = try ChildProcess {
                        let done = DispatchSemaphore(value: 0)
                        DispatchQueue.global().async { done.signal() }
                        return done.wait(timeout: .now() + 10) == .success
                    }
                    try child.start()
                    try check(child.waitForValue(timeout: .seconds(20)))
                }
                stop.store(1)
            }
        }

        // In a child by .fork, the library's own thread and the body's contend for the same locks.
        @Test func aForkedChildThatStartsMany() async throws {
            try await isolated {
                for _ in 0..<3 {
                    let outer = try ChildProcess(startMethod: .fork) {
                        var sum = 0
                        for _ in 0..<20 {
                            let children = try (0..<5).map { index in try ChildProcess(startMethod: .fork) { index } }
                            for child in children { try child.start() }
                            for child in children { sum += try child.waitForValue(timeout: .seconds(20)) }
                        }
                        return sum
                    }
                    try outer.start()
                    try check(outer.waitForValue(timeout: .seconds(30)), is: 200)
                }
            }
        }
    }
}
