import Foundation
import PEP371Kit
import Testing

@Suite struct WorkloadTests {
    @Test func fibonacciKnowsItsResult() throws {
        try smallFibonacci.run()
    }

    // In a debug build the big integers take half a minute for this.
    #if !DEBUG
        @Test func fibonacciOfThePEP() throws {
            #expect(Fibonacci.standard == Fibonacci(steps: 50_000, expectedBits: 34_711, expectedTail: 373_553_125))
            try Fibonacci.standard.run()
        }
    #endif

    @Test(arguments: [(693, 849_228_875), (694, 849_228_874)])
    func fibonacciRefusesAWrongResult(bits: Int, tail: Int) {
        let job = Fibonacci(steps: 1_000, expectedBits: bits, expectedTail: tail)
        #expect(throws: BenchmarkError.self) { try job.run() }
    }

    @Test func primesOfThePEP() throws {
        #expect(CrunchPrimes.standard == CrunchPrimes(limit: 100_000, expectedSum: 454_396_537))
        try CrunchPrimes.standard.run()
    }

    @Test func primesRefuseAWrongResult() {
        let error = #expect(throws: BenchmarkError.self) { try CrunchPrimes(limit: 10, expectedSum: 18).run() }
        #expect(error?.code == .wrongResult)
        #expect(error?.description == "crunch_primes: sum of the primes below 10 is 17, must be 18")
    }

    @Test(arguments: [0, 1, 2, 3, 4])
    func primesBelowTheSmallestNumbers(limit: Int) throws {
        try CrunchPrimes(limit: limit, expectedSum: [0, 0, 0, 2, 5][limit]).run()
    }

    @Test func offsetsAreThoseOfThePythonScript() {
        var offsets = RandomOffsets(seed: 371)
        #expect((0..<3).map { _ in offsets.next(below: 1_000) } == expectedOffsets)
    }

    @Test func loremIsTheSameEveryTime() {
        let text = Lorem.text(lines: 100)
        #expect(text == Lorem.text(lines: 100))
        #expect(text.count(where: { $0 == UInt8(ascii: "\n") }) == 100)
        #expect(text.last == UInt8(ascii: "\n"))
        #expect(text.split(separator: UInt8(ascii: "\n")).allSatisfy { (65...80).contains($0.count) })
    }

    @Test func fileIOCopiesWhatTheTextSays() throws {
        try withScratch { scratch in
            let job = try FileIO.prepare(at: scratch.file("lorem.txt"), text: Lorem.text(lines: 200), seeks: 500)
            #expect(job.expectedBytes > 500 * 9 * 60)
            try job.run()
        }
    }

    @Test func fileIOCopesWithATextWithoutAFinalNewline() throws {
        try withScratch { scratch in
            try FileIO.prepare(at: scratch.file("short"), text: Array("ab\ncd".utf8), seeks: 50).run()
        }
    }

    @Test func fileIONoticesAnotherText() throws {
        try withScratch { scratch in
            let job = try FileIO.prepare(at: scratch.file("lorem.txt"), text: Lorem.text(lines: 200), seeks: 500)
            try writeFile(Lorem.text(lines: 100), to: job.path)
            let error = #expect(throws: BenchmarkError.self) { try job.run() }
            #expect(error?.code == .wrongResult)
        }
    }

    @Test func fileIONamesAMissingFile() throws {
        try withScratch { scratch in
            var job = try FileIO.prepare(at: scratch.file("lorem.txt"), text: Lorem.text(lines: 10))
            job.path = scratch.file("absent.txt")
            let error = #expect(throws: BenchmarkError.self) { try job.run() }
            #expect(error?.description == "cannot open \(job.path): No such file or directory")
        }
    }

    @Test func scratchDirectoriesArePrivateAndGoAwayWhole() throws {
        let scratch = try ScratchDirectory()
        try writeFile(Array("x".utf8), to: scratch.file("a"))
        try FileManager.default.createDirectory(atPath: scratch.file("b/c"), withIntermediateDirectories: true)
        let mode = try FileManager.default.attributesOfItem(atPath: scratch.path)[.posixPermissions] as? Int
        #expect(mode == 0o700)
        scratch.remove()
        #expect(!FileManager.default.fileExists(atPath: scratch.path))
    }
}

private let expectedOffsets = [490, 36, 833]
