import ArgumentParser
import Foundation
import Multiprocessing

/// Hashes and parses every file of a directory tree, in as many processes as there are processors.
@main
struct TreeHash: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tree-hash",
        abstract:
            "Hash and parse a directory tree in parallel; files that crash the parser are reported, and nothing else suffers."
    )

    @Argument(help: "The directory.")
    var directory: String

    @Flag(help: "Make a tree to try it on, with files that the parser does not survive, in the directory.")
    var makeSample = false

    @Option(help: "How many files that tree is to have, those not counted.")
    var files = 1000

    @Option(help: "How many processes; one for each processor if not given.")
    var processes: Int?

    @Option(help: "Seconds that a file may take.")
    var timeout = 5.0

    @Option(help: "Megabytes of memory that a process may come to use.")
    var memory = 512

    @Flag(help: "Print a JSON document instead of text.")
    var json = false

    mutating func run() async throws {
        if makeSample {
            print("\(try SampleTree.make(in: directory, files: files)) files in \(directory)")
            return
        }
        let report = try await examine(Self.files(in: directory))
        print(json ? try report.json() : report.text)
        if !report.failures.isEmpty { throw ExitCode(1) }
    }

    /// All that this example is about: a pool, a loop, and no file that could end either.
    private func examine(_ paths: [String]) async throws -> TreeReport {
        var options = PoolOptions()
        options.name = "tree-hash"
        options.memoryPerTask = memory << 20
        // The crashes are in the report.
        options.output = .discarded
        let (root, limit) = (directory, Duration.seconds(timeout))
        var report = TreeReport()
        try await ProgressBar("examining").run {
            try await withPool(processes: processes, options: options) { pool in
                let results = try pool.imap(paths, ordered: false, timeout: limit) { try FileReport(of: $0, in: root) }
                for try await outcome in results.outcomes {
                    switch outcome.result {
                    case .success(let file): report.files.append(file)
                    case .failure(let error): report.failures.append(Self.failure(paths[outcome.index], error))
                    }
                }
            }
        }
        report.files.sort { $0.path < $1.path }
        report.failures.sort { $0.path < $1.path }
        return report
    }

    private static func failure(_ path: String, _ error: any Error) -> FileFailure {
        switch error {
        case let crash as ProcessCrash:
            FileFailure(path: path, kind: .crashed, why: crash.message ?? "\(crash.reason)")
        case let error as PoolError where error.code == .timedOut:
            FileFailure(path: path, kind: .tooLong, why: error.message)
        case let error as PoolError where error.code == .memoryExceeded:
            FileFailure(path: path, kind: .tooLarge, why: error.message)
        default:
            FileFailure(path: path, kind: .refused, why: "\(error)")
        }
    }

    private static func files(in directory: String) throws -> [String] {
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: directory, isDirectory: &isDirectory), isDirectory.boolValue,
            let tree = FileManager.default.enumerator(atPath: directory)
        else {
            throw ValidationError("There is no directory \(directory)")
        }
        return tree.compactMap { entry in
            tree.fileAttributes?[.type] as? FileAttributeType == .typeRegular ? entry as? String : nil
        }
    }
}
