import Glibc
import MultiprocessingTestKit
import Synchronization
import SystemPackage
import Testing

@testable import Multiprocessing

private struct Refused: Error, Codable, Equatable {}

/// Of this process; other sockets it needs to stay alive.
private func endNetworkConnections() {
    for file in Int32(3)..<256 {
        var address = sockaddr()
        var size = socklen_t(MemoryLayout<sockaddr>.size)
        if getpeername(file, &address, &size) == 0, address.sa_family == sa_family_t(AF_INET) {
            shutdown(file, Int32(SHUT_RDWR))
        }
    }
}

extension ProcessTests {
    /// Pools whose workers come over sockets. What all pools have in common is in the other suites, over `Backend.stream`.
    @Suite(.timeLimit(.minutes(3)))
    struct StreamPoolTests {
        private func options(_ change: (inout StreamWorkers) -> Void = { _ in }) -> PoolOptions {
            var stream = StreamWorkers()
            change(&stream)
            var options = PoolOptions()
            options.backend = .stream(stream)
            return options
        }

        /// A process that comes by itself.
        private func worker(_ invitation: WorkerInvitation?) throws -> ChildProcess<String> {
            let invitation = try #require(invitation)
            let child = try ChildProcess(arguments: invitation) { invitation in
                do {
                    try PoolWorkerProgram.serve(invitation)
                    return "let go"
                } catch let error as StreamError {
                    return "\(error.code)"
                }
            }
            try child.start()
            return child
        }

        @Test(arguments: [false, true]) func valuesErrorsAndCrashes(overUnixSocket: Bool) async throws {
            try await withTemporaryDirectory { directory in
                let path = "\(directory)/pool"
                let options = self.options { if overUnixSocket { $0.address = .unix(path) } }
                try await withPool(processes: 2, options: options) { pool async throws in
                    let base = 40
                    #expect(try await pool.apply { base + 2 } == 42)
                    await #expect(throws: Refused()) { try await pool.apply { throw Refused() } }
                    let crash = await #expect(throws: ProcessCrash.self) {
                        try await pool.apply { () -> Int in fatalError("on purpose") }
                    }
                    #expect(crash?.message?.contains("on purpose") == true && crash?.task?.contains("task at") == true)
                    let large = [Int](0..<1_000_000)
                    #expect(try await pool.apply { large.map { $0 + 1 } } == large.map { $0 + 1 })
                    #expect(try await pool.map(0..<1000) { $0 * 2 } == (0..<1000).map { $0 * 2 })
                    #expect(pool.snapshot.workers.allSatisfy { $0.processIdentifier != nil })
                }
                #expect(state(of: path) == nil)
            }
        }

        private func state(of path: String) -> Int32? {
            var status = stat()
            return stat(path, &status) == 0 ? 0 : nil
        }

        @Test func aTaskThatTakesTooLongAndOneThatNobodyWants() async throws {
            try await withPool(processes: 1, options: options()) { pool async throws in
                try await check(pool: .timedOut) {
                    try await pool.submit(timeout: .milliseconds(200)) { () -> Int in sleepForever() }.value
                }
                let waiting = try pool.submit { () -> Int in sleepForever() }
                #expect(try await eventually(within: .seconds(30)) { waiting.state == .running })
                waiting.cancel()
                #expect(try await pool.apply { 1 } == 1)
            }
        }

