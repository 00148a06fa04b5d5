import Multiprocessing

/// A process that is killed at one step of what it does.
struct Victim: Sendable {
    private let child: ChildProcess<Bool>

    /// Starts it.
    ///
    /// - Parameters:
    ///   - step: the number of the step, from zero. When there is none with that number, the process survives.
    ///   - prepare: what is done before steps count.
    init(
        killedAt step: Int,
        after prepare: @escaping @Sendable () throws -> Void = {},
        _ body: @escaping @Sendable () throws -> Void
    ) throws {
        child = try ChildProcess(options: .quiet) {
            try prepare()
            Chaos.arm(.kill, atStep: step)
            try body()
            Chaos.disarm()
            return true
        }
        try child.start()
    }

    var isAlive: Bool { child.isAlive }

    /// Whether it survived, once it has ended.
    func survives(timeout: Duration = .seconds(30)) async throws -> Bool {
        try await onThread {
            do {
                return try child.waitForValue(timeout: timeout)
            } catch let crash as ProcessCrash {
                // Every other way to end is a failure of the test.
                guard crash.reason == .killed else { throw crash }
                return false
            }
        }
    }

    /// Has processes killed at the first step, at the second, … until one survives.
    ///
    /// - Parameter round: makes a victim with that step, checks what is left of it, and returns whether it survived.
    static func atEveryStep(upTo limit: Int = 100, _ round: (Int) async throws -> Bool) async throws {
        for step in 0..<limit {
            do {
                if try await round(step) { return try check(step > 0, "there are no steps") }
            } catch {
                throw CheckFailure(text: "\(error)", place: "killed at step \(step)")
            }
        }
        throw CheckFailure(text: "none survived", place: "")
    }
}
