import Foundation
import Testing

/// Has a suite begin when the other suites of this test program, which run beside it, have ended.
///
/// A copy made by `.fork` begins with whatever the other threads of its process were about: a lock that one of them held in
/// that moment stays locked in the copy for ever. A program that uses that method has to be quiet; this one is, once nothing but
/// the suite runs.
struct AfterOthers: SuiteTrait, TestScoping {
    @concurrent func provideScope(
        for test: Test,
        testCase: Test.Case?,
        performing function: @concurrent @Sendable () async throws -> Void
    ) async throws {
        // On a thread, because a task that sleeps has Dispatch's timers run.
        try await onThread { Self.awaitQuiet() }
        try await function()
    }

    private static func awaitQuiet() {
        // Other suites start children and wait for them now and then: one look at a quiet moment is not enough.
        let end = ContinuousClock.now + .seconds(50)
        var quietLooks = 0
        while quietLooks < 40, ContinuousClock.now < end {
            pause(.milliseconds(25))
            quietLooks = othersRun() ? 0 : quietLooks + 1
        }
    }

    /// Whether threads other than the one that asks are running.
    private static func othersRun() -> Bool {
        let tasks = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")) ?? []
        let running = tasks.filter { thread in
            guard let stat = text(of: "/proc/self/task/\(thread)/stat"), let name = stat.lastIndex(of: ")") else {
                return false
            }
            return stat[name...].dropFirst(2).first == "R"
        }
        return running.count > 1
    }
}

extension Trait where Self == AfterOthers {
    /// See ``AfterOthers``.
    static var afterOthers: Self { AfterOthers() }
}
