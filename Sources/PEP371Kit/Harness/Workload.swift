/// The PEP's workloads, by the names that the PEP gives them.
package enum Workload: String, Codable, Sendable, CaseIterable, Hashable {
    case emptyFunc = "empty_func"
    case fibonacci
    case crunchPrimes = "crunch_primes"
    case fileIO = "file_io"
    case urlGet = "url_get"
    case queue

    /// What one copy does, in one sentence.
    package var summary: String {
        switch self {
        case .emptyFunc:
            "does nothing: the cost of making, starting and joining workers"
        case .fibonacci:
            "50,000 steps of (a, b) to (b, a + b) with big integers, nothing shared"
        case .crunchPrimes:
            "the sum of all primes below 100,000, by trial division"
        case .fileIO:
            "\(grouped(FileIO.standardSeeks)) random seeks in a generated lorem.txt, \(FileIO.standardLinesPerSeek) lines "
                + "read after each and written to /dev/null"
        case .urlGet:
            "\(URLGet.standardFetches) fetches of a small error page from a server on loopback, a connection each"
        case .queue:
            "\(grouped(QueueWork.standard.pairs)) times a number put into a queue that all copies share, and one got out of it"
        }
    }

    /// How often a case runs unless the user says otherwise; the PEP ran everything 100 times.
    package var standardRepeats: Int {
        switch self {
        case .emptyFunc: 100
        case .fibonacci, .crunchPrimes, .fileIO, .urlGet, .queue: 20
        }
    }

    /// Makes what the workload needs, once and outside the measured time.
    package func prepare(scratch: ScratchDirectory) throws -> PreparedJob {
        switch self {
        case .emptyFunc:
            return PreparedJob(job: .emptyFunc)
        case .fibonacci:
            return PreparedJob(job: .fibonacci(.standard))
        case .crunchPrimes:
            return PreparedJob(job: .crunchPrimes(.standard))
        case .fileIO:
            return PreparedJob(job: .fileIO(try FileIO.prepare(at: scratch.file("lorem.txt"))))
        case .urlGet:
            let server = try ServerProcess(scratch: scratch)
            return PreparedJob(job: .urlGet(URLGet(port: server.port)), finish: server.stop)
        case .queue:
            return PreparedJob(job: .queue(.standard))
        }
    }
}

/// A job together with the end of what was started for it.
package struct PreparedJob {
    package let job: Job
    private let end: () throws -> Void

    init(job: Job, finish: @escaping () throws -> Void = {}) {
        self.job = job
        end = finish
    }

    package func finish() throws {
        try end()
    }
}
