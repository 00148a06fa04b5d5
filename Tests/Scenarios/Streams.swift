import Glibc
import Multiprocessing

/// A pool and its workers as programs of their own, with sockets between them.
enum Streams {
    /// Serves the pool that the environment names until that lets it go.
    static func worker() async throws {
        guard let text = getenv("MP_INVITATION"), let invitation = WorkerInvitation(String(cString: text)) else {
            say("no invitation", to: 2)
            exit(64)
        }
        do {
            try await PoolWorkerProgram.serve(invitation, patience: .seconds(20))
            say("let go")
        } catch let error as StreamError {
            say("\(error.code)")
            say("\(error)", to: 2)
            exit(3)
        }
    }

    /// A pool whose workers come from elsewhere, and are lost, and come again.
    static func pool(at address: String, workers: Int) async throws {
        var stream = StreamWorkers()
        stream.address = WorkerAddress(address)!
        stream.allowsUnencryptedNetwork = true
        stream.launcher = .none
        stream.silenceLimit = .seconds(2)
        var options = PoolOptions()
        options.backend = .stream(stream)
        let pool = try Pool(processes: workers, options: options)
        say(pool.invitation!.text)
        while pool.snapshot.workers.count(where: { $0.state == .idle }) < workers {
            try await Task.sleep(for: .milliseconds(10))
        }
        say("two workers")
        say("sum \(try await pool.map(0..<1000) { $0 * $0 }.reduce(0, +))")
        // One that ends with its worker, and one that is done by another.
        let doomed = try pool.submit { () -> Int in while true {} }
        let again = try pool.submit(retries: 1) { () -> Int in
            // Not done before the cable is out, and not without end when it is in again.
            pause(milliseconds: 4000)
            return 1
        }
        while doomed.state != .running || again.state != .running { try await Task.sleep(for: .milliseconds(10)) }
        say("at work")
        do {
            _ = try await doomed.value
            say("a value")
        } catch let error as WorkerLost {
            say("lost \(error.reason == .silent ? "silent" : "otherwise"): \(error)")
        }
        _ = try await again.value
        say("retried")
        pool.close()
        try await pool.join(timeout: .seconds(20))
    }
}
