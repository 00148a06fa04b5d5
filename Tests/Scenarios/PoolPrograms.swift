import Multiprocessing

/// What a worker of ``PoolPrograms/forms(threads:)`` has; named nowhere else.
private struct Cache {
    var seen: [String: Int] = [:]
    mutating func size(of text: String) -> Int {
        seen[text, default: 0] += 1
        return text.utf8.count
    }
}

private final class Handle {
    var uses = 0
}

private struct Model: Codable, Sendable {
    var factor: Int
    var bias: Double
}

/// Programs with pools. Optimised builds leave less of types and closures than those for debugging: these are run in both.
enum PoolPrograms {
    /// Functions that use their worker's state or a shared value, and those of several arguments.
    static func forms(threads: Bool) async throws {
        var options = PoolOptions()
        if threads { options.backend = .threads }
        let uses = try Queue<Int>()
        let texts = (0..<100).map { String(repeating: "x", count: $0) }
        let sizes = Array(0..<100)
        try await withPool(processes: 2, options: options, state: { Cache() }) { pool in
            require(try await pool.map(texts) { cache, text in cache.size(of: text) } == sizes, "map")
            let slow = try await pool.map(texts) { cache, text in
                await Task.yield()
                return cache.size(of: text)
            }
            require(slow == sizes, "asynchronous map")
            let pairs = Array(zip(texts, sizes))
            let stars = try await pool.starMap(pairs) { (cache: inout Cache, text: String, size: Int) in
                cache.size(of: text) - size
            }
            require(stars.allSatisfy { $0 == 0 }, "starMap")
            require(try await pool.apply { cache in cache.seen.count } <= 100, "apply")
        }
        let onExit: @Sendable (inout Handle) throws -> Void = { handle in try uses.put(handle.uses) }
        try await withPool(processes: 2, options: options, state: { Handle() }, onExit: onExit) { pool in
            let values = try await pool.map(sizes) { handle, number in
                handle.uses += 1
                return number
            }
            require(values == sizes, "map with an exit hook")
        }
        var sum = 0
        for _ in 0..<2 { sum += try await uses.get(timeout: .seconds(10)) }
        require(sum == 100, "the exit hooks counted \(sum)")

        try await withPool(processes: 2, options: options) { pool in
            let model = Model(factor: 3, bias: 0.5)
            let scores = try await pool.map(sizes, sharing: model) { model, number in
                Double(model.factor * number) + model.bias
            }
            require(scores == sizes.map { Double($0 * 3) + 0.5 }, "sharing")
            require(try await pool.apply(sharing: model) { $0.factor } == 3, "apply, sharing")
            let sums = try await pool.starMap(zipping: sizes, texts, sizes.map { Double($0) }) { number, text, real in
                Double(number + text.utf8.count) + real
            }
            require(sums == sizes.map { Double($0 * 3) }, "several sequences")
            let slow = try await pool.starMap(zipping: sizes, texts) { number, text in
                await Task.yield()
                return number - text.utf8.count
            }
            require(slow.allSatisfy { $0 == 0 }, "asynchronous starMap")
        }
        say("done")
    }

    // MARK: A pool that is never closed

    private nonisolated(unsafe) static var kept: Pool?

    /// Ends by a return from `main`, with a pool in a global that was used and still has work.
    static func keepPool(method name: String) async throws {
        var options = PoolOptions()
        options.process.startMethod = StartMethod.allCases.first { $0.description == name }!
        let pool = try Pool(processes: 3, options: options)
        kept = pool
        let values = try await pool.map(0..<3) { $0 * $0 }
        require(values == [0, 1, 4], "\(values)")
        // Each worker holds this program's standard output: its end says that they are gone.
        _ = try pool.submit { () -> Int in while true {} }
        say("done")
    }
}
