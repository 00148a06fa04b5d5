import Foundation
import Multiprocessing
import MultiprocessingTestKit
import Testing

extension ProcessTests {
    /// CPython's tests of queues.
    @Suite struct QueuePythonTests {
        // CPython: _TestQueue.test_put
        @Test(arguments: Backend.allCases) func put(backend: Backend) async throws {
            let queue = try Queue<Int>(maximumCount: 6)
            let (start, done) = (try Queue<Bool>(), try Queue<Bool>())
            let child = try backend.run {
                _ = try start.get(timeout: .seconds(20))
                for _ in 0..<6 { _ = try queue.get(timeout: .seconds(20)) }
                try done.put(true)
            }
            #expect(try queue.isEmpty && !queue.isFull)
            try await queue.put(1)
            try await queue.put(2, timeout: nil)
            try await queue.put(3, timeout: .seconds(1))
            try await queue.put(4, timeout: .zero)
            try queue.putImmediately(5)
            try await onThread { try queue.put(6) }
            #expect(try !queue.isEmpty && queue.isFull)
            try check(queueThrows: .full) { try queue.putImmediately(7) }
            for timeout in [Duration.milliseconds(200), .zero, .seconds(-1)] {
                let time = try await ContinuousClock().measure {
                    try await onThread { try check(queueThrows: .full) { try queue.put(7, timeout: timeout) } }
                    await #expect(throws: SharedStateError.self) { try await queue.put(7, timeout: timeout) }
                }
                #expect(time >= timeout * 2 && time < .seconds(10))
            }
            try await start.put(true)
            #expect(try await done.get(timeout: .seconds(20)))
            #expect(try queue.isEmpty && !queue.isFull)
            try await child.value()
        }

        // CPython: _TestQueue.test_get
        @Test(arguments: Backend.allCases) func get(backend: Backend) async throws {
            let queue = try Queue<Int>()
            let (start, done) = (try Queue<Bool>(), try Queue<Bool>())
            let child = try backend.run {
                _ = try start.get(timeout: .seconds(20))
                for number in 2...5 { try queue.put(number) }
                try done.put(true)
            }
            #expect(try queue.isEmpty)
            try await start.put(true)
            #expect(try await done.get(timeout: .seconds(20)))
            #expect(try !queue.isEmpty)
            #expect(try await queue.get(timeout: nil) == 2)
            #expect(try await onThread { try queue.get() } == 3)
            #expect(try await queue.get(timeout: .seconds(1)) == 4)
            #expect(try queue.getImmediately() == 5)
            #expect(try queue.isEmpty)
            try check(queueThrows: .empty) { _ = try queue.getImmediately() }
            for timeout in [Duration.milliseconds(200), .zero, .seconds(-1)] {
                let time = try await ContinuousClock().measure {
                    try await onThread { try check(queueThrows: .empty) { _ = try queue.get(timeout: timeout) } }
                    await #expect(throws: SharedStateError.self) { try await queue.get(timeout: timeout) }
                }
                #expect(time >= timeout * 2 && time < .seconds(10))
            }
            try await child.value()
        }

