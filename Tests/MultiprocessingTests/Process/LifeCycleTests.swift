import Glibc
import Multiprocessing
import SystemPackage
import Testing

extension ProcessTests {
    /// From before the start to after the end: what a process says of itself, and what its handle says of it.
    @Suite struct LifeCycleTests {
        // CPython: _TestProcess.test_current
        @Test func currentProcess() {
            let current = ChildProcess.current
            #expect(current.name == "MainProcess")
            #expect(current.processIdentifier == getpid())
            #expect(!current.isDaemon)
            #expect(current.startMethod == nil)
            #expect(current.authenticationKey.count == 32)
            #expect(Set(current.authenticationKey).count > 1)
        }

        // CPython: _TestProcess.test_process
        @Test(arguments: StartMethod.allCases) func wholeLifeCycle(method: StartMethod) async throws {
            try await isolated {
                let key = ChildProcess.current.authenticationKey
                let child = try ChildProcess(arguments: 1, "two", [3.0], name: "Worker", startMethod: method) {
                    a,
                    b,
                    c in
                    let current = ChildProcess.current
                    return
                        "\(a) \(b) \(c) \(current.name) \(current.processIdentifier) \(current.authenticationKey == key)"
                }
                try check(child.name, is: "Worker")
                try check(!child.isAlive)
                try check(child.processIdentifier, is: nil)
                try check(child.exitStatus, is: nil)
                try check(ChildProcess.activeChildren.isEmpty)
                try child.start()
                let pid = child.processIdentifier
                try check(pid != nil && pid != getpid())
                try check(child.waitForValue(timeout: .seconds(20)), is: "1 two [3.0] Worker \(pid!) true")
                try check(!child.isAlive)
                try check(child.processIdentifier, is: pid)
                try check(child.exitStatus, is: .exited(0))
                try check(child.crash, is: nil)
                try check(ChildProcess.activeChildren.isEmpty)
            }
        }

        // CPython: _TestProcess.test_args_argument
        @Test(arguments: StartMethod.allCases) func nestedArgumentsArriveUnchanged(method: StartMethod) async throws {
            try await isolated {
                let nested: [[Int?]] = [[1, nil], [], [Int.min, .max]]
                let table = ["ключ": [0.1, -.infinity], "": []]
                let child = try ChildProcess(arguments: nested, table, "naïve 🙂", startMethod: method) { ($0, $1, $2) }
                try child.start()
                let (a, b, c) = try child.waitForValue(timeout: .seconds(20))
                try check(a, is: nested)
                try check(b, is: table)
                try check(c, is: "naïve 🙂")
            }
        }

        // CPython: _TestProcess.test_daemon_argument
        @Test(arguments: StartMethod.allCases) func daemonFlag(method: StartMethod) async throws {
            try await isolated {
                try check(!ChildProcess(startMethod: method) {}.isDaemon)
                var options = ProcessOptions()
                options.startMethod = method
                for explicit in [false, true] {
                    options.isDaemon = explicit
                    let child = try ChildProcess(options: options) {
                        [ChildProcess.current.isDaemon, try ChildProcess {}.isDaemon]
                    }
                    try check(child.isDaemon, is: explicit)
                    try child.start()
                    // The creator's own flag is the default of what it creates.
                    try check(child.waitForValue(timeout: .seconds(20)), is: [explicit, explicit])
                }
            }
        }

        // CPython: _TestProcess.test_parent_process_attributes
        @Test(arguments: StartMethod.allCases) func parentAttributes(method: StartMethod) async throws {
            #expect(ChildProcess.parent == nil)
            let mine = getpid()
            try await isolated {
                try check(ChildProcess.parent?.processIdentifier, is: mine)
                try check(ChildProcess.parent?.name, is: "MainProcess")
                let child = try ChildProcess(startMethod: method) {
                    "\(ChildProcess.parent?.name ?? "-") \(ChildProcess.parent?.processIdentifier ?? 0) \(getppid())"
                }
                try child.start()
                let expected = "\(ChildProcess.current.name) \(getpid()) \(getpid())"
                try check(child.waitForValue(timeout: .seconds(20)), is: expected)
            }
        }

        // CPython: _TestProcess.test_process_mainthread_native_id
        @Test(arguments: StartMethod.allCases) func threadOfTheBody(method: StartMethod) async throws {
            try await isolated {
                let mine = linkTarget("/proc/thread-self")
                let child = try ChildProcess(startMethod: method) { linkTarget("/proc/thread-self") ?? "" }
                try child.start()
                let pid = child.processIdentifier!
                let theirs = try child.waitForValue(timeout: .seconds(20))
                try check(theirs != mine && theirs.hasPrefix("\(pid)/task/"), theirs)
                // The main thread; by .fork another, because the copied one still thinks that it is its parent's.
                try check(theirs == "\(pid)/task/\(pid)", is: method != .fork)
            }
        }

