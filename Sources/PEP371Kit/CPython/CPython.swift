internal import FoundationEssentials

/// A Python interpreter that runs the same workloads, to compare with.
package struct CPython: Sendable {
    private let interpreter: String
    private let script: String
    private let errors: String
    /// The interpreter at work, if any; for a clean-up from another thread.
    private let running = RunningProgram()

    /// Writes the script; `interpreter` is a path or a name to be found through `PATH`.
    package init(interpreter: String, scratch: ScratchDirectory) throws {
        self.interpreter = interpreter
        script = scratch.file("pep371_workloads.py")
        errors = scratch.file("python.stderr")
        try writeFile(PythonScript.text.utf8, to: script)
    }

    /// Ends the interpreter and its children at once, if it runs; callable from any thread.
    package func kill() {
        running.kill()
    }

    /// Version, start method, and the time of a first process.
    package func introduceItself() throws -> Implementation {
        var found: Implementation?
        try run(Order(workload: "", job: .init(), counts: [], most: 1, least: 1, budget: 0)) { event in
            guard event.event == "hello", let description = event.description, let method = event.startMethod
            else { return }
            found = Implementation(
                name: .cpython,
                description: description,
                startMethod: method,
                firstProcess: event.firstProcess ?? .nan
            )
        }
        guard let found else {
            throw BenchmarkError(.python, "'\(interpreter)' did not behave like a Python 3 interpreter")
        }
        return found
    }

    /// Measures one workload in all modes; `willRun` hears of each run.
    package func measure(
        _ job: Job,
        counts: [Int],
        _ repetition: Repetition,
        willRun: (Mode, Int, Int) -> Void
    ) throws -> [Measurement] {
        let order = Order(
            workload: job.name,
            job: Order.Parameters(job),
            counts: counts,
            most: repetition.most,
            least: repetition.least,
            budget: repetition.budgetSeconds
        )
        var results: [Measurement] = []
        try run(order) { event in
            guard let mode = event.mode, let n = event.n else { return }
            if let run = event.run { willRun(mode, n, run) }
            guard let best = event.best, let median = event.median, let repeats = event.repeats else { return }
            results.append(
                Measurement(
                    workload: job.workload,
                    mode: mode,
                    n: n,
                    best: best,
                    median: median,
                    repeats: repeats,
                    implementation: .cpython
                )
            )
        }
        guard results.count == counts.count * Mode.allCases.count else {
            throw BenchmarkError(.python, "'\(interpreter)' left results of \(job.name) out")
        }
        return results
    }

    private func run(_ order: Order, _ handle: (Event) -> Void) throws {
        let text = String(decoding: try JSONEncoder().encode(order), as: UTF8.self)
        let status: Int32
        do {
            // -B: leave no byte code; -E would hide the user's own settings, so it is not given.
            status = try running.run([interpreter, "-B", script, text], standardError: errors) { line in
                if let event = try? JSONDecoder().decode(Event.self, from: Data(line.utf8)) { handle(event) }
            }
        } catch {
            throw BenchmarkError(.python, "cannot run '\(interpreter)' for the comparison: \(error)")
        }
        guard status == 0 else {
            let tail = (readFile(errors) ?? "").split(separator: "\n").suffix(12).joined(separator: "\n  ")
            throw BenchmarkError(.python, "'\(interpreter)' failed with exit status \(status):\n  \(tail)")
        }
    }
}

/// What the script is asked to do; its one argument.
private struct Order: Encodable {
    let workload: String
    let job: Parameters
    let counts: [Int]
    let most: Int
    let least: Int
    let budget: Double

    /// Parameters of all workloads side by side; absent ones are left out of the JSON.
    struct Parameters: Encodable {
        var steps, expectedBits, expectedTail: Int?
        var limit, expectedSum: Int?
        var path: String?
        var size, seeks, linesPerSeek, expectedBytes: Int?
        var port, fetches, expectedLength: Int?
        var pairs, value: Int?

        init() {}

        init(_ job: Job) {
            switch job {
            case .emptyFunc:
                break
            case .fibonacci(let job):
                (steps, expectedBits, expectedTail) = (job.steps, job.expectedBits, job.expectedTail)
            case .crunchPrimes(let job):
                (limit, expectedSum) = (job.limit, job.expectedSum)
            case .fileIO(let job):
                (path, size, seeks) = (job.path, job.size, job.seeks)
                (linesPerSeek, expectedBytes) = (job.linesPerSeek, job.expectedBytes)
            case .urlGet(let job):
                (port, fetches, expectedLength) = (Int(job.port), job.fetches, HTTPServer.response.count)
            case .queue(let job):
                (pairs, value) = (job.pairs, job.value)
            }
        }
    }
}

/// A line that the script writes.
private struct Event: Decodable {
    let event: String
    let description, startMethod: String?
    let firstProcess: Double?
    let mode: Mode?
    let n, run, repeats: Int?
    let best, median: Double?
}
