import Dispatch
import Glibc
import MultiprocessingWire
import Synchronization
import Testing

@testable import Multiprocessing

extension ProcessTests {
    /// Those who are no workers, and workers that have gone mad.
    @Suite(.timeLimit(.minutes(2)))
    struct StreamHostileTests {
        private final class Refusals: Sendable {
            private let errors = Mutex<[StreamError]>([])
            func add(_ error: StreamError) { errors.withLock { $0.append(error) } }
            var codes: [StreamError.Code] { errors.withLock { $0.map(\.code) } }
            var text: String { errors.withLock { "\($0)" } }
        }

        /// A pool without workers of its own.
        private func pool(
            _ places: Int = 1,
            _ change: (inout StreamWorkers) -> Void = { _ in }
        ) throws -> (Pool, Refusals) {
            let refusals = Refusals()
            var stream = StreamWorkers()
            stream.launcher = .none
            stream.onRefusal = { refusals.add($0) }
            change(&stream)
            var options = PoolOptions()
            options.backend = .stream(stream)
            return (try Pool(processes: places, options: options), refusals)
        }

        private func end(_ pool: Pool) async throws {
            pool.terminate()
            #expect(try await pool.join(timeout: .seconds(30)))
        }

        /// An honest worker comes and does something.
        private func workOnce(_ pool: Pool) async throws {
            let invitation = try #require(pool.invitation)
            let worker = try ChildProcess(arguments: invitation) { invitation in
                try PoolWorkerProgram.serve(invitation)
            }
            try worker.start()
            #expect(try await pool.submit { 6 * 7 }.value == 42)
            try worker.kill()
            try await worker.join()
        }

        @Test func strangersLearnNothingAndHoldUpNobody() async throws {
            let (pool, refusals) = try pool { $0.helloTimeout = .seconds(2) }
            let token = try WorkerToken.random()
            let hello = try StreamHello.frame(of: .current(place: nil), token)
            let good = try StreamHello.frame(of: .current(place: nil), pool.invitation!.token)
            let words: [[UInt8]] = [
                Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8),
                [UInt8](repeating: 0, count: 5000),
                [UInt8](repeating: 0xff, count: 64),
                // Another secret.
                hello.front,
                // Too long a hello.
                StreamFrame(kind: .hello, head: good.head + [UInt8](repeating: 0, count: 5000)).front,
                StreamFrame(kind: .hello, head: good.head, content: [UInt8](repeating: 0, count: 1 << 20)).front,
                // No hello at all.
                StreamFrame(kind: .message, head: [1, 2, 3]).front,
                StreamFrame(kind: .beat).front,
            ]
            for bytes in words {
                let stranger = try RawWorker(pool)
                stranger.send(bytes)
                let isGone = try await onThread { stranger.isHungUp() }
                #expect(isGone, "\(bytes.prefix(20))")
            }
            // Silence, half a hello, and one byte at a time: until the time is over.
            let begin = ContinuousClock.now
            let (silent, half, slow) = (try RawWorker(pool), try RawWorker(pool), try RawWorker(pool))
            half.send(Array(good.front.dropLast(3)))
            async let dribble: Void = onThread {
                for byte in good.front.prefix(25) {
                    slow.send([byte])
                    pause(.milliseconds(100))
                }
            }
            try await workOnce(pool)
            for stranger in [silent, half, slow] {
                let isGone = try await onThread { stranger.isHungUp() }
                #expect(isGone)
            }
            #expect(ContinuousClock.now - begin >= .seconds(2))
            try await dribble
            #expect(try await eventually { refusals.codes.count == words.count + 3 })
            #expect(refusals.codes.allSatisfy { $0 == .stranger }, "\(refusals.text)")
            try await end(pool)
        }

        @Test func aCrowdOfStrangers() async throws {
            let (pool, refusals) = try pool {
                $0.maximumStrangers = 8
                $0.helloTimeout = .seconds(60)
            }
            let crowd = try (0..<40).map { _ in try RawWorker(pool) }
            try await workOnce(pool)
            // The worker as well had to have one of the eight; all are silent, and the first ones had to go.
            #expect(refusals.codes.count >= 32)
            #expect(crowd.first!.isHungUp())
            #expect(!crowd.last!.isHungUp(within: 0))
            try await end(pool)
        }

