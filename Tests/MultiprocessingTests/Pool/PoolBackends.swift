import Multiprocessing

extension Backend {
    /// The workers of pools that most tests are run with.
    static let poolWorkers: [Backend] = [.forkServer, .threads]
    /// Those that are processes; copies by `.fork` cannot run Swift tasks.
    static let poolProcesses: [Backend] = [.forkServer, .spawn]
    static let poolWorkersOfAllKinds = poolProcesses + [.threads, .stream]
    /// For tests whose tasks use no locks or other handles, which are of one machine.
    static let poolWorkersAnywhere = poolWorkers + [.stream]

    /// A pool's options with workers of this kind.
    var poolOptions: PoolOptions {
        var options = PoolOptions()
        switch self {
        case .threads: options.backend = .threads
        case .stream: options.backend = .stream()
        default: options.process.startMethod = startMethod
        }
        return options
    }
}

/// Throws unless `body` throws a ``PoolError`` of that kind.
func check<Value>(
    pool code: PoolError.Code,
    file: String = #fileID,
    line: Int = #line,
    _ body: () async throws -> Value
) async throws {
    do {
        _ = try await body()
    } catch let error as PoolError {
        return try check(error.code == code, "threw \(error), not \(code)", file: file, line: line)
    }
    throw CheckFailure(text: "threw nothing, not \(code)", place: "\(file):\(line)")
}
