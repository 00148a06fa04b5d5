import Glibc
import MultiprocessingWire
import Synchronization
import Testing

@testable import Multiprocessing

extension ProcessTests {
    /// What is lost of a chunk with its worker: what may have begun, and has not come back.
    @Suite(.timeLimit(.minutes(2)))
    struct StreamPositionTests {
        @Test func onlyTheItemThatEndsItsWorkerIsLost() async throws {
            try await withTemporaryDirectory { directory in
                let file = "\(directory)/begun"
                close(creat(file, 0o600))
                var options = PoolOptions()
                options.backend = .stream()
                var values: [Int] = []
                var failed: [Int: any Error] = [:]
                try await withPool(processes: 1, options: options) { pool async throws in
                    let results = try pool.imap(0..<8, chunkSize: 8) { item in
                        let log = open(file, O_WRONLY | O_APPEND)
                        write(log, "\(item)", 1)
                        close(log)
                        pause(.milliseconds(30))
                        if item == 4 { kill(getpid(), SIGKILL) }
                        return item * 10
                    }
                    for try await outcome in results.outcomes {
                        switch outcome.result {
                        case .success(let value): values.append(value)
                        case .failure(let error): failed[outcome.index] = error
                        }
                    }
                }
                #expect(values == [0, 10, 20, 30, 50, 60, 70] && failed.keys.sorted() == [4])
                #expect((failed[4] as? ProcessCrash)?.item == 4)
                #expect(text(of: file) == "01234567")
            }
        }

        /// A worker of nobody's has a chunk of ten, sends values of three, says what else may have begun, and goes.
        private func lost(
            retries: Int = 0,
            claiming claim: Int?,
            _ end: @escaping @Sendable (RawWorker) -> Void
        ) async throws -> (failed: [Int: any Error], elsewhere: [Int]) {
            var stream = StreamWorkers()
            stream.launcher = .none
            stream.silenceLimit = .seconds(1)
            var options = PoolOptions()
            options.backend = .stream(stream)
            let pool = try Pool(processes: 1, options: options)
            let raw = try RawWorker(takenInBy: pool)
            try raw.send(PoolMessage(kind: .ready))
            let invitation = try #require(pool.invitation)
            async let worker: Void = onThread {
                let task = try raw.beginTask()
                if let claim {
                    let part = try Job.encodeResult(ChunkResult(offset: 0, values: [0, 1, 2], error: nil))
                    try raw.send(PoolMessage(kind: .partialResult, task: task, content: TravellingBytes(part)))
                    raw.send(StreamMessages.claim(claim, of: task))
                }
                end(raw)
                let honest = try ChildProcess(arguments: invitation) { try PoolWorkerProgram.serve($0) }
                try honest.start()
                try honest.join()
            }
            var failed: [Int: any Error] = [:]
            var elsewhere: [Int] = []
            let results = try pool.imap(0..<10, chunkSize: 10, retries: retries) { $0 + 100 }.outcomes
            for try await outcome in results {
                switch outcome.result {
                case .success(let value): if value >= 100 { elsewhere.append(outcome.index) }
                case .failure(let error): failed[outcome.index] = error
                }
            }
            pool.close()
            try await worker
            #expect(try await pool.join(timeout: .seconds(30)))
            return (failed, elsewhere)
        }

        @Test func whatMayHaveBegunIsLostAndTheRestRunsElsewhere() async throws {
            let hangUp: @Sendable (RawWorker) -> Void = { shutdown($0.file, Int32(SHUT_RDWR)) }
            var end = try await lost(claiming: 5, hangUp)
            #expect(end.failed.keys.sorted() == [3, 4] && end.elsewhere == [5, 6, 7, 8, 9])
            #expect(end.failed.values.allSatisfy { ($0 as? WorkerLost)?.reason == .connectionLost })
            end = try await lost(claiming: 4, hangUp)
            #expect(end.failed.keys.sorted() == [3] && (end.failed[3] as? WorkerLost)?.item == 3)
            // Everything that it had claimed has come back; or nothing was claimed.
            end = try await lost(claiming: 3, hangUp)
            #expect(end.failed.isEmpty && end.elsewhere == [3, 4, 5, 6, 7, 8, 9])
            end = try await lost(claiming: nil, hangUp)
            #expect(end.failed.isEmpty && end.elsewhere == Array(0..<10))
            end = try await lost(retries: 1, claiming: 5, hangUp)
            #expect(end.failed.isEmpty && end.elsewhere == [3, 4, 5, 6, 7, 8, 9])
        }

        /// Nobody knows how far it goes on.
        @Test func ofOneThatFallsSilentEverythingIsLost() async throws {
            let end = try await lost(claiming: 5) { raw in while raw.next() != nil {} }
            #expect(end.failed.keys.sorted() == [3, 4, 5, 6, 7, 8, 9] && end.elsewhere.isEmpty)
            #expect(end.failed.values.allSatisfy { ($0 as? WorkerLost)?.reason == .silent })
        }
    }
}