        // CPython: _TestProcess.test_cpu_count
        @Test func processorCount() {
            #expect(availableProcessorCount >= 1)
        }

        // CPython: _TestProcess.test_active_children
        @Test(arguments: StartMethod.allCases) func activeChildren(method: StartMethod) async throws {
            try await isolated {
                let child = try ChildProcess(startMethod: method) { sleepForever() }
                try check(ChildProcess.activeChildren.isEmpty)
                try child.start()
                try check(ChildProcess.activeChildren, is: [try child.handle])
                try check(ChildProcess.activeChildren.map(\.processIdentifier), is: [child.processIdentifier!])
                try child.terminate()
                try check(child.join(timeout: .seconds(20)))
                try check(ChildProcess.activeChildren.isEmpty)
            }
        }

        // CPython: _TestProcess.test_sentinel
        @Test(arguments: StartMethod.allCases) func sentinel(method: StartMethod) async throws {
            try await isolated {
                let child = try ChildProcess(startMethod: method) { sleepForever() }
                try check(throws: .notStarted) { _ = try child.sentinel }
                try child.start()
                let sentinel = try child.sentinel.rawValue
                try check(sentinel >= 3)
                try check(!isReadable(sentinel, within: 50))
                try child.terminate()
                try check(isReadable(sentinel, within: 20_000))
                try check(child.join(timeout: .seconds(20)))
                try check(isReadable(sentinel))
                // One that is first asked for after the end is as ready.
                let late = try ChildProcess(startMethod: method) {}
                try late.start()
                try check(late.join(timeout: .seconds(20)))
                try check(isReadable(late.sentinel.rawValue))
            }
        }

        // CPython: _TestProcess.test_close
        @Test(arguments: StartMethod.allCases) func close(method: StartMethod) async throws {
            try await isolated {
                weak var released: ChildProcess<Never>?
                do {
                    let child = try ChildProcess(startMethod: method) { sleepForever() }
                    try child.start()
                    try check(child.isAlive)
                    try check(throws: .stillRunning) { try child.close() }
                    try child.terminate()
                    try check(child.join(timeout: .seconds(20)))
                    try child.close()
                    try check(throws: .closed) { try child.join() }
                    try check(throws: .closed) { try child.start() }
                    try check(throws: .closed) { try child.terminate() }
                    try check(throws: .closed) { try child.kill() }
                    try check(throws: .closed) { _ = try child.sentinel }
                    try check(throws: .closed) { _ = try child.waitForValue() }
                    try child.close()
                    released = child
                }
                try check(released == nil)
            }
        }

        // CPython: _TestProcess.test_lose_target_ref
        // Adapted: a weak reference of Swift's. With arguments encoded at the initialiser, not even the unstarted handle holds it.
        @Test(arguments: StartMethod.allCases) func targetIsReleasedAfterTheStart(method: StartMethod) async throws {
            try await isolated {
                final class Target: Codable, Sendable {
                    let number: Int
                    init(_ number: Int) { self.number = number }
                }
                func start() throws -> (ChildProcess<Int>, () -> Bool) {
                    let target = Target(7)
                    let child = try ChildProcess(startMethod: method) { target.number }
                    try child.start()
                    return (child, { [weak target] in target == nil })
                }
                let (child, isReleased) = try start()
                try check(isReleased())
                try check(child.waitForValue(timeout: .seconds(20)), is: 7)
            }
        }

        @Test func namesCountAlongTheLineOfParents() async throws {
            let names = try await isolated {
                var names = [ChildProcess.current.name]
                for _ in 1...2 {
                    let child = try ChildProcess { ChildProcess.current.name }
                    try child.start()
                    names.append(try child.waitForValue(timeout: .seconds(20)))
                }
                return names
            }
            #expect(names == [names[0], names[0] + ":1", names[0] + ":2"])
        }

        @Test(arguments: StartMethod.allCases) func descriptionTellsTheState(method: StartMethod) async throws {
            try await isolated {
                let child = try ChildProcess(name: "Loader", startMethod: method) {}
                try check("\(child)", is: "<Loader, not started>")
                try child.start()
                try check(child.join(timeout: .seconds(20)))
                try check("\(child)", is: "<Loader pid \(child.processIdentifier!), ended with exit code 0>")
            }
        }
    }
}
