import PEP371Kit
import Testing

@Suite struct HarnessTests {
    @Test func bestAndMedian() {
        #expect(Timing(seconds: [3, 1, 2]).best == 1)
        #expect(Timing(seconds: [3, 1, 2]).median == 2)
        #expect(Timing(seconds: [4, 1, 2, 3]).median == 2.5)
        #expect(Timing(seconds: [7]).median == 7)
    }

    @Test func runsAsOftenAsAsked() throws {
        var runs: [Int] = []
        var calls = 0
        let timing = Timing.measure(Repetition(most: 4, least: 4, budgetSeconds: 0)) {
            runs.append($0)
        } body: {
            calls += 1
        }
        #expect(runs == [1, 2, 3, 4])
        #expect(calls == 4)
        #expect(timing.seconds.count == 4)
    }

    @Test func theBudgetEndsRepeatsButNotTheLeast() async throws {
        let timing = Timing.measure(Repetition(most: 50, least: 2, budgetSeconds: 0)) {}
        #expect(timing.seconds.count == 2)
    }

    @Test func thePlanOfThePEP() throws {
        let plan = try Plan()
        #expect(
            plan.workloads.map(\.rawValue) == [
                "empty_func", "fibonacci", "crunch_primes", "file_io", "url_get", "queue",
            ]
        )
        #expect(plan.counts == [1, 2, 4, 8])
        #expect(plan.repetition(of: .emptyFunc).most == 100)
    }

    @Test func thePlanSortsAndDropsDoubles() throws {
        let plan = try Plan(workloads: ["fibonacci", "empty_func", "fibonacci"], counts: [4, 1, 4], repeats: 7)
        #expect(plan.workloads == [.fibonacci, .emptyFunc])
        #expect(plan.counts == [1, 4])
        #expect(plan.repetition(of: .fibonacci) == Repetition(most: 7, least: 7, budgetSeconds: 0))
    }

    @Test(
        arguments: [
            (["nonsense"], [], nil, "there is no workload 'nonsense'; there are empty_func"),
            ([], [0], nil, "--n 0: must be from 1"),
            ([], [1_000_000], nil, "--n 1000000: must be from 1"),
            ([], [], 0, "--repeats 0: must be at least 1"),
        ] as [([String], [Int], Int?, String)]
    )
    func thePlanRefusesNonsense(names: [String], counts: [Int], repeats: Int?, message: String) {
        let error = #expect(throws: BenchmarkError.self) {
            try Plan(workloads: names, counts: counts, repeats: repeats)
        }
        #expect(error?.code == .badArgument)
        #expect(error?.description.hasPrefix(message) == true, "\(error?.description ?? "")")
    }

    @Test func numbers() {
        #expect(fixed(0.195548, 6) == "0.195548")
        #expect(fixed(0.0000004, 6) == "0.000000")
        #expect(fixed(-1.25, 1) == "-1.3")
        #expect(fixed(-0.001, 1) == "0.0")
        #expect(fixed(9.999, 2) == "10.00")
        #expect(fixed(12, 0) == "12")
        #expect(fixed(.nan, 2) == "-")
        #expect(duration(0.000_000_03) == "30 ns")
        #expect(duration(0.000_257) == "257 µs")
        #expect(duration(0.0123) == "12.3 ms")
        #expect(duration(2.5) == "2.50 s")
        #expect(grouped(1_234_567) == "1,234,567")
        #expect(grouped(-123) == "-123")
    }
}
