import Foundation
import Testing

extension ProcessTests {
    /// The example that hashes a tree in which some files crash the parser.
    @Suite struct TreeHashTests {
        private struct Report: Decodable {
            struct File: Decodable {
                struct Records: Decodable { var records: Int }
                var path: String
                var size: Int
                var hash: String
                var records: Records?
            }
            struct Failure: Decodable {
                var path: String
                var kind: String
                var why: String
            }
            var files: [File]
            var failures: [Failure]
        }

        @Test func everyFileHasItsVerdict() throws {
            try withTemporaryDirectory { directory in
                let sample = try Scenario([directory, "--make-sample", "--files", "120"], program: "tree-hash").finish()
                #expect(sample.status == 0 && sample.output == "126 files in \(directory)\n", "\(sample)")

                let run = try Scenario(
                    [directory, "--json", "--timeout", "20", "--memory", "256", "--processes", "3"],
                    program: "tree-hash",
                    limit: 120
                ).finish()
                #expect(run.status == 1, "\(run.errors)")
                let report = try JSONDecoder().decode(Report.self, from: Data(run.output.utf8))

                let kinds = Dictionary(uniqueKeysWithValues: report.failures.map { ($0.path, $0.kind) })
                #expect(
                    kinds == [
                        "deep/overflow.rec": "crashed", "deep/nested.rec": "crashed", "wild-pointer.rec": "crashed",
                        "padding/greedy.rec": "tooLarge", "endless.rec": "tooLong", "latin1.rec": "refused",
                    ]
                )
                #if DEBUG
                    // The frames of optimised code do not always tell.
                    let nested = report.failures.first { $0.path == "deep/nested.rec" }?.why
                    #expect(nested == "stackOverflow" || !CrashTests.hasBacktracer)
                #endif
                let refusal = report.failures.first { $0.kind == "refused" }?.why
                #expect(refusal == "text that is not UTF-8 at byte 9")

                #expect(report.files.count == 120)
                #expect(Set(report.files.map(\.path)).count == 120)
                for file in report.files {
                    let bytes = try Data(contentsOf: URL(fileURLWithPath: directory).appendingPathComponent(file.path))
                    let hash = bytes.reduce(UInt64(14_695_981_039_346_656_037)) {
                        ($0 ^ UInt64($1)) &* 1_099_511_628_211
                    }
                    #expect(file.size == bytes.count && UInt64(file.hash, radix: 16) == hash, "\(file)")
                    #expect((file.records != nil) == file.path.hasSuffix(".rec"), "\(file)")
                }
            }
        }

        @Test func noDirectory() throws {
            let run = try Scenario(["/nonexistent/directory"], program: "tree-hash").finish()
            #expect(run.status != 0)
            #expect(run.errors.contains("There is no directory /nonexistent/directory"), "\(run)")
        }
    }
}
