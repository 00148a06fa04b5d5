import Multiprocessing
import MultiprocessingTestKit
import Testing

extension ProcessTests {
    /// Processes that are killed and come again.
    @Suite struct StormTests {
        @Test(arguments: [StartMethod.forkServer, .fork]) func aLockInAStorm(method: StartMethod) async throws {
            // By itself, because it looks for leaks.
            let deaths = try await isolated { () async throws in
                let lock = try Lock()
                var storm = Storm(seed: 7, duration: .seconds(2))
                storm.startMethod = method
                let body: @Sendable (Storm.Sky) throws -> Void = { sky in
                    while !sky.isClear {
                        try check(lock.acquire(timeout: .seconds(20)), "the lock is lost")
                        try lock.release()
                    }
                }
                let report = try await LeakCheck.expectNoLeaks { try await storm.run([body, body, body]) }
                try await check(lock.acquire(timeout: .seconds(10)))
                return report.deaths
            }
            #expect(deaths.count == 3)
            #expect(deaths.reduce(0, +) > 5)
        }

        @Test func incarnationsCountAndTheDoneStayDone() async throws {
            var storm = Storm(seed: 1, duration: .milliseconds(500))
            storm.pauses = .milliseconds(20) ... .milliseconds(20)
            let report = try await storm.run([
                { sky in if sky.incarnation < 2 { sleepForever() } },
                { sky in try check(sky.index, is: 1) },
            ])
            #expect(report.deaths[0] <= 2)
        }

        @Test func whatFailsIsReported() async throws {
            let failure = await #expect(throws: Storm.Failure.self) {
                _ = try await Storm(seed: 1, duration: .milliseconds(300)).run([
                    { sky in while !sky.isClear { pause(.milliseconds(1)) } },
                    { _ in try check(false, "as meant") },
                ])
            }
            #expect(failure?.index == 1)
            #expect(failure?.underlyingError is CheckFailure)
        }

        @Test func whatDoesNotEndIsReported() async throws {
            var storm = Storm(seed: 1, duration: .milliseconds(100))
            storm.calmTimeout = .seconds(1)
            let calmStorm = storm
            let failure = await #expect(throws: Storm.Failure.self) {
                _ = try await calmStorm.run([{ _ in sleepForever() }])
            }
            #expect(failure?.description == "body 0, seed 1: did not end within 1.0 seconds of the storm's end")
        }
    }
}
