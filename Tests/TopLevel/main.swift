import Glibc
import Multiprocessing

// A program as a newcomer writes it: variables and calls at top level, no guard of any kind. A child never runs this file:
// it must not start children of its own (in Python without a main guard it would), and its top-level variables are zero.
let answer = Int(CommandLine.arguments.dropFirst().first ?? "42")!

print("main runs in process \(getpid())")
fflush(nil)
for method in StartMethod.allCases {
    // By name, without a capture: the child reads its own copy of the variable.
    let child = try ChildProcess(startMethod: method) { readAnswer() }
    try child.start()
    let seen = try await child.value
    let captured = try await ChildProcess.run(startMethod: method) { [answer] in answer }
    print("\(method): \(seen), captured \(captured)")
}

func readAnswer() -> Int { answer }
