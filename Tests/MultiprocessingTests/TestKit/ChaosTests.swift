import Multiprocessing
import MultiprocessingTestKit
import Testing

extension ProcessTests {
    /// Deaths at steps, by index, by name and at random; and the driver that tries each.
    @Suite(.enabled(if: ChaosPlan.isAvailable, "this build has no steps"))
    struct ChaosTests {
        @Test func everyStepOfALock() async throws {
            let report = try await killAtEveryStep {
                try Lock()
            } operation: { lock in
                for _ in 0..<2 {
                    try lock.acquire(timeout: .seconds(10))
                    _ = try lock.acquire(timeout: .milliseconds(20))
                    try lock.release()
                }
            } survivors: { lock, _ in
                let taken = try await lock.acquire(timeout: .seconds(10))
                try check(taken, "the lock is lost")
                try lock.release()
            }
            #expect(report.note == nil)
            #expect(Set(report.steps) == ["word.waiting", "word.releasing", "word.released"])
            #expect(report.description.hasPrefix("\(report.steps.count) steps: word.waiting × "))
        }

        @Test(arguments: [ChaosPlan.Action.stop, .delay(.milliseconds(30))])
        func whatIsOnlySlowedCompletes(action: ChaosPlan.Action) async throws {
            let report = try await killAtEveryStep(action: action) {
                try Lock()
            } operation: { lock in
                try lock.acquire(timeout: .seconds(10))
                _ = try lock.acquire(timeout: .milliseconds(1))
                try lock.release()
            } survivors: { lock, _ in
                try await check(lock.acquire(timeout: .zero), "the lock was not released")
            }
            #expect(report.steps.last == "word.released")
        }

        @Test func aSurvivorThatHangsIsReported() async throws {
            let error = await #expect(throws: ChaosError.self) {
                try await killAtEveryStep(timeout: .seconds(2)) {
                    try Lock()
                } operation: { lock in
                    try lock.acquire()
                    _ = try lock.acquire(timeout: .milliseconds(1))
                } survivors: { _, _ in
                    try await Task.sleep(for: .seconds(100))
                }
            }
            #expect(error?.step == "word.waiting" && error?.index == 0)
            #expect(error?.description == "step 0, word.waiting: the survivors did not go on within 2.0 seconds")
        }

        @Test func anOperationThatFailsIsReported() async throws {
            let error = await #expect(throws: ChaosError.self) {
                try await killAtEveryStep {
                    "as meant"
                } operation: { text in
                    try check(false, text)
                } survivors: { _, _ in
                }
            }
            #expect(error?.step == nil)
            #expect(error?.underlyingError is CheckFailure)
        }

        @Test func stepsByNameAndAtRandom() async throws {
            @Sendable func waits(_ plan: ChaosPlan) async throws -> Int {
                let lock = try Lock()
                let child = try ChildProcess { () -> Int in
                    plan.arm()
                    try lock.acquire()
                    let pauses = ContinuousClock().measure {
                        for _ in 0..<10 { _ = try? lock.acquire(timeout: .zero) }
                    }
                    return Int(pauses / .milliseconds(50))
                }
                try child.start()
                return try await child.value
            }
            await #expect(throws: ProcessCrash.self) {
                _ = try await waits(ChaosPlan(.kill, .named("word.waiting", occurrence: 3)))
            }
            #expect(try await waits(ChaosPlan(.kill, .named("word.waiting", occurrence: 30))) >= 0)
            #expect(try await waits(ChaosPlan(.kill, .named("none"))) >= 0)
            #expect(try await waits(ChaosPlan(.delay(.milliseconds(50)), .random(seed: 1, probability: 1))) >= 10)
            #expect(try await waits(ChaosPlan(.kill, .random(seed: 1, probability: 0))) >= 0)
        }

        @Test func namesOfSteps() throws {
            let lock = try Lock()
            try lock.acquire(timeout: .zero)
            let steps = try ChaosPlan.steps {
                _ = try lock.acquire(timeout: .zero)
                try lock.release()
            }
            #expect(steps == ["word.waiting", "word.releasing", "word.released"])
        }
    }
}
