import Glibc
import Multiprocessing

extension Backend {
    /// The workers of pools that most tests are run with.
    static let poolWorkers: [Backend] = [.forkServer, .threads]
    /// Those that are processes; copies by `.fork` cannot run Swift tasks.
    static let poolProcesses: [Backend] = [.forkServer, .spawn]
    static let poolWorkersOfAllKinds = poolProcesses + [.threads]
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

/// An event for tasks of every backend: a file, because an event of the library's does not go over a socket.
struct Gate: Codable, Sendable {
    private var path = "/tmp/multiprocessing-gate-\(getpid())-\(UInt64.random(in: 0 ... .max))"

    func set() { close(creat(path, 0o600)) }
    func wait(timeout: Duration) -> Bool { eventually(within: timeout) { access(path, F_OK) == 0 } }
    func remove() { unlink(path) }
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
