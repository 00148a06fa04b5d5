import Multiprocessing
import Testing

extension ProcessTests {
    /// CPython's own tests of barriers. A failing party throws; there, it printed.
    @Suite struct BarrierPythonTests {
        static let parties = 5

        // CPython: _TestBarrier.test_barrier
        @Test(arguments: Backend.allCases) func barrier(backend: Backend) async throws {
            try await multipass(backend, rounds: 1)
        }

        // CPython: _TestBarrier.test_barrier_10
        @Test(arguments: Backend.allCases) func tenRounds(backend: Backend) async throws {
            try await multipass(backend, rounds: 10)
        }

        private func multipass(_ backend: Backend, rounds: Int) async throws {
            let barrier = try Barrier(parties: Self.parties, timeout: .seconds(30))
            try await withTemporaryDirectory { directory in
                let results = [try Tally(in: directory, "before"), try Tally(in: directory, "after")]
                _ = try await run(backend) {
                    for round in 0..<rounds {
                        try results[0].add()
                        try check(results[1].count, is: round * barrier.parties)
                        try barrier.wait()
                        try results[1].add()
                        try check(results[0].count, is: (round + 1) * barrier.parties)
                        try barrier.wait()
                    }
                    try check(barrier.waitingCount, is: 0)
                    try check(!barrier.isBroken)
                }
            }
        }

        // CPython: _TestBarrier.test_wait_return
        @Test(arguments: Backend.allCases) func indices(backend: Backend) async throws {
            let barrier = try Barrier(parties: Self.parties, timeout: .seconds(30))
            let indices = try await run(backend) { try barrier.wait() }
            #expect(indices.sorted() == [0, 1, 2, 3, 4])
        }

        // CPython: _TestBarrier.test_action
        @Test(arguments: Backend.allCases) func action(backend: Backend) async throws {
            let barrier = try Barrier(parties: Self.parties, timeout: .seconds(30))
            try await withTemporaryDirectory { directory in
                let results = try Tally(in: directory, "results")
                _ = try await run(backend) {
                    try barrier.wait { try results.add() }
                    try check(results.count, is: 1)
                }
                #expect(results.count == 1)
            }
        }

        // CPython: _TestBarrier.test_abort
        @Test(arguments: Backend.allCases) func abort(backend: Backend) async throws {
            let barrier = try Barrier(parties: Self.parties, timeout: .seconds(30))
            let results = try await run(backend) { try abortInTheMiddle(barrier) }
            #expect(results.filter { $0 == "passed" }.isEmpty)
            #expect(results.filter { $0 == "broken" }.count == Self.parties - 1)
            #expect(barrier.isBroken)
        }

        // CPython: _TestBarrier.test_reset
        @Test(arguments: Backend.allCases) func reset(backend: Backend) async throws {
            let barrier = try Barrier(parties: Self.parties, timeout: .seconds(30))
            let results = try await run(backend) {
                var result = "reset"
                if try barrier.wait() == Self.parties / 2 {
                    // Until the others are all in the barrier.
                    try check(eventually(within: .seconds(20)) { barrier.waitingCount == Self.parties - 1 })
                    barrier.reset()
                } else {
                    result = try secondWait(barrier)
                }
                // Now pass it again.
                try barrier.wait()
                return result
            }
            #expect(results.filter { $0 == "passed" }.isEmpty)
            #expect(results.filter { $0 == "broken" }.count == Self.parties - 1)
            #expect(results.count == Self.parties)
        }

        // CPython: _TestBarrier.test_abort_and_reset
        @Test(arguments: Backend.allCases) func abortAndReset(backend: Backend) async throws {
            let barrier = try Barrier(parties: Self.parties, timeout: .seconds(30))
            let second = try Barrier(parties: Self.parties)
            let results = try await run(backend) {
                let result = try abortInTheMiddle(barrier)
                // Everyone has left it when it is reset, and no one enters it before.
                if try second.wait(timeout: .seconds(30)) == Self.parties / 2 { barrier.reset() }
                try second.wait(timeout: .seconds(30))
                try barrier.wait()
                return result
            }
            #expect(results.filter { $0 == "passed" }.isEmpty)
            #expect(results.filter { $0 == "broken" }.count == Self.parties - 1)
            #expect(results.count == Self.parties)
        }

        // CPython: _TestBarrier.test_timeout
        @Test(arguments: Backend.allCases) func barrierTimeout(backend: Backend) async throws {
            let barrier = try Barrier(parties: Self.parties, timeout: .seconds(30))
            let results = try await run(backend) {
                // One is late.
                if try barrier.wait() == Self.parties / 2 { pause(.seconds(1)) }
                return try secondWait(barrier, timeout: .milliseconds(500))
            }
            #expect(results == Array(repeating: "broken", count: Self.parties))
        }

        // CPython: _TestBarrier.test_default_timeout
        @Test(arguments: Backend.allCases) func defaultTimeout(backend: Backend) async throws {
            let barrier = try Barrier(parties: Self.parties, timeout: .milliseconds(500))
            let results = try await run(backend) {
                if try barrier.wait(timeout: .seconds(30)) == Self.parties / 2 { pause(.seconds(1)) }
                return try secondWait(barrier)
            }
            #expect(results == Array(repeating: "broken", count: Self.parties))
        }

        // CPython: _TestBarrier.test_single_thread
        @Test func singleParty() async throws {
            let barrier = try Barrier(parties: 1)
            #expect(try await barrier.wait() == 0)
            #expect(try await barrier.wait() == 0)
        }

        // CPython: _TestBarrier.test_thousand
        @Test(arguments: Backend.allCases) func thousandRounds(backend: Backend) async throws {
            let barrier = try Barrier(parties: Self.parties, timeout: .seconds(30))
            let rounds = 1000
            try await withTemporaryDirectory { directory in
                let results = try Tally(in: directory, "results")
                _ = try await run(backend) {
                    for round in 0..<rounds {
                        try barrier.wait()
                        // Those of this round are five at most, and those of the round before are all there.
                        try check((round * 5..<round * 5 + 5).contains(results.count), "\(results.count) in \(round)")
                        try results.add()
                    }
                }
                #expect(results.count == rounds * Self.parties)
            }
        }

        /// Runs `body` for each party, one of them on a thread of this process; returns what they returned.
        private func run<Success: Sendable>(
            _ backend: Backend,
            _ body: @escaping @Sendable () throws -> Success
        ) async throws -> [Success] {
            let others = try (1..<Self.parties).map { _ in try backend.run(body) }
            var results = [try await onThread(body)]
            for other in others { results.append(try await other.value()) }
            return results
        }
    }
}

/// Passes once; then one party, instead of coming again, aborts the barrier.
@Sendable private func abortInTheMiddle(_ barrier: Barrier) throws -> String {
    do {
        if try barrier.wait() == barrier.parties / 2 {
            barrier.abort()
            return "aborted"
        }
    } catch let error as SharedStateError where error.code == .broken {
        return "broken"
    }
    return try secondWait(barrier)
}

@Sendable private func secondWait(_ barrier: Barrier, timeout: Duration? = nil) throws -> String {
    do {
        try barrier.wait(timeout: timeout)
        return "passed"
    } catch let error as SharedStateError where error.code == .broken {
        return "broken"
    }
}