        // CPython: _TestQueue.test_fork
        @Test(arguments: Backend.allCases) func fork(backend: Backend) async throws {
            let queue = try Queue<Int>()
            for number in 0..<10 { try await queue.put(number) }
            let child = try backend.run { for number in 10..<20 { try queue.put(number) } }
            for number in 0..<20 { #expect(try await queue.get(timeout: .seconds(20)) == number) }
            try check(queueThrows: .empty) { _ = try queue.getImmediately() }
            try await child.value()
        }

        // CPython: _TestQueue.test_qsize
        @Test func qsize() async throws {
            let queue = try Queue<Int>()
            #expect(try queue.count == 0)
            try await queue.put(1)
            #expect(try queue.count == 1)
            try await queue.put(5)
            #expect(try queue.count == 2)
            _ = try await queue.get()
            #expect(try queue.count == 1)
            _ = try await queue.get()
            #expect(try queue.count == 0)
        }

        // CPython: _TestQueue.test_task_done
        @Test(arguments: Backend.allCases) func taskDone(backend: Backend) async throws {
            let queue = try Queue<Int?>()
            let workers = try (0..<4).map { _ in
                try backend.run {
                    while try queue.get(timeout: .seconds(20)) != nil {
                        pause(.milliseconds(20))
                        try queue.taskDone()
                    }
                    try queue.taskDone()
                }
            }
            for number in 0..<10 { try await queue.put(number) }
            #expect(try await queue.join(timeout: .milliseconds(1)) == false)
            #expect(try await queue.join(timeout: .seconds(20)))
            #expect(try await onThread { try queue.join(timeout: .seconds(20)) })
            for _ in workers { try await queue.put(nil) }
            for worker in workers { try await worker.value() }
            #expect(try await queue.join(timeout: .seconds(20)))
            try check(queueThrows: .overReleased) { try queue.taskDone() }
        }

        // CPython: _TestQueue.test_timeout
        @Test func queueTimeout() async throws {
            let queue = try Queue<Int>()
            let time = try await ContinuousClock().measure {
                try await onThread { try check(queueThrows: .empty) { _ = try queue.get(timeout: .milliseconds(200)) } }
            }
            #expect(time >= .milliseconds(200))
        }

        /// What cannot be encoded.
        struct Unencodable: Codable, Sendable {
            var fails = true
            func encode(to encoder: any Encoder) throws {
                if fails { throw CheckFailure(text: "not serialisable", place: "") }
                _ = encoder.unkeyedContainer()
            }
            init(fails: Bool) { self.fails = fails }
            init(from decoder: any Decoder) throws { fails = false }
        }

        // CPython: _TestQueue.test_queue_feeder_donot_stop_onexc
        @Test func encodingErrorsLeaveTheQueueAlone() async throws {
            let queue = try Queue<Unencodable>(maximumCount: 1)
            await #expect(throws: CheckFailure.self) { try await queue.put(Unencodable(fails: true)) }
            // No slot was used up.
            try await queue.put(Unencodable(fails: false), timeout: .zero)
            #expect(try await queue.get(timeout: .seconds(1)).fails == false)
        }

        // CPython: _TestQueue.test_queue_feeder_on_queue_feeder_error
        // Adapted: put itself throws, where CPython calls a hook in its feeder thread.
        @Test func putThrowsTheEncodingError() async throws {
            let queue = try Queue<Unencodable>()
            do {
                try queue.putImmediately(Unencodable(fails: true))
                Issue.record("nothing was thrown")
            } catch let error as CheckFailure {
                #expect(error.text == "not serialisable")
            }
            try await queue.put(Unencodable(fails: false))
            _ = try await queue.get(timeout: .seconds(1))
        }

        // CPython: _TestQueue.test_closed_queue_empty_exceptions
        // Adapted: after close, isEmpty is an error whether the queue was used or not.
        @Test func closedQueueIsNeitherEmptyNorFull() throws {
            for isUsed in [false, true] {
                let queue = try Queue<Int>()
                if isUsed { try queue.putImmediately(1) }
                queue.close()
                try check(queueThrows: .closed) { _ = try queue.isEmpty }
            }
        }

        // CPython: _TestQueue.test_closed_queue_put_get_exceptions
        @Test func closedQueueTakesAndGivesNothing() async throws {
            let queue = try Queue<Int>()
            queue.close()
            try check(queueThrows: .closed) { try queue.putImmediately(1) }
            try check(queueThrows: .closed) { _ = try queue.getImmediately() }
            await #expect(throws: SharedStateError.self) { try await queue.put(1) }
            await #expect(throws: SharedStateError.self) { try await queue.get() }
        }

        // CPython: TestSimpleQueue.test_empty_exceptions
        @Test func simpleQueueClosed() throws {
            let queue = try Queue<Int>()
            queue.close()
            try check(queueThrows: .closed) { _ = try queue.isEmpty }
        }

        // CPython: TestSimpleQueue.test_empty
        @Test(arguments: Backend.allCases) func simpleQueue(backend: Backend) async throws {
            let queue = try Queue<Bool>()
            let (start, done) = (try Queue<Bool>(), try Queue<Bool>())
            let child = try backend.run {
                _ = try start.get(timeout: .seconds(20))
                try queue.put(queue.isEmpty)
                try queue.put(queue.isEmpty)
                try done.put(true)
            }
            #expect(try queue.isEmpty)
            try await start.put(true)
            #expect(try await done.get(timeout: .seconds(20)))
            #expect(try !queue.isEmpty)
            #expect(try await queue.get() == true)
            #expect(try await queue.get() == false)
            #expect(try queue.isEmpty)
            try await child.value()
        }

        // CPython: TestSimpleQueue.test_close
        @Test func simpleQueueCloses() throws {
            let queue = try Queue<Int>()
            queue.close()
            queue.close()
        }

        // CPython: TestStdinBadfiledescriptor.test_queue_in_process
        @Test func queueInAProcess() async throws {
            let child = try ChildProcess {
                let queue = try Queue<Int>()
                let inner = try ChildProcess { try queue.put(1) }
                try inner.start()
                try check(queue.get(timeout: .seconds(20)), is: 1)
                try check(inner.join(timeout: .seconds(20)))
            }
            try child.start()
            try await child.value
        }

        // CPython: TestStartMethod.test_mixed_startmethod
        @Test func childrenOfDifferentMethodsShareAQueue() async throws {
            // Python refuses it: its locks are of one method. Here a handle goes to children of any.
            let queue = try Queue<Int>()
            let children = try StartMethod.allCases.enumerated().map { index, method in
                try ChildProcess(startMethod: method) { try queue.put(index) }
            }
            for child in children { try child.start() }
            for child in children { try await child.value }
            var found: Set<Int> = []
            for _ in children { found.insert(try await queue.get(timeout: .seconds(20))) }
            #expect(found == [0, 1, 2])
        }
    }
}