        @Test func workersThatAreNotWanted() async throws {
            let (pool, refusals) = try pool()
            let token = pool.invitation!.token
            func answer(_ frame: StreamFrame) throws -> StreamError.Code {
                let worker = try RawWorker(pool)
                worker.send(frame)
                guard let answer = worker.next() else { throw CheckFailure(text: "no answer", place: "") }
                do throws(StreamError) {
                    _ = try StreamHello.open(answer, token)
                } catch {
                    #expect(worker.isHungUp())
                    return error.code
                }
                throw CheckFailure(text: "taken in", place: "")
            }
            var other = StreamHello.Worker.current(place: nil)
            other.executable[0] ^= 1
            #expect(try answer(StreamHello.frame(of: other, token)) == .otherExecutable)
            #expect(try answer(StreamHello.frame(of: .current(place: nil), token, version: 2)) == .otherVersion)
            // A place that nobody awaits, and no place.
            #expect(try answer(StreamHello.frame(of: .current(place: 5), token)) == .noPlace)
            let first = try RawWorker(takenInBy: pool)
            #expect(try answer(StreamHello.frame(of: .current(place: nil), token)) == .noPlace)
            #expect(
                try await eventually { refusals.codes == [.otherExecutable, .otherVersion, .noPlace, .noPlace] },
                "\(refusals.text)"
            )
            // When it has gone there is a place.
            shutdown(first.file, Int32(SHUT_RDWR))
            _ = try RawWorker(takenInBy: pool)
            try await end(pool)
        }

        // MARK: Workers that were taken in

        private func loss(
            _ change: (inout StreamWorkers) -> Void = { _ in },
            task: [UInt8] = [],
            _ mischief: @escaping @Sendable (RawWorker, Int) throws -> Void
        ) async throws -> WorkerLost {
            let (pool, _) = try pool(1, change)
            let worker = try RawWorker(takenInBy: pool)
            try worker.send(PoolMessage(kind: .ready))
            let victim = try pool.submit { task.count }
            try await onThread { try mischief(worker, try worker.beginTask()) }
            let error = await #expect(throws: WorkerLost.self) { try await victim.value }
            // The next one does it.
            try await workOnce(pool)
            try await end(pool)
            return try #require(error)
        }

        @Test func aConnectionThatBreaks() async throws {
            let error = try await loss { worker, task in
                // In the middle of a frame.
                let value = PoolMessage(
                    kind: .value,
                    task: task,
                    content: TravellingBytes([UInt8](repeating: 1, count: 500_000))
                )
                let frame = try StreamMessages.frame(of: value, limit: 1 << 30)
                worker.send(Array(frame.bytes[..<300_000]))
                shutdown(worker.file, Int32(SHUT_RDWR))
            }
            #expect(error.reason == .connectionLost && error.task?.contains("task at") == true)
            #expect(error.host == StreamHello.Worker.current(place: nil).host && error.processIdentifier == getpid())
            #expect("\(error)".contains("connection lost") && "\(error)".contains("127.0.0.1:"))
        }

        @Test func garbageInTheMiddle() async throws {
            let garbage = try await loss { worker, _ in worker.send(Array("what is this, and what is it for?".utf8)) }
            #expect(garbage.reason == .malformed)
            let hello = try await loss { worker, _ in worker.send(StreamFrame(kind: .hello, head: [1])) }
            #expect(hello.reason == .malformed)
            let undecodable = try await loss { worker, _ in worker.send(StreamFrame(kind: .message, head: [9, 9, 9])) }
            #expect(undecodable.reason == .malformed)
            let tooLong = try await loss({ $0.maximumMessage = 1 << 20 }) { worker, task in
                let value = PoolMessage(
                    kind: .value,
                    task: task,
                    content: TravellingBytes([UInt8](repeating: 1, count: 2 << 20))
                )
                worker.send(try StreamMessages.frame(of: value, limit: 1 << 30).front)
            }
            #expect(tooLong.reason == .malformed && tooLong.detail?.contains("1048576") == true)
        }

        /// Messages that are well formed, and that this worker cannot have to send. Whose tasks they name is not harmed.
        @Test func whatAWorkerCannotHaveToSay() async throws {
            let mischief: [@Sendable (RawWorker, Int) throws -> Void] = [
                { worker, _ in try worker.send(PoolMessage(kind: .ready)) },
                { worker, task in try worker.send(PoolMessage(kind: .began, task: task)) },
                { worker, task in try worker.send(PoolMessage(kind: .recalled, task: task)) },
                { worker, task in try worker.send(PoolMessage(kind: .run, task: task)) },
                { worker, task in worker.send(StreamMessages.claim(0, of: task)) },
                { worker, task in worker.send(StreamMessages.claim(1, of: task + 1)) },
                { worker, task in worker.send(StreamFrame(kind: .claim, head: [1])) },
            ]
            for (number, mischief) in mischief.enumerated() {
                let error = try await loss { try mischief($0, $1) }
                #expect(error.reason == .malformed, "\(number): \(error)")
            }
            let (pool, _) = try pool(2)
            let honest = try RawWorker(takenInBy: pool)
            try honest.send(PoolMessage(kind: .ready))
            let task = try pool.submit { 5 }
            let number = try await onThread { try honest.beginTask() }
            let value = TravellingBytes(try Job.encodeResult(666))
            for kind in [PoolMessage.Kind.value, .failure, .partialResult] {
                let other = try RawWorker(takenInBy: pool)
                try other.send(PoolMessage(kind: .ready))
                try other.send(PoolMessage(kind: kind, task: number, content: value))
                #expect(try await onThread { try other.nextMessage() } == nil, "\(kind)")
            }
            #expect(!task.isReady)
            let right = TravellingBytes(try Job.encodeResult(5))
            try honest.send(PoolMessage(kind: .value, task: number, content: right))
            #expect(try await task.value == 5)
            // A second answer is one too many.
            try honest.send(PoolMessage(kind: .value, task: number, content: right))
            #expect(try await onThread { try honest.nextMessage() } == nil)
            try await end(pool)
        }

        /// A pool whose thread is held up by a function of its user's, for longer than anybody may be silent.
        @Test func aPoolThatIsBusyIsNotGone() async throws {
            var stream = StreamWorkers()
            stream.launcher = .none
            stream.silenceLimit = .milliseconds(600)
            stream.maximumStrangers = 4
            stream.helloTimeout = .milliseconds(500)
            let gate = DispatchSemaphore(value: 0)
            let isHeldUp = Atomic(false)
            stream.onRefusal = { error in
                if error.code == .stranger, !isHeldUp.exchange(true, ordering: .relaxed) { gate.wait() }
            }
            var options = PoolOptions()
            options.backend = .stream(stream)
            let pool = try Pool(processes: 2, options: options)
            let invitation = try #require(pool.invitation)
            let worker = try ChildProcess(arguments: invitation) { try PoolWorkerProgram.serve($0) }
            try worker.start()
            #expect(try await pool.apply { getpid() } == worker.processIdentifier)
            let garbage = try RawWorker(pool)
            garbage.send(Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8))
            #expect(try await eventually { isHeldUp.load(ordering: .relaxed) })
            // One that says hello in time, and a crowd behind it that does not.
            let late = try RawWorker(pool)
            late.send(try StreamHello.frame(of: .current(place: nil), invitation.token))
            let crowd = try (0..<8).map { _ in try RawWorker(pool) }
            pause(.milliseconds(1500))
            #expect(worker.isAlive)
            gate.signal()
            #expect(try await onThread { late.next()?.kind } == .welcome)
            #expect(try await pool.apply { getpid() } == worker.processIdentifier)
            withExtendedLifetime(crowd) {}
            try await end(pool)
            try await worker.join()
        }

        @Test func silence() async throws {
            let begin = ContinuousClock.now
            let error = try await loss({ $0.silenceLimit = .seconds(2) }) { _, _ in }
            #expect(error.reason == .silent)
            #expect(ContinuousClock.now - begin >= .seconds(1))
        }

        @Test func aWorkerThatDoesNotRead() async throws {
            let (pool, _) = try pool(2) { $0.silenceLimit = .seconds(4) }
            let deaf = try RawWorker(takenInBy: pool)
            try deaf.send(PoolMessage(kind: .ready))
            let isOver = Atomic(false)
            async let beats: Void = onThread {
                while !isOver.load(ordering: .relaxed) {
                    deaf.send(StreamFrame(kind: .beat))
                    pause(.milliseconds(100))
                }
            }
            let large = [UInt8](repeating: 7, count: 64 << 20)
            let begin = ContinuousClock.now
            let task = try pool.submit(retries: 1) { large.count }
            // That the worker takes nothing is nobody else's concern.
            try await workOnce(pool)
            let others = ContinuousClock.now - begin
            // It goes to another one, because the first had not begun.
            async let another: Void = workOnce(pool)
            #expect(try await task.value == 64 << 20)
            #expect(others < .seconds(30))
            isOver.store(true, ordering: .relaxed)
            try await beats
            try await another
            try await end(pool)
        }
    }
}
