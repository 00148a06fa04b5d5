internal import CBaselines
internal import Multiprocessing

/// Pure computation, as in PEP 371's measurements: as many runs as there are processors, one after the other, in a process each
/// and in a thread each. What the threads reach is what the machine has to give.
let workloadMetrics = [
    Metric(
        name: "fibonacci",
        summary: "50000 Fibonacci numbers as big integers, once for each processor",
        unit: .milliseconds,
        target: .speedUp(atLeast: 0.95, over: "linear")
    ) { _ in
        [
            Series("ours") { try inProcesses(fibonacciChild) },
            Series("linear") { try inTurn { try checkFibonacci(fibonacciTail(steps: fibonacciSteps)) } },
            Series("threads") {
                try inThreads({ Int64(fibonacciTail(steps: fibonacciSteps)) }, check: checkFibonacci)
            },
        ]
    },
    Metric(
        name: "crunch_primes",
        summary: "the sum of the primes below 1000000 by trial division, once for each processor",
        unit: .milliseconds,
        target: .speedUp(atLeast: 0.95, over: "linear")
    ) { _ in
        [
            Series("ours") { try inProcesses(primesChild) },
            Series("linear") { try inTurn { try checkPrimes(sumOfPrimes(below: primesLimit)) } },
            Series("threads") { try inThreads({ Int64(sumOfPrimes(below: primesLimit)) }, check: checkPrimes) },
        ]
    },
]

private func inTurn(_ run: () throws -> Void) throws -> Double {
    let begin = mpb_now()
    for _ in 0..<Machine.processorCount { try run() }
    return milliseconds(mpb_now() - begin)
}

/// From the first start to the last join. Each child checks its own result, so a wrong one is an error here.
private func inProcesses(_ make: () throws -> ChildProcess<Int>) throws -> Double {
    let begin = mpb_now()
    let children = try (0..<Machine.processorCount).map { _ in
        let child = try make()
        try child.start()
        return child
    }
    for child in children { _ = try child.waitForValue() }
    return milliseconds(mpb_now() - begin)
}

/// From before the first thread is made to the last join.
private func inThreads(_ run: @convention(c) () -> Int64, check: (Int) throws -> Void) throws -> Double {
    var results = [Int64](repeating: 0, count: Machine.processorCount)
    let time = try nanoseconds(mpb_in_threads(Int32(results.count), run, &results))
    for result in results { try check(Int(result)) }
    return milliseconds(time)
}

let fibonacciSteps = 50_000
let primesLimit = 1_000_000

/// The last nine digits of a Fibonacci number.
///
/// Its own big integers, little-endian words: the packages that offer them link Foundation, which would weigh on every fork
/// and start that this program measures.
func fibonacciTail(steps: Int) -> Int {
    var (a, b): ([UInt], [UInt]) = ([0], [1])
    for _ in 0..<steps { (a, b) = (b, sum(a, b)) }
    return a.reversed().reduce(0) { remainder, word in
        Int(UInt(1_000_000_000).dividingFullWidth((UInt(remainder), word)).remainder)
    }
}

/// `b` is at least as long as `a`.
private func sum(_ a: [UInt], _ b: [UInt]) -> [UInt] {
    var result = b
    var carry = false
    for index in b.indices {
        let (partial, first) = b[index].addingReportingOverflow(index < a.count ? a[index] : 0)
        let (total, second) = partial.addingReportingOverflow(carry ? 1 : 0)
        result[index] = total
        carry = first || second
    }
    if carry { result.append(1) }
    return result
}

func checkFibonacci(_ tail: Int) throws {
    guard tail == 373_553_125 else { throw BenchmarkError("fibonacci: the last nine digits are \(tail)") }
}

func sumOfPrimes(below limit: Int) -> Int {
    sumOfPrimes(in: 0..<limit)
}

func sumOfPrimes(in range: Range<Int>) -> Int {
    range.reduce(0) { $0 + (isPrime($1) ? $1 : 0) }
}

// Not inlined: the linear runs call it with the same numbers again and again, and must do the work each time.
@inline(never)
private func isPrime(_ number: Int) -> Bool {
    if number < 2 { return false }
    if number.isMultiple(of: 2) { return number == 2 }
    var divisor = 3
    while divisor * divisor <= number {
        if number.isMultiple(of: divisor) { return false }
        divisor += 2
    }
    return true
}

func checkPrimes(_ sum: Int) throws {
    guard sum == 37_550_402_023 else { throw BenchmarkError("crunch_primes: the sum is \(sum)") }
}
