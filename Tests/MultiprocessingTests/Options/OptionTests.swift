import Glibc
import Multiprocessing
import SystemPackage
import Testing

extension ProcessTests {
    /// Environment, directory, identity: what a child starts with.
    @Suite struct OptionTests {
        @Test(arguments: StartMethod.allCases) func environment(method: StartMethod) async throws {
            try await isolated {
                func seen(_ options: ProcessOptions) throws -> [String?] {
                    let child = try ChildProcess(options: options) {
                        ["MP_KEPT", "MP_SET", "MP_REMOVED"].map { variable($0) }
                    }
                    try child.start()
                    return try child.waitForValue(timeout: .seconds(20))
                }
                var options = ProcessOptions()
                options.startMethod = method
                try check(seen(options), is: [nil, nil, nil] as [String?])
                setenv("MP_KEPT", "a=b", 1)
                setenv("MP_REMOVED", "x", 1)
                try check(seen(options), is: ["a=b", nil, "x"] as [String?])
                options.environment = ["MP_SET": "ünicode \n", "MP_REMOVED": String?.none]
                try check(seen(options), is: ["a=b", "ünicode \n", nil] as [String?])
                options.clearsEnvironment = true
                try check(seen(options), is: [nil, "ünicode \n", nil] as [String?])
                // None of it reaches the parent.
                try check(getenv("MP_SET") == nil && getenv("MP_REMOVED") != nil)
            }
        }

        @Test(arguments: [StartMethod.forkServer, .spawn]) func nothingOfOursIsInTheEnvironment(
            method: StartMethod
        ) async throws {
            try await isolated {
                var options = ProcessOptions()
                options.startMethod = method
                options.clearsEnvironment = true
                options.environment = ["ONLY": "this"]
                let child = try ChildProcess(options: options) { environmentNames() }
                try child.start()
                try check(child.waitForValue(timeout: .seconds(20)), is: ["ONLY"])
            }
        }

        @Test func impossibleEnvironmentsAreRefused() throws {
            for name in ["", "A=B", "A\0"] {
                var options = ProcessOptions()
                options.environment = [name: "x"]
                #expect(throws: ProcessError.self) { try ChildProcess(options: options) {} }
            }
            var options = ProcessOptions()
            options.environment = ["A": "x\0y"]
            #expect(throws: ProcessError.self) { try ChildProcess(options: options) {} }
        }

        @Test(arguments: StartMethod.allCases) func workingDirectory(method: StartMethod) async throws {
            try await isolated {
                func directory(_ options: ProcessOptions) throws -> String? {
                    let child = try ChildProcess(options: options) { linkTarget("/proc/self/cwd") }
                    try child.start()
                    return try child.waitForValue(timeout: .seconds(20))
                }
                var options = ProcessOptions()
                options.startMethod = method
                // After a first start, so that a server, if any, has the directory of then.
                _ = try directory(options)
                try withTemporaryDirectory { path in
                    chdir(path)
                    try check(directory(options), is: path)
                    options.workingDirectory = "/usr"
                    try check(directory(options), is: "/usr")
                    options.workingDirectory = "../.."
                    try check(directory(options), is: "/")
                    options.workingDirectory = nil
                }
                // It has been removed, with this process in it.
                try check(directory(options)?.hasSuffix(" (deleted)") == true)
                options.workingDirectory = "/nonexistent"
                let child = try ChildProcess(options: options) {}
                try child.start()
                let error = try check(throws: .setupFailed) { try child.waitForValue(timeout: .seconds(20)) }
                try check(error.errno, is: .noSuchFileOrDirectory)
                try check(child.exitStatus, is: .exited(1))
            }
        }

        @Test(.enabled(if: getuid() == 0, "needs root"), arguments: StartMethod.allCases)
        func userAndGroup(method: StartMethod) async throws {
            try await isolated {
                var options = ProcessOptions()
                options.startMethod = method
                options.user = 65534
                options.group = 65533
                let child = try ChildProcess(options: options) {
                    [getuid(), geteuid(), getgid(), getegid(), UInt32(getgroups(0, nil)), setuid(0) == 0 ? 1 : 0]
                }
                try child.start()
                let seen = try child.waitForValue(timeout: .seconds(20))
                try check(seen, is: [65534, 65534, 65533, 65533, 1, 0])
                // It goes with its parent like any other; and it can be ended by a parent that may.
                let sleeper = try ChildProcess(options: options) { sleepForever() }
                try sleeper.start()
                try sleeper.terminate()
                try check(sleeper.join(timeout: .seconds(20)))
            }
        }

        @Test(.enabled(if: getuid() == 0, "needs root")) func aUserThatMayNotIsTold() async throws {
            var options = ProcessOptions()
            options.user = 65534
            try await isolated(options: options) {
                var options = ProcessOptions()
                options.user = 0
                let child = try ChildProcess(options: options) {}
                try child.start()
                let error = try check(throws: .setupFailed) { try child.waitForValue(timeout: .seconds(20)) }
                try check(error.errno, is: .notPermitted)
            }
        }

        @Test(arguments: StartMethod.allCases) func authenticationKeyIsInherited(method: StartMethod) async throws {
            let mine = ChildProcess.current.authenticationKey
            let theirs = try await isolated {
                let child = try ChildProcess(startMethod: method) { ChildProcess.current.authenticationKey }
                try child.start()
                return try child.waitForValue(timeout: .seconds(20))
            }
            #expect(mine == theirs)
        }

        @Test(arguments: StartMethod.allCases) func theNameIsShownByPS(method: StartMethod) async throws {
            try await isolated {
                let child = try ChildProcess(name: "A name that is longer", startMethod: method) {
                    text(of: "/proc/self/comm")
                }
                try child.start()
                try check(child.waitForValue(timeout: .seconds(20)), is: "A name that is \n")
            }
        }
    }
}

private func variable(_ name: String) -> String? {
    getenv(name).map { String(cString: $0) }
}

private func environmentNames() -> [String] {
    let entries = (text(of: "/proc/self/environ") ?? "").split(separator: "\0")
    // The kernel's copy is of the start; the process's own is what counts.
    return Set(entries.map { String($0.prefix { $0 != "=" }) } + ["ONLY"]).filter { getenv($0) != nil }.sorted()
}
