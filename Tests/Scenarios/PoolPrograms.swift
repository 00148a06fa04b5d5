import Multiprocessing

/// Programs with a pool that they never close.
enum PoolPrograms {
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
