import Foundation
import PEP371Kit
import Testing

private let pythonExists = ["/usr/bin/python3", "/usr/local/bin/python3"].first {
    FileManager.default.isExecutableFile(atPath: $0)
}

@Suite(.serialized) struct CPythonTests {
    @Test(.enabled(if: pythonExists != nil, "needs a python3"))
    func pythonDoesTheSameWork() throws {
        try withScratch { scratch in
            let python = try CPython(interpreter: #require(pythonExists), scratch: scratch)
            let found = try python.introduceItself()
            #expect(found.description.hasPrefix("CPython 3."))
            #expect(["fork", "forkserver", "spawn"].contains(found.startMethod))

            let server = try ServerProcess(scratch: scratch)
            let jobs: [Job] = [
                .emptyFunc,
                .fibonacci(smallFibonacci),
                .crunchPrimes(smallPrimes),
                .fileIO(try .prepare(at: scratch.file("lorem.txt"), text: Lorem.text(lines: 200), seeks: 100)),
                .urlGet(URLGet(port: server.port, fetches: 3)),
                .queue(QueueWork(pairs: 50)),
            ]
            for job in jobs {
                var runs = 0
                let results = try python.measure(
                    job,
                    counts: [1, 2],
                    Repetition(most: 2, least: 2, budgetSeconds: 0)
                ) { _, _, _ in runs += 1 }
                #expect(results.count == 6)
                #expect(results.allSatisfy { $0.implementation == .cpython && $0.repeats == 2 && $0.best <= $0.median })
                #expect(runs == 12)
            }
            try server.stop()
        }
    }

    @Test(.enabled(if: pythonExists != nil, "needs a python3"), arguments: [1, 2])
    func pythonNoticesAWrongResult(limit: Int) throws {
        try withScratch { scratch in
            let python = try CPython(interpreter: #require(pythonExists), scratch: scratch)
            let wrong = Job.crunchPrimes(CrunchPrimes(limit: limit, expectedSum: 7))
            let once = Repetition(most: 1, least: 1, budgetSeconds: 0)
            let error = #expect(throws: BenchmarkError.self) {
                try python.measure(wrong, counts: [1], once) { _, _, _ in }
            }
            #expect(error?.code == .python)
            #expect(error?.description.contains("must be 7") == true)
        }
    }

    @Test func aMissingInterpreterIsNamed() throws {
        try withScratch { scratch in
            let python = try CPython(interpreter: "/no/such/python3", scratch: scratch)
            let error = #expect(throws: BenchmarkError.self) { try python.introduceItself() }
            #expect(error?.code == .python)
            #expect(error?.description.contains("'/no/such/python3'") == true)
            #expect(error?.description.contains("No such file or directory") == true)
        }
    }

    @Test func aProgramThatIsNoPythonIsNamed() throws {
        try withScratch { scratch in
            let python = try CPython(interpreter: "true", scratch: scratch)
            let error = #expect(throws: BenchmarkError.self) { try python.introduceItself() }
            #expect(error?.description == "'true' did not behave like a Python 3 interpreter")
        }
    }
}
