import Glibc
import Multiprocessing
import Testing

extension ProcessTests {
    /// Whatever ends a program, nobody of its family is left a second later: children, grandchildren, stopped ones, busy ones,
    /// such that ignore or block every signal, one in a session of its own, a program that a child started, the fork server.
    @Suite struct OrphanTests {
        static let endings = [
            "return", "exit", "_exit", "trap", "abort", "exec", "SIGTERM", "SIGKILL", "SIGINT", "SIGHUP",
        ]

        @Test(arguments: StartMethod.allCases, endings)
        func nobodyIsLeft(method: StartMethod, ending: String) throws {
            let signals = ["SIGTERM": SIGTERM, "SIGKILL": SIGKILL, "SIGINT": SIGINT, "SIGHUP": SIGHUP]
            let signal = signals[ending]
            let scenario = try Scenario(["family", signal == nil ? ending : "signal", "\(method)"])
            var family: [Int32] = []
            while case let line = scenario.nextLine(), line != "ready" {
                guard line.hasPrefix("pid "), let pid = Int32(line.dropFirst(4)) else {
                    Issue.record("\(line) \(scenario.finish())")
                    return
                }
                family.append(pid)
            }
            // Itself, nine children, one of which started a program and one two generations; the server is there if used.
            #expect(family.count >= 13)
            if let signal { kill(scenario.processIdentifier, signal) }
            #expect(eventually { isGone(scenario.processIdentifier) })
            // Exit hooks give children a moment before; from the parent's end it is a second.
            var left: [Int32] = []
            let allGone = eventually(within: .seconds(1)) {
                left = family.filter { !isGone($0) }
                return left.isEmpty
            }
            #expect(allGone, "\(left) of \(family) outlived \(ending)")
            for pid in left { kill(pid, SIGKILL) }
            let end = scenario.finish()
            #expect(end.output.isEmpty)
            if ending != "trap" && ending != "abort" { #expect(end.errors.isEmpty, "\(end.errors)") }
        }

        /// A copy that the program made by fork(), past the library, and that outlives it. It held the children's lifeline.
        @Test(arguments: StartMethod.allCases) func copyLeftBehind(method: StartMethod) throws {
            let scenario = try Scenario(["left-copy", "\(method)"])
            var (family, copy): ([Int32], Int32?) = ([], nil)
            while case let line = scenario.nextLine(), !line.isEmpty {
                if line.hasPrefix("pid ") { family += [Int32(line.dropFirst(4))].compactMap { $0 } }
                // The last line: whoever is left holds the output open.
                if line.hasPrefix("copy ") {
                    copy = Int32(line.dropFirst(5))
                    break
                }
            }
            #expect(family.count >= 3)
            let allGone = eventually(within: .seconds(1)) { family.allSatisfy(isGone) }
            let left = try #require(copy)
            #expect(!isGone(left), "the copy, which this is about, has gone itself")
            kill(left, SIGKILL)
            // Those that are left may hold each other's lifeline, and the output that is read to its end below.
            for pid in family where !isGone(pid) { kill(pid, SIGKILL) }
            #expect(allGone, "children outlived their parent with its copy")
            let end = scenario.finish()
            #expect(end.wasSignalled && end.status == SIGKILL, "\(end)")
        }

        // As a terminal does it: to the group of the program, whose children have groups of their own.
        @Test(arguments: StartMethod.allCases, ["signal", "join"])
        func controlC(method: StartMethod, ending: String) throws {
            let scenario = try Scenario(["family", ending, "\(method)"])
            var family: [Int32] = []
            while case let line = scenario.nextLine(), line != "ready", !line.isEmpty {
                if let pid = Int32(line.dropFirst(4)) { family.append(pid) }
            }
            pause(.milliseconds(50))
            let begin = ContinuousClock.now
            #expect(kill(-scenario.processIdentifier, SIGINT) == 0)
            let end = scenario.finish()
            // Quiet, prompt, complete.
            #expect(end.errors.isEmpty, "\(end.errors)")
            #expect(end.output.isEmpty)
            #expect(end.wasSignalled && end.status == SIGINT)
            #expect(ContinuousClock.now - begin < .seconds(1))
            #expect(eventually(within: .seconds(1)) { family.allSatisfy(isGone) })
        }
    }
}
