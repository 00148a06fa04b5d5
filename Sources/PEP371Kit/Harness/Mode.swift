/// How the PEP's harness runs n copies of a function.
package enum Mode: String, Codable, Sendable, CaseIterable, Hashable {
    /// One after another, in this thread.
    case linear
    /// Each in a thread of its own.
    case threads
    /// Each in a process of its own.
    case processes

    /// Runs the copies: creates all, starts all, joins all, and throws if any failed.
    package func run(_ job: Job, copies: Int) throws {
        switch self {
        case .linear:
            for _ in 0..<copies { try job.run() }
        case .threads:
            try runInThreads(job, copies: copies)
        case .processes:
            try runInProcesses(job, copies: copies)
        }
    }

    /// The PEP's words for a row, such as "threaded (4 threads)".
    package func label(_ copies: Int) -> String {
        switch self {
        case .linear: "non_threaded (\(copies) iters)"
        case .threads: "threaded (\(copies) threads)"
        case .processes: "processes (\(copies) procs)"
        }
    }
}

/// A thread starts as it is made, so that creating and starting are one step here.
private func runInThreads(_ job: Job, copies: Int) throws {
    // What the copies of a case share.
    let queue = ThreadQueue<Int>()
    let body: @Sendable () throws -> Void = {
        if case .queue(let work) = job { try work.run(on: queue) } else { try job.run() }
    }
    var threads: [PlainThread] = []
    var outcome = Result<Void, any Error>.success(())
    do {
        for _ in 0..<copies { threads.append(try PlainThread(body)) }
    } catch {
        outcome = .failure(error)
    }
    // All of them are joined, whatever one of them threw.
    for thread in threads {
        do { try thread.join() } catch { outcome = .failure(error) }
    }
    try outcome.get()
}
