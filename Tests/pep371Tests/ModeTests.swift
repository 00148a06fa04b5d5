import Foundation
import PEP371Kit
import Synchronization
import Testing

@Suite struct ModeTests {
    @Test(arguments: Mode.allCases, [1, 3])
    func everyModeDoesTheWork(mode: Mode, copies: Int) throws {
        try mode.run(.crunchPrimes(smallPrimes), copies: copies)
        try mode.run(.fibonacci(smallFibonacci), copies: copies)
        try mode.run(.emptyFunc, copies: copies)
        try mode.run(.queue(QueueWork(pairs: 200)), copies: copies)
    }

    @Test(arguments: Mode.allCases)
    func everyModeNoticesAWrongResult(mode: Mode) {
        #expect(throws: (any Error).self) {
            try mode.run(.crunchPrimes(CrunchPrimes(limit: 1_000, expectedSum: 1)), copies: 2)
        }
    }

    @Test func labelsAreThePEPs() {
        #expect(Mode.linear.label(1) == "non_threaded (1 iters)")
        #expect(Mode.threads.label(2) == "threaded (2 threads)")
        #expect(Mode.processes.label(8) == "processes (8 procs)")
    }

    @Test func threadsRunBesideEachOther() throws {
        // Each waits for the other: were they run in turn, the second would never come.
        let arrivals = Atomic(0)
        let threads = try (0..<2).map { _ in
            try PlainThread {
                arrivals.add(1, ordering: .sequentiallyConsistent)
                let deadline = ContinuousClock.now + .seconds(10)
                while arrivals.load(ordering: .sequentiallyConsistent) < 2 {
                    guard ContinuousClock.now < deadline else { throw CancellationError() }
                    usleep(1_000)
                }
            }
        }
        for thread in threads { try thread.join() }
    }

    @Test func theServerAnswersAndEndsWithItsLifeLine() throws {
        try withScratch { scratch in
            let server = try ServerProcess(scratch: scratch)
            try URLGet(port: server.port, fetches: 5).run()
            try Mode.processes.run(.urlGet(URLGet(port: server.port, fetches: 5)), copies: 2)
            try server.stop()
            #expect(throws: BenchmarkError.self) { try URLGet(port: server.port, fetches: 1).run() }
        }
    }

    @Test func theAnswerIsOneCompletePage() {
        let text = String(decoding: HTTPServer.response, as: UTF8.self)
        let parts = text.split(separator: "\r\n\r\n", maxSplits: 1)
        #expect(text.hasPrefix("HTTP/1.0 404 Not Found\r\n"))
        #expect(parts.first?.contains("Content-Length: \(parts.last?.utf8.count ?? -1)") == true)
    }
}
