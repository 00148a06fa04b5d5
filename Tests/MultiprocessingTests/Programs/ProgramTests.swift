import Foundation
import Glibc
import Multiprocessing
import Testing

extension ProcessTests {
    /// Programs in unusual circumstances: moved, deleted, bare of streams, as another user, without an entry point of ours.
    @Suite struct ProgramTests {
        @Test func selfTest() throws {
            try expectSuccess(Scenario(["selftest"]), output: "OK forkServer\nOK spawn\nOK fork\nOK nested\n")
        }

        @Test(arguments: StartMethod.allCases) func descriptorsKeepTheirNumbers(method: StartMethod) throws {
            try expectSuccess(Scenario(["collisions", "\(method)"]))
        }

        @Test(arguments: StartMethod.allCases) func startedByARelativePath(method: StartMethod) throws {
            // The shell passes the name on as it is, where Foundation would make it absolute.
            let scenario = try Scenario(
                ["-c", "./mp-scenarios relative-path \(method)"],
                path: "/bin/sh",
                directory: Scenario.directory
            )
            try expectSuccess(scenario)
        }

        @Test(arguments: StartMethod.allCases, ["renamed", "replaced", "deleted"])
        func executableChangedWhileRunning(method: StartMethod, what: String) throws {
            try withTemporaryDirectory { directory in
                let path = directory + "/program"
                try FileManager.default.copyItem(atPath: Scenario.directory + "/mp-scenarios", toPath: path)
                try expectSuccess(Scenario(["moved", what, "\(method)"], path: path))
            }
        }

        @Test(arguments: StartMethod.allCases) func largeAndChangingEnvironment(method: StartMethod) throws {
            try expectSuccess(Scenario(["environment", "\(method)"]))
        }

        @Test(.enabled(if: getuid() == 0, "needs root"), arguments: StartMethod.allCases)
        func asAnOrdinaryUser(method: StartMethod) throws {
            // Where nobody may go.
            try withTemporaryDirectory { directory in
                chmod(directory, 0o755)
                let path = directory + "/program"
                try FileManager.default.copyItem(atPath: Scenario.directory + "/mp-scenarios", toPath: path)
                try expectSuccess(Scenario(["nobody", "\(method)"], path: path, directory: "/"))
            }
        }

        @Test(arguments: StartMethod.allCases) func childrenSeeTheArguments(method: StartMethod) throws {
            try expectSuccess(Scenario(["arguments", "\(method)", "two words", "", "ünicode"]))
        }

        @Test func aForkPastTheLibrary() throws {
            try expectSuccess(Scenario(["fork-bare"]))
        }

        // CPython: TestNoForkBomb.test_noforkbomb
        // Adapted: CPython refuses to start children from a main module without a guard. Here none is needed: children never
        // reach main, so such a program just works. What is lost are the top-level variables: zero, as main never set them.
        @Test func topLevelCodeWithoutAGuard() throws {
            let scenario = try Scenario(["7"], program: "mp-toplevel")
            let pid = scenario.processIdentifier
            try expectSuccess(
                scenario,
                output: """
                    main runs in process \(pid)
                    forkServer: 0, captured 7
                    spawn: 0, captured 7
                    fork: 7, captured 7

                    """
            )
        }

        @Test(arguments: StartMethod.allCases) func manyRoundsLeaveNothingBehind(method: StartMethod) throws {
            #if DEBUG
                let count = method == .spawn ? 200 : 1000
            #else
                let count = method == .spawn ? 1000 : 10_000
            #endif
            let end = try Scenario(["rounds", "\(count)", method == .spawn ? "100" : "500", "\(method)"], limit: 58)
                .finish()
            #expect(end.status == 0 && !end.wasSignalled)
            #expect(end.output.hasPrefix("OK"))
            #expect(end.errors.isEmpty, "\(end.errors)")
        }
    }
}

/// Expects that a scenario ends well, with that output and nothing on standard error.
private func expectSuccess(
    _ scenario: Scenario,
    output: String = "OK\n",
    sourceLocation: SourceLocation = #_sourceLocation
) throws {
    let end = scenario.finish()
    #expect(end.errors.isEmpty, "\(end.errors)", sourceLocation: sourceLocation)
    #expect(end.output == output, sourceLocation: sourceLocation)
    #expect(end.status == 0 && !end.wasSignalled, sourceLocation: sourceLocation)
}
