/// One copy of a workload, ready to run: its parameters and the result that it must have.
package enum Job: Codable, Sendable, Hashable {
    case emptyFunc
    case fibonacci(Fibonacci)
    case crunchPrimes(CrunchPrimes)
    case fileIO(FileIO)
    case urlGet(URLGet)
    case queue(QueueWork)

    /// Does the work in the calling thread, alone, and throws if its result is wrong.
    package func run() throws {
        switch self {
        case .emptyFunc: pass()
        case .fibonacci(let job): try job.run()
        case .crunchPrimes(let job): try job.run()
        case .fileIO(let job): try job.run()
        case .urlGet(let job): try job.run()
        case .queue(let job): try job.run(on: ThreadQueue())
        }
    }

    package var name: String {
        workload.rawValue
    }

    package var workload: Workload {
        switch self {
        case .emptyFunc: .emptyFunc
        case .fibonacci: .fibonacci
        case .crunchPrimes: .crunchPrimes
        case .fileIO: .fileIO
        case .urlGet: .urlGet
        case .queue: .queue
        }
    }
}

/// The PEP's first test: `pass`.
@inline(never)
private func pass() {}