        @Test func handlesStayAndAreNamed() async throws {
            let (lock, queue, event) = (try Lock(), try Queue<Int>(), try Event())
            try await withPool(processes: 1, options: options()) { pool async throws in
                func message(_ body: () async throws -> Void) async -> String {
                    let error = await #expect(throws: PoolError.self) { try await body() }
                    #expect(error?.code == .cannotTravel)
                    return error?.message ?? ""
                }
                // As a capture, in a function for many items, as an item, and as a result.
                #expect(
                    await message { _ = try await pool.apply { try lock.acquire(timeout: .zero) } }.contains("A lock")
                )
                #expect(await message { _ = try await pool.map(0..<10) { _ in try queue.count } }.contains("A queue"))
                #expect(await message { _ = try await pool.map([event]) { _ in 1 } }.contains("A event"))
                #expect(await message { _ = try await pool.apply { try Lock() } }.contains("A lock"))
                // Nothing else minds, in any order.
                let tasks = try (0..<20).map { number in
                    number % 3 == 0
                        ? try pool.submit {
                            try lock.acquire()
                            return number
                        } : try pool.submit { number }
                }
                for (number, task) in tasks.enumerated() where number % 3 != 0 {
                    #expect(try await task.value == number)
                }
            }
            try await check(pool: .cannotTravel) { try Pool(processes: 1, options: options()) { event.set() } }
        }

        @Test func messagesThatAreTooLong() async throws {
            let options = self.options { $0.maximumMessage = 1 << 20 }
            try await withPool(processes: 1, options: options) { pool async throws in
                let large = [UInt8](repeating: 1, count: 2 << 20)
                try await check(pool: .cannotTravel) { try await pool.apply { large.count } }
                try await check(pool: .cannotTravel) {
                    try await pool.apply { [UInt8](repeating: 1, count: 2 << 20) }
                }
                let small = [UInt8](repeating: 1, count: 900_000)
                #expect(try await pool.apply { small } == small)
            }
        }

        @Test func anInitializerThatIsTooLong() async throws {
            let options = self.options { $0.maximumMessage = 1 << 20 }
            let large = [UInt8](repeating: 1, count: 2 << 20)
            try await check(pool: .cannotTravel) { try Pool(processes: 1, options: options) { _ = large.count } }
        }

        /// The pool lets go of a worker that has ended its stream, and of which it waits for the end.
        @Test func theReasonStaysWhereTheWorkerIsNotWantedAnyMore() async throws {
            let pool = try Pool(processes: 2, options: options())
            let tasks = try (0..<2).map { _ in
                try pool.submit { () -> Int in
                    pause(.milliseconds(200))
                    endNetworkConnections()
                    pause(.milliseconds(700))
                    _exit(7)
                }
            }
            #expect(try await eventually(within: .seconds(20)) { tasks.allSatisfy { $0.state == .running } })
            pause(.milliseconds(400))
            try pool.resize(to: 1)
            for task in tasks {
                let error = await #expect(throws: (any Error).self) { try await task.value }
                #expect(!(error is PoolError), "\(String(describing: error))")
            }
            pool.terminate()
            #expect(try await pool.join(timeout: .seconds(30)))
        }

        @Test func anInitializerThatFails() async throws {
            let pool = try Pool(processes: 2, options: options()) { throw Refused() }
            let error = await #expect(throws: PoolError.self) { try await pool.apply { 1 } }
            #expect(error?.code == .workersFail && error?.message.contains("Refused") == true)
            #expect(try await pool.join(timeout: .seconds(30)))
        }

        @Test func whatMakesNoSense() async throws {
            func code(_ change: (inout StreamWorkers) -> Void) -> StreamError.Code? {
                let error = #expect(throws: StreamError.self) { try Pool(processes: 2, options: options(change)) }
                return error?.code
            }
            #expect(code { $0.address = .tcp(host: "0.0.0.0") } == .invalidArgument)
            #expect(code { $0.address = .tcp(host: "no.such.host.invalid") } == .invalidArgument)
            #expect(code { $0.address = .unix("/no/such/directory/pool") } == .invalidArgument)
            #expect(code { $0.silenceLimit = .zero } == .invalidArgument)
            #expect(code { $0.advertisedHost = "not a host" } == .invalidArgument)
            #expect(code { $0.address = .unix("/tmp/two\nlines") } == .invalidArgument)
            #expect(code { $0.maximumMessage = 0 } == .invalidArgument)
            #expect(code { $0.launchedWorkers = 3 } == .invalidArgument)
            let pool = try Pool(processes: 1, options: options())
            let port = try #require(pool.invitation?.address.port)
            #expect(code { $0.address = .tcp(port: port) } == .addressInUse)
            pool.terminate()
            #expect(try await pool.join(timeout: .seconds(30)))
            #expect(throws: StreamError.self) { try withPlainPool { try $0.attach(.standardInput) } }
            // Nobody listens there any more.
            let late = try worker(WorkerInvitation(address: .tcp(port: port), token: .random()))
            #expect(try await late.value == "unreachable")
            let open = self.options {
                $0.address = .tcp(host: "0.0.0.0")
                $0.allowsUnencryptedNetwork = true
                $0.advertisedHost = "127.0.0.1"
            }
            try await withPool(processes: 1, options: open) { pool async throws in
                #expect(pool.invitation?.address.host == "127.0.0.1")
                #expect(try await pool.apply { 1 } == 1)
            }
        }

        private func withPlainPool(_ body: (Pool) throws -> Void) throws {
            let pool = try Pool(processes: 1)
            defer { pool.terminate() }
            try body(pool)
        }

        // MARK: Workers that come by themselves

        @Test func workersComeAndGo() async throws {
            let options = self.options { $0.launchedWorkers = 1 }
            let pool = try Pool(processes: 3, options: options)
            #expect(try await pool.apply { getpid() } == pool.processIdentifiers.first)
            // Twenty of them: more than a pool has patience for with workers of its own that end in vain.
            for round in 0..<20 {
                let guest = try worker(pool.invitation)
                #expect(
                    try await eventually(within: .seconds(30)) {
                        pool.snapshot.workers.count { $0.state == .idle || $0.state == .busy } == 2
                    },
                    "round \(round)"
                )
                try guest.kill()
                try await guest.join()
                #expect(
                    try await eventually(within: .seconds(30)) {
                        pool.snapshot.workers.count { $0.state == .idle || $0.state == .busy } == 1
                    }
                )
            }
            let (one, two) = (try worker(pool.invitation), try worker(pool.invitation))
            let pids = try await eventually(within: .seconds(30)) {
                pool.snapshot.workers.count { $0.state == .idle || $0.state == .busy } == 3
            }
            #expect(pids)
            // Their ids are theirs: the pool sends no signals there.
            #expect(pool.processIdentifiers.count == 1)
            let seen = Set(
                try await pool.map(0..<30, chunkSize: 1) { _ in
                    pause(.milliseconds(20))
                    return getpid()
                }
            )
            #expect(seen.count >= 2)
            pool.close()
            #expect(try await pool.join(timeout: .seconds(30)))
            #expect(try await [one.value, two.value] == ["let go", "let go"])
        }

        @Test func aWorkerThatVanishesFailsItsTaskOnly() async throws {
            let options = self.options { $0.launcher = .none }
            let pool = try Pool(processes: 2, options: options)
            let (one, two) = (try worker(pool.invitation), try worker(pool.invitation))
            let victims = [one, two].map(\.processIdentifier)
            let doomed = try pool.submit { () -> Int32 in
                kill(getpid(), SIGKILL)
                return 0
            }
            let others = try (0..<20).map { number in
                try pool.submit(retries: 3) { () -> Int in
                    pause(.milliseconds(10))
                    return number
                }
            }
            let lost = await #expect(throws: WorkerLost.self) { try await doomed.value }
            #expect(lost?.reason == .connectionLost && victims.contains(lost?.processIdentifier))
            for (number, task) in others.enumerated() { #expect(try await task.value == number) }
            // With retries it runs elsewhere: on whoever comes.
            let file = "/tmp/multiprocessing-once-\(getpid())"
            unlink(file)
            let retried = try pool.submit(retries: 1) { () -> String in
                if text(of: file) == nil {
                    close(creat(file, 0o600))
                    kill(getpid(), SIGKILL)
                }
                return "done"
            }
            let three = try worker(pool.invitation)
            #expect(try await retried.value == "done")
            unlink(file)
            pool.close()
            #expect(try await pool.join(timeout: .seconds(30)))
            for child in [one, two, three] { #expect(try await child.join(timeout: .seconds(10))) }
        }

        @Test func aPoolThatNobodyComesTo() async throws {
            let pool = try Pool(processes: 2, options: options { $0.launcher = .none })
            let task = try pool.submit { 1 }
            pool.close()
            #expect(try await !pool.join(timeout: .milliseconds(300)))
            #expect(!task.isReady)
            pool.terminate()
            #expect(try await pool.join(timeout: .seconds(30)))
            try await check(pool: .terminated) { try await task.value }
        }

        /// What a worker may take to come up does not run while nobody is there.
        @Test func theTimeToComeUpBeginsWithTheWorker() async throws {
            var options = options { $0.launcher = .none }
            options.initializerTimeout = .milliseconds(400)
            let file = "/tmp/multiprocessing-slow-\(getpid())"
            unlink(file)
            let pool = try Pool(processes: 1, options: options) {
                // The first one never comes up.
                if text(of: file) == nil {
                    close(creat(file, 0o600))
                    sleepForever()
                }
            }
            #expect(try await !pool.submit { 1 }.wait(timeout: .milliseconds(1500)))
            let slow = try worker(pool.invitation)
            #expect(try await slow.join(timeout: .seconds(20)))
            #expect(slow.exitStatus == .exited(70))
            let quick = try worker(pool.invitation)
            #expect(try await pool.apply { 2 } == 2)
            unlink(file)
            pool.close()
            #expect(try await pool.join(timeout: .seconds(30)))
            #expect(try await quick.value == "let go")
        }

        @Test func aFunctionThatStartsWorkers() async throws {
            let invitations = Mutex<[WorkerInvitation]>([])
            let workers = Mutex<[ChildProcess<String>]>([])
            let options = self.options { stream in
                stream.launcher = .function { invitation in
                    let isFirst = invitations.withLock { list in
                        list.append(invitation)
                        return list.count == 1
                    }
                    if isFirst { throw Refused() }
                    let child = try self.worker(invitation)
                    workers.withLock { $0.append(child) }
                }
            }
            try await withPool(processes: 2, options: options) { pool async throws in
                #expect(try await pool.map(0..<100) { $0 } == Array(0..<100))
                // One that came after the end would find nobody.
                #expect(
                    try await eventually(within: .seconds(20)) {
                        pool.snapshot.workers.filter { $0.state == .idle }.count == 2
                    }
                )
                #expect(invitations.withLock { $0.count } >= 3)
            }
            for child in workers.withLock({ $0 }) { #expect(try await child.value == "let go") }
            // Those who are started and never come.
            let never = self.options { stream in
                stream.launcher = .function { _ in }
                stream.launchTimeout = .milliseconds(20)
            }
            let pool = try Pool(processes: 1, options: never)
            let error = await #expect(throws: PoolError.self) { try await pool.apply { 1 } }
            #expect(error?.code == .workersFail && error?.message.contains("never came") == true)
            #expect(try await pool.join(timeout: .seconds(30)))
        }

        @Test func aWorkerOverASocketPair() async throws {
            let pool = try Pool(processes: 1, options: options { $0.launcher = .none })
            let token = try #require(pool.invitation?.token)
            var ends: [Int32] = [-1, -1]
            try check(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) == 0)
            let theirs = FileDescriptor(rawValue: ends[1])
            var childOptions = ProcessOptions()
            childOptions.descriptors = [theirs]
            let number = ends[1]
            let child = try ChildProcess(arguments: token, options: childOptions) { token in
                try PoolWorkerProgram.serve(over: FileDescriptor(rawValue: number), token: token)
            }
            try child.start()
            try pool.attach(FileDescriptor(rawValue: ends[0]))
            for end in ends { close(end) }
            #expect(try await pool.apply { getpid() } == child.processIdentifier)
            pool.close()
            #expect(try await pool.join(timeout: .seconds(30)))
            try await child.value
            #expect(throws: StreamError.self) { try pool.attach(FileDescriptor(rawValue: 1 << 20)) }
        }

        @Test func aServerThatIsNotThePool() async throws {
            // It takes the hello, and answers like a pool with another secret.
            let impostor = try Pool(processes: 1, options: options { $0.launcher = .none })
            let address = try #require(impostor.invitation).address
            let fooled = try worker(WorkerInvitation(address: address, token: .random()))
            #expect(try await fooled.value == "stranger")
            impostor.terminate()
            #expect(try await impostor.join(timeout: .seconds(30)))
        }

        @Test func aProgramOfAnotherBuild() async throws {
            let refused = Mutex<[StreamError.Code]>([])
            let options = self.options { stream in
                stream.launcher = .none
                stream.onRefusal = { error in refused.withLock { $0.append(error.code) } }
            }
            let pool = try Pool(processes: 1, options: options)
            let invitation = try #require(pool.invitation)
            let ended = try await onThread {
                try Scenario(["stream-worker"], environment: ["MP_INVITATION": invitation.text]).finish()
            }
            #expect(ended.status == 3 && ended.output.contains("otherExecutable"), "\(ended)")
            #expect(try await eventually { refused.withLock { $0 == [.otherExecutable] } })
            pool.terminate()
            #expect(try await pool.join(timeout: .seconds(30)))
        }

        // MARK: Ends

        @Test(arguments: [false, true]) func workersEndWithTheirPool(inATask: Bool) async throws {
            let (ours, theirs) = try Connection.pair()
            let owner = try ChildProcess {
                var stream = StreamWorkers()
                stream.launcher = .none
                var options = PoolOptions()
                options.backend = .stream(stream)
                let pool = try Pool(processes: 1, options: options)
                try await theirs.send(pool.invitation!.text)
                if inATask {
                    let task = try pool.submit { () -> Int in while true {} }
                    while task.state != .running { try await Task.sleep(for: .milliseconds(5)) }
                } else {
                    _ = try await pool.apply { 1 }
                }
                try await theirs.send("at work")
                try await Task.sleep(for: .seconds(1000))
            }
            try owner.start()
            let invitation = WorkerInvitation(try await ours.receive(String.self, timeout: .seconds(30)))
            let worker = try worker(invitation)
            #expect(try await ours.receive(String.self, timeout: .seconds(30)) == "at work")
            let begin = ContinuousClock.now
            try owner.kill()
            #expect(try await worker.join(timeout: .seconds(20)))
            // A second is what is promised; the rest is for a machine that is busy.
            #expect(ContinuousClock.now - begin < .seconds(5))
            if inATask {
                #expect(worker.exitStatus == .exited(70))
            } else {
                #expect(try await worker.value == "poolLost")
            }
        }

        @Test func servingCanBeCancelled() async throws {
            let pool = try Pool(processes: 1, options: options { $0.launcher = .none })
            let invitation = try #require(pool.invitation)
            let serving = Task { try await PoolWorkerProgram.serve(invitation) }
            #expect(try await pool.apply { getpid() } == getpid())
            serving.cancel()
            await #expect(throws: CancellationError.self) { try await serving.value }
            pool.terminate()
            #expect(try await pool.join(timeout: .seconds(30)))
        }

        /// Somebody takes the connection, and never says a word.
        @Test func servingCanBeCancelledBeforeItHasBegun() async throws {
            let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            defer { close(listener) }
            var address = sockaddr_in()
            var size = socklen_t(MemoryLayout<sockaddr_in>.size)
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
            withUnsafeMutablePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    _ = bind(listener, $0, size)
                    _ = listen(listener, 1)
                    _ = getsockname(listener, $0, &size)
                }
            }
            let port = UInt16(bigEndian: address.sin_port)
            let invitation = WorkerInvitation(address: .tcp(port: port), token: try .random())
            let serving = Task { try await PoolWorkerProgram.serve(invitation) }
            let taken = try await onThread { accept(listener, nil, nil) }
            defer { close(taken) }
            let begin = ContinuousClock.now
            serving.cancel()
            await #expect(throws: CancellationError.self) { try await serving.value }
            // It does not wait for whom it has no use for, and the other side learns of it.
            #expect(ContinuousClock.now - begin < .seconds(3))
            let isOver = try await onThread { () -> Bool in
                var buffer = [UInt8](repeating: 0, count: 4096)
                while isReadable(taken, within: 5000) { if recv(taken, &buffer, 4096, 0) <= 0 { return true } }
                return false
            }
            #expect(isOver)
        }

        @Test(arguments: [false, true]) func servingLeavesNothing(isCancelled: Bool) async throws {
            try await isolated {
                try await LeakCheck.expectNoLeaks(within: .seconds(20)) {
                    for _ in 0..<3 {
                        var stream = StreamWorkers()
                        stream.launcher = .none
                        var options = PoolOptions()
                        options.backend = .stream(stream)
                        let pool = try Pool(processes: 1, options: options)
                        let invitation = pool.invitation!
                        let serving = Task { try await PoolWorkerProgram.serve(invitation) }
                        let number = 3
                        try check(try await pool.apply { number * 2 }, is: 6)
                        if isCancelled {
                            serving.cancel()
                            let isOver = await Task { (try? await serving.value) == nil }.value
                            try check(isOver, "it went on")
                            pool.terminate()
                        } else {
                            pool.close()
                            try await serving.value
                        }
                        try check(try await pool.join(timeout: .seconds(30)), "the pool did not end")
                    }
                }
            }
        }

        /// Workers are killed at random, in the middle of frames more often than not; each result is there, and nothing is left.
        @Test func killStormInTheMiddleOfFrames() async throws {
            try await isolated {
                try await LeakCheck.expectNoLeaks(within: .seconds(30)) {
                    var options = PoolOptions()
                    options.backend = .stream()
                    let pool = try Pool(processes: 3, options: options)
                    let isOver = Atomic(false)
                    let kills = Atomic(0)
                    async let killer: Void = onThread {
                        while !isOver.load(ordering: .acquiring) {
                            pause(.milliseconds(Int.random(in: 20...120)))
                            guard let victim = pool.processIdentifiers.randomElement() else { continue }
                            if kill(victim, SIGKILL) == 0 { kills.add(1, ordering: .relaxed) }
                        }
                    }
                    do {
                        let end = ContinuousClock.now + .seconds(30)
                        var round = 0
                        // Optimised code is done with some rounds before anybody is killed.
                        while round < 8 || kills.load(ordering: .relaxed) < 5 && ContinuousClock.now < end {
                            defer { round += 1 }
                            let round = round
                            let tasks = try (0..<25).map { number in
                                let numbers = [Int](repeating: number, count: 40_000)
                                return try pool.submit(retries: 1000) { numbers.map { $0 + round } }
                            }
                            for (number, task) in tasks.enumerated() {
                                let values = try await task.value
                                try check(values.count == 40_000 && values.allSatisfy { $0 == number + round })
                            }
                        }
                    } catch {
                        isOver.store(true, ordering: .releasing)
                        pool.terminate()
                        try await killer
                        throw error
                    }
                    isOver.store(true, ordering: .releasing)
                    try await killer
                    try check(kills.load(ordering: .relaxed) > 3, "nobody was killed")
                    pool.close()
                    try check(try await pool.join(timeout: .seconds(30)), "the pool did not end")
                }
            }
        }
    }
}
