import Foundation
import Testing

@Suite(.serialized, .timeLimit(.minutes(2)))
struct SampleTests {
    private static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// A line without its comment and its spaces, as the formatter may move both.
    private static func core(_ line: Substring) -> String {
        let code = line.range(of: " //").map { line[..<$0.lowerBound] } ?? line
        return code.filter { !$0.isWhitespace }
    }

    private static func text(_ path: String) throws -> String {
        try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
    }

    /// The lines of a page's Swift samples, without those that belong into a Package.swift.
    private static func sampleLines(_ page: String) throws -> [String] {
        try text(page).components(separatedBy: "```swift\n").dropFirst()
            .compactMap { $0.components(separatedBy: "```").first }
            .filter { !$0.hasPrefix("// Package.swift") }
            .flatMap { $0.split(separator: "\n").map(core).filter { !$0.isEmpty } }
    }

    @Test(arguments: [
        "README.md", "Sources/Multiprocessing/Documentation.docc/Multiprocessing.md",
        "Sources/Multiprocessing/Documentation.docc/WhatTravels.md",
        "Sources/Multiprocessing/Documentation.docc/Pools.md",
    ])
    func everySampleIsCompiled(page: String) throws {
        let compiled = Set(
            try Self.text("Tests/DocumentationTests/Samples.swift").split(separator: "\n").map(Self.core)
        )
        let lines = try Self.sampleLines(page)
        #expect(!lines.isEmpty)
        for line in lines {
            let known = compiled.contains(line) || compiled.contains { $0.hasSuffix("=" + line) }
            #expect(known, "\(page) shows a line that is not compiled: \(line)")
        }
    }

    @Test func samplesRun() async throws {
        try await Samples.isolation(pages: ["<p>one</p>", "<p>two", "<p>three</p>"])
        try await Samples.thread()
        #expect(try await Samples.values(input: "abc") == 454_396_537 + 3)
        #expect(try await Samples.arguments(pages: ["a", "b"], config: Config()) == ["Title: a", "Title: b"])
        #expect(try await Samples.startMethods(question: "why") == 6)
        try await Samples.pool(pages: ["<p>one</p>", "<p>two</p>"], question: "why")
        try await Samples.pools(pages: ["<p>one</p>", "<p>two", "<p>three</p>"], config: Config())
    }

    @Test func blockingSamplesRun() throws {
        #expect(try Samples.argument(config: Config()) == 7)
        try Samples.queues(pages: (0..<20).map { Page(text: "<p>\($0)</p>") })
        #expect(try Samples.locks() == 1)
        try Samples.connections()
    }
}
