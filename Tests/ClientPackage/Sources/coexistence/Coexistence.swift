import Foundation
import Glibc
import Multiprocessing
import Subprocess

/// Three libraries that start and reap processes, in one program and at the same time: this one, swift-subprocess and
/// Foundation. And the two others inside children of ours. Nobody may take another's status, and nothing may be left.
@main
enum Coexistence {
    static func main() async throws {
        do {
            // One round first: each library keeps a few descriptors and threads from its first use on.
            try await round(0)
            guard await settle() else { throw Wrong("the first round left children") }
            let kept = descriptors().count
            for number in 1...30 { try await round(number) }
            guard await settle() else { throw Wrong("left: \(children().map { "\($0.pid) \($0.state)" })") }
            guard await eventually({ descriptors().count <= kept }) else {
                throw Wrong("\(kept) descriptors after the first round, after the last: \(descriptors())")
            }
        } catch {
            print("FAILED \(error)")
            exit(1)
        }
        print("\(cases.count) cases at once, 31 rounds, nothing taken and nothing left")
    }

    /// Everything at once.
    static func round(_ number: Int) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (name, run) in cases {
                group.addTask {
                    do { try await run(number) } catch { throw Wrong("round \(number), \(name): \(error)") }
                }
            }
            try await group.waitForAll()
        }
    }

    static let cases: [(name: String, run: @Sendable (Int) async throws -> Void)] = [
        ("a child's value", { number in try expect(await ChildProcess.run { number + 1 }, number + 1) }),
        (
            "a child by .spawn",
            { number in
                try expect(await ChildProcess.run(startMethod: .spawn) { number + 2 }, number + 2)
            }
        ),
        (
            "a child's exit status",
            { _ in
                let child = try ChildProcess { exit(7) }
                try child.start()
                try await child.join()
                try expect(child.exitStatus, .exited(7))
            }
        ),
        (
            "a child's crash",
            { _ in
                let child = try ChildProcess { raise(SIGKILL) }
                try child.start()
                try await child.join()
                try expect(child.exitStatus, .signalled(SIGKILL))
            }
        ),
        (
            "Subprocess beside",
            { number in try expect(await bySubprocess("echo \(number); exit 5"), "\(number)\nexited(5)") }
        ),
        ("Subprocess beside, killed", { _ in try expect(await bySubprocess("kill -9 $$"), "signaled(9)") }),
        (
            "Subprocess inside",
            { number in
                let found = try await ChildProcess.run { () async throws -> String in
                    try await bySubprocess("echo inside \(number); exit 6")
                }
                try expect(found, "inside \(number)\nexited(6)")
            }
        ),
        (
            "several of Subprocess inside, and a grandchild",
            { number in
                let found = try await ChildProcess.run { () async throws -> [String] in
                    async let one = bySubprocess("echo one; exit 1")
                    async let two = bySubprocess("echo two; exit 2")
                    async let grandchild = ChildProcess.run { "grandchild \(number)" }
                    return try await [one, two, grandchild]
                }
                try expect(found, ["one\nexited(1)", "two\nexited(2)", "grandchild \(number)"])
            }
        ),
        ("Foundation beside", { _ in try expect(await byFoundation("exit 3"), 3) }),
        (
            "Foundation inside",
            { _ in
                try expect(await ChildProcess.run { () async throws -> Int32 in try await byFoundation("exit 4") }, 4)
            }
        ),
    ]
}

/// What a shell wrote, and how it ended.
@concurrent func bySubprocess(_ script: String) async throws -> String {
    let result = try await Subprocess.run(
        .path("/bin/sh"),
        arguments: ["-c", script],
        output: .string(limit: 4096)
    )
    let status =
        switch result.terminationStatus {
        case .exited(let code): "exited(\(code))"
        case .signaled(let signal): "signaled(\(signal))"
        }
    return result.standardOutput + status
}

/// How a shell ended that Foundation ran.
@concurrent func byFoundation(_ script: String) async throws -> Int32 {
    let shell = Process()
    shell.executableURL = URL(fileURLWithPath: "/bin/sh")
    shell.arguments = ["-c", script]
    return try await withCheckedThrowingContinuation { continuation in
        shell.terminationHandler = { continuation.resume(returning: $0.terminationStatus) }
        do { try shell.run() } catch { continuation.resume(throwing: error) }
    }
}

struct Wrong: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
}

func expect<Value: Equatable>(_ found: Value, _ expected: Value) throws {
    if found != expected { throw Wrong("found \(found), not \(expected)") }
}

/// Looks every few milliseconds, ten seconds at most.
func eventually(_ condition: @Sendable () -> Bool) async -> Bool {
    for _ in 0..<1000 {
        if condition() { return true }
        try? await Task.sleep(for: .milliseconds(10))
    }
    return false
}

/// Lets go of the fork server and waits until this process has no child at all, ended or not; false if that does not come.
func settle() async -> Bool {
    ForkServer.stop()
    return await eventually { children().isEmpty }
}

/// The children of this process, with the letter by which /proc knows their state.
func children() -> [(pid: Int32, state: String)] {
    let own = getpid()
    return ((try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []).compactMap { name in
        guard let pid = Int32(name), let line = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8),
            let end = line.lastIndex(of: ")")
        else { return nil }
        let fields = line[end...].dropFirst(2).split(separator: " ")
        guard fields.count > 1, Int32(fields[1]) == own else { return nil }
        return (pid, String(fields[0]))
    }
}

/// What the descriptors of this process lead to, without the parts of run loops, of which Foundation makes one for each thread
/// that it is used on, and which end with the thread.
func descriptors() -> [String] {
    let directory = "/proc/self/fd/"
    return ((try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []).compactMap { number in
        let target = (try? FileManager.default.destinationOfSymbolicLink(atPath: directory + number)) ?? "?"
        let ofRunLoop = ["[eventpoll]", "[eventfd]", "[timerfd]"].contains { target.hasSuffix($0) }
        return ofRunLoop ? nil : "\(number) \(target)"
    }
}
