import Glibc
import Multiprocessing
import Testing

extension ProcessTests {
    /// A program with five children in a terminal: what the keys and the end of the terminal do to it.
    @Suite struct TerminalTests {
        @Test(arguments: StartMethod.allCases) func controlC(method: StartMethod) throws {
            let terminal = try Terminal(["terminal", "\(method)", "join"])
            let family = try family(in: terminal)
            let begin = ContinuousClock.now
            terminal.type("\u{3}")
            let (text, hasHungUp) = terminal.rest()
            // Prompt and complete: the terminal hangs up when the last who had it open has gone.
            #expect(hasHungUp)
            #expect(ContinuousClock.now - begin < .seconds(2))
            #expect(eventually(within: .seconds(1)) { family.allSatisfy(isGone) })
            // Quiet: the echo, which the end of the program may overtake.
            #expect(["^C", ""].contains(text))
            #expect(terminal.status() == SIGINT)
        }

        @Test(arguments: StartMethod.allCases) func controlZAndOn(method: StartMethod) throws {
            let terminal = try Terminal(["shell", "\(method)", "line"])
            let family = try family(in: terminal, from: "foreground")
            terminal.type("\u{1A}")
            #expect(["^Zstopped", "stopped"].contains(terminal.nextLine()))
            #expect(terminal.nextLine() == "continued")
            // Their parent was stopped for a while; they are all there.
            #expect(!family.contains(where: isGone))
            terminal.type("\n")
            let (text, hasHungUp) = terminal.rest()
            #expect(text == "\nsum 10\nstatus 0\n")
            #expect(hasHungUp)
            #expect(eventually(within: .seconds(1)) { family.allSatisfy(isGone) })
            #expect(terminal.status() == 0)
        }

        @Test(arguments: StartMethod.allCases) func terminalClosed(method: StartMethod) throws {
            let terminal = try Terminal(["terminal", "\(method)", "join"])
            let family = try family(in: terminal)
            terminal.close()
            #expect(terminal.status() == SIGHUP)
            #expect(eventually(within: .seconds(1)) { family.allSatisfy(isGone) })
        }

        /// The process ids that the program tells until it is ready: its own, its children's, the fork server's if it has one.
        private func family(in terminal: Terminal, from first: String? = nil) throws -> [Int32] {
            var family: [Int32] = []
            var waitingFor: Set = ["ready"]
            if let first { waitingFor.insert(first) }
            while !waitingFor.isEmpty {
                let line = terminal.nextLine()
                if line.hasPrefix("pid "), let pid = Int32(line.dropFirst(4)) {
                    family.append(pid)
                } else if waitingFor.remove(line) == nil {
                    throw CheckFailure(
                        text: "the program wrote \(line) and \(terminal.rest())",
                        place: "\(#fileID):\(#line)"
                    )
                }
            }
            #expect(family.count >= 6)
            return family
        }
    }
}
