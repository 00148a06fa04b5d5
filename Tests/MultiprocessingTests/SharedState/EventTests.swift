import Foundation
import Multiprocessing
import Testing

extension ProcessTests {
    @Suite struct EventTests {
        @Test func looks() async throws {
            let event = try Event()
            #expect(!event.isSet)
            #expect("\(event)" == "<Event unset>")
            event.clear()
            #expect(!event.isSet)
            event.set()
            event.set()
            #expect(event.isSet)
            #expect("\(event)" == "<Event set>")
            #expect(try await event.wait())
            event.clear()
            #expect(!event.isSet)
            #expect(try await event.wait(timeout: .zero) == false)
            #expect(try await event.wait(timeout: .seconds(-1)) == false)
            #expect(try await event.wait(timeout: .milliseconds(20)) == false)
            #expect(try await onThread { try event.wait(timeout: .milliseconds(20)) } == false)
        }

        @Test(arguments: Backend.allCases) func wakesEverybody(backend: Backend) async throws {
            let (event, ready) = (try Event(), try Event())
            let waiters = try (0..<3).map { _ in
                try backend.run {
                    try ready.wait(timeout: .seconds(20)) && event.wait(timeout: .seconds(20))
                }
            }
            async let here = event.wait(timeout: .seconds(20))
            ready.set()
            try await Task.sleep(for: .milliseconds(30))
            event.set()
            for waiter in waiters { #expect(try await waiter.value()) }
            #expect(try await here)
        }

        /// Those who wait are woken by an event that is unset again before they look.
        @Test(arguments: Backend.allCases) func pulses(backend: Backend) async throws {
            let (event, ready) = (try Event(), try Event())
            let waiters = try (0..<3).map { _ in
                try backend.run {
                    ready.set()
                    return try event.wait(timeout: .seconds(30))
                }
            }
            async let here = event.wait(timeout: .seconds(30))
            #expect(try await ready.wait(timeout: .seconds(30)))
            let isOver = try await eventually(within: .seconds(20)) {
                event.set()
                event.clear()
                return waiters.allSatisfy { !$0.isAlive }
            }
            #expect(isOver)
            for waiter in waiters { #expect(try await waiter.value()) }
            #expect(try await here)
        }

        /// However quickly pulses follow each other, those who came before one are let go by it.
        @Test func pulsesInARow() async throws {
            let (event, done) = (try Event(), try Event())
            let waiter = try Backend.forkServer.run {
                var count = 0
                while !done.isSet, try event.wait(timeout: .seconds(20)) { count += 1 }
                return count
            }
            #expect(
                try await eventually(within: .seconds(30)) {
                    for _ in 0..<100_000 {
                        event.set()
                        event.clear()
                    }
                    done.set()
                    return !waiter.isAlive
                }
            )
            _ = try await waiter.value()
        }

        @Test func cancellation() async throws {
            let event = try Event()
            let task = Task { try await event.wait() }
            try await Task.sleep(for: .milliseconds(20))
            task.cancel()
            await #expect(throws: CancellationError.self) { try await task.value }
            event.set()
            // What is so needs no waiting.
            let late = Task {
                withUnsafeCurrentTask { $0?.cancel() }
                return try await event.wait()
            }
            #expect(try await late.value)
        }

        @Test func manyTasks() async throws {
            let event = try Event()
            try await withThrowingTaskGroup(of: Bool.self) { group in
                for index in 0..<400 {
                    group.addTask { try await event.wait(timeout: .milliseconds(index % 4 == 0 ? 5 : 30_000)) }
                }
                try await Task.sleep(for: .milliseconds(60))
                event.set()
                var woken = 0
                for try await isSet in group where isSet { woken += 1 }
                #expect(woken >= 300)
            }
        }

        @Test func goesToProcessesOnly() throws {
            let event = try Event()
            #expect(throws: SharedStateError.self) { try JSONEncoder().encode(event) }
            #expect(throws: (any Error).self) {
                try JSONDecoder().decode(Event.self, from: Data(#"{"file":0,"offset":64,"count":64}"#.utf8))
            }
        }

        /// Processes, threads and tasks that wait, give up and are cancelled, while it is set and unset.
        @Test func stress() async throws {
            let (event, over) = (try Event(), try Event())
            @Sendable func worker() throws -> Int {
                var random = SystemRandomNumberGenerator()
                var woken = 0
                while !over.isSet {
                    let timeout = Duration.microseconds(Int.random(in: 0..<3000, using: &random))
                    if try event.wait(timeout: timeout) { woken += 1 }
                    switch Int.random(in: 0..<3, using: &random) {
                    case 0: event.set()
                    case 1: event.clear()
                    default: break
                    }
                }
                return woken
            }
            let workers = try [.forkServer, .fork, .threads, .threads].map { (backend: Backend) in
                try backend.run { try worker() }
            }
            let end = ContinuousClock.now + .seconds(2)
            while ContinuousClock.now < end {
                let tasks = (0..<20).map { index in
                    Task { try await event.wait(timeout: .milliseconds(index)) }
                }
                for task in tasks where Bool.random() { task.cancel() }
                for task in tasks { _ = await task.result }
            }
            // The last one to clear it is over by then.
            over.set()
            for worker in workers { #expect(try await worker.value() > 0) }
            event.set()
            #expect(try await event.wait(timeout: .zero))
        }
    }

    @Suite(.enabled(if: Chaos.isAvailable)) struct EventChaosTests {
        @Test func setter() async throws {
            try await Victim.atEveryStep { step in
                let event = try Event()
                let waiters = try (0..<2).map { _ in try Backend.threads.run { try event.wait(timeout: .seconds(20)) } }
                async let task = event.wait(timeout: .seconds(20))
                try await Task.sleep(for: .milliseconds(10))
                let survived = try await Victim(killedAt: step) { event.set() }.survives()
                // As if it had set it, or as if it had not; in the latter case another does.
                if !event.isSet { event.set() }
                for waiter in waiters { try check(try await waiter.value()) }
                try check(try await task)
                return survived
            }
        }

        @Test func waiterAndClearer() async throws {
            try await Victim.atEveryStep { step in
                let event = try Event()
                let survived = try await Victim(killedAt: step) {
                    try event.wait(timeout: .milliseconds(30))
                    event.set()
                    event.clear()
                    event.set()
                }.survives()
                event.clear()
                let waiter = try Backend.threads.run { try event.wait(timeout: .seconds(20)) }
                try check(try await event.wait(timeout: .milliseconds(1)) == false)
                event.set()
                try check(try await waiter.value())
                return survived
            }
        }
    }
}
