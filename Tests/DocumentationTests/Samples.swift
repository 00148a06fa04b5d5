import Multiprocessing
import SystemPackage

// Every sample of the README and of the articles, line by line, so that the compiler reads them too. `SampleTests` checks
// that none is missing here, and runs them.

struct ParseError: Error, Codable, Equatable {
    var line: Int
}

struct Config: Codable, Sendable {
    var prefix = "Title: "
}

struct Model: Sendable {
    static let shared = Model()

    func load() {}
    func answer(_ question: String) -> Int { question.count }
}

func parse(_ page: String) -> String {
    let end = page.firstRange(of: "</p>")!.lowerBound
    return String(page[..<end].dropFirst(3))
}

func sumOfPrimes(below limit: Int) -> Int {
    (2..<limit).filter { n in (2..<n).prefix { $0 * $0 <= n }.allSatisfy { n % $0 != 0 } }.reduce(0, +)
}

func untrusted(_ input: String) -> [Character] { Array(input) }
func title(of page: String, _ config: Config) -> String { config.prefix + page }
func answerSlowly(_ question: String) -> Int { question.count }
func run(_ config: Config) -> Int { config.prefix.count }

struct Page: Codable, Sendable {
    var text: String
}

func store(_ title: String) {}

struct Parser {
    var dictionary: String
    var count = 0

    init(dictionary: String) throws { self.dictionary = dictionary }

    mutating func parse(_ page: String) -> Int {
        count += 1
        return page.count
    }
}

enum Samples {
    static func pool(pages: [String], question: String) async throws {
        try await withPool(processes: 8) { pool in
            let cubes = try await pool.map(1...1_000_000) { $0 * $0 * $0 }  // chunks are sized by measured time
            let answer = try await pool.apply(timeout: .seconds(10), retries: 2) { Model.shared.answer(question) }
            for try await title in try pool.imap(pages, ordered: false, { parse($0) }) { store(title) }  // lazy: inputs
            print(cubes.count, answer)
        }
    }

    /// Of the article on pools: the second page crashes the parser.
    static func pools(pages: [String], config: Config) async throws {
        var options = PoolOptions()
        options.drain = SignalDrain(within: .seconds(20)) { report in
            for task in report.unfinishedTasks { print("not done: \(task)") }
        }
        try await withPool(processes: 2, options: options) { pool in
            for try await outcome in try pool.imap(pages, ordered: false, { parse($0) }).outcomes {
                do { store(try outcome.result.get()) } catch { print("page \(outcome.index): \(error)") }
            }
            let titles = try await pool.map(pages, sharing: config) { config, page in title(of: page, config) }
            print(titles.count)
        }
        try await withPool(processes: 8) { pool in
            let cubes = try await pool.map(1...1_000_000) { $0 * $0 * $0 }
            print(cubes.count)
        }
        try await withPool(processes: 4, state: { try Parser(dictionary: "en") }) { pool in
            let trees = try await pool.map(pages) { parser, page in parser.parse(page) }
            print(trees.count)
        }
        options.backend = .stream()
        options.drain = nil
        try await withPool(processes: 1, options: options) { [pages = ["<p>one</p>"]] pool in
            let bar = ProgressBar("parsing")
            let parsed = try await bar.run { try await pool.map(pages) { parse($0) } }
            print(parsed)
        }
    }

    static func queues(pages: [Page]) throws {
        let queue = try Queue<Page>()
        let parsers = try (0..<4).map { _ in
            try ChildProcess { while let page = try? queue.get() { store(parse(page.text)) } }
        }
        for parser in parsers { try parser.start() }
        for page in pages { try queue.put(page) }  // encoded here; waits while the queue is full
        try queue.shutdown()  // what is in it is still taken
        for parser in parsers { try parser.join() }
    }

    static func locks() throws -> Int {
        let lock = try Lock()
        let counts = try SharedArray<Int>(count: 1_000_000)  // one copy in memory, whoever has the handle
        let child = try ChildProcess {
            try lock.withLock { counts[7] += 1 }
            if let dead = lock.abandonment { print("process \(dead.processIdentifier) died with the lock") }
        }
        try child.start()
        try child.join()
        return counts[7]
    }

    static func connections() throws {
        let (ours, theirs) = try Connection.pair()
        let server = try ChildProcess {
            while let question = try? theirs.receive(String.self) { try theirs.send(question.count) }
        }
        try server.start()
        theirs.close()
        try ours.send("How long is this?")
        print(try ours.receive(Int.self, timeout: .seconds(1)))
        ours.close()
        try server.join()
    }

    static func isolation(pages: [String]) async throws {
        for page in pages {
            do {
                let title = try await ChildProcess.run { parse(page) }  // runs in a process of its own
                print("parsed:", title)
            } catch let crash as ProcessCrash {
                print("this page crashed the parser:", crash.message ?? "\(crash.reason)")
            }
        }
    }

    static func thread() async throws {
        let number = 4
        let child = try ChildProcess { print(number * 3) }  // captures travel
        try child.start()
        try await child.join()
        print(child.exitStatus!)  // exit code 0
    }

    static func values(input: String) async throws -> Int {
        let sum = try await ChildProcess.run { sumOfPrimes(below: 100_000) }  // a value comes back

        do {
            try await ChildProcess.run { throw ParseError(line: 12) }  // Codable errors arrive with their type
        } catch let error as ParseError {
            print("line", error.line)
        }

        var options = ProcessOptions()
        options.limits = [.memory(512 << 20), .processorTime(seconds: 10)]
        options.environment = ["LANG": "C"]
        options.workingDirectory = "/tmp"
        let size = try await ChildProcess.run(options: options) { untrusted(input).count }
        return sum + size
    }

    static func arguments(pages: [String], config: Config) async throws -> [String] {
        let titles = try await ChildProcess.run(arguments: config, pages) { config, pages in
            pages.map { title(of: $0, config) }
        }
        return titles
    }

    static func argument(config: Config) throws -> Int {
        let child =
            try ChildProcess(arguments: config) { config in run(config) }
        try child.start()
        return try child.waitForValue(timeout: .seconds(30))
    }

    static func startMethods(question: String) async throws -> Int {
        try ForkServer.preload { Model.shared.load() }  // once; children share it copy-on-write
        let answer = try await ChildProcess.run { Model.shared.answer(question) }
        let other = try await ChildProcess.run(startMethod: .spawn) { answerSlowly(question) }
        ForkServer.removePreload()
        return answer + other
    }
}
