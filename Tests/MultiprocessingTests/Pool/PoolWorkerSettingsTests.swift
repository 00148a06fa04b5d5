import Glibc
import Multiprocessing
import SystemPackage
import Testing

/// The processors that this thread may run on.
private func allowedProcessors() -> [Int] {
    let status = text(of: "/proc/thread-self/status") ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") } ?? ""
    return line.dropFirst(18).split(separator: ",").flatMap { range -> [Int] in
        let ends = range.split(separator: "-").compactMap { Int($0.filter(\.isNumber)) }
        return ends.isEmpty ? [] : Array(ends[0]...ends[ends.count - 1])
    }
}

extension ProcessTests {
    /// What each worker of a pool is set up with.
    @Suite(.timeLimit(.minutes(2)))
    struct PoolWorkerSettingsTests {
        @Test(arguments: Backend.poolProcesses) func environmentLimitsAndNiceness(backend: Backend) async throws {
            var options = backend.poolOptions
            options.process.environment = ["MP_POOL_TEST": "on", "HOME": nil]
            options.process.limits = [.openFiles(200), .coreSize(0)]
            options.process.niceness = 7
            options.process.workingDirectory = "/"
            options.tasksPerWorker = 2
            try await withPool(processes: 2, options: options) { pool async throws in
                // In those that replace others as well.
                for _ in 0..<4 {
                    let found = try await pool.apply {
                        var (files, core) = (rlimit(), rlimit())
                        getrlimit(__rlimit_resource_t(7), &files)
                        getrlimit(__rlimit_resource_t(4), &core)
                        let directory = getcwd(nil, 0).map { path in
                            defer { free(path) }
                            return String(cString: path)
                        }
                        return [
                            getenv("MP_POOL_TEST").map { String(cString: $0) } ?? "-",
                            getenv("HOME").map { String(cString: $0) } ?? "-",
                            "\(files.rlim_cur)", "\(core.rlim_cur)",
                            "\(getpriority(__priority_which_t(0), 0))", directory ?? "-",
                        ]
                    }
                    #expect(found == ["on", "-", "200", "0", "7", "/"])
                }
            }
        }

        @Test func eachWorkerHasAProcessor() async throws {
            let allowed = allowedProcessors()
            var options = PoolOptions()
            options.affinity = .spread
            try await withPool(processes: 3, options: options) { pool async throws in
                var placed: [String: [Int]] = [:]
                for _ in 0..<100 where placed.count < 3 {
                    let found = try await pool.map(0..<12, chunkSize: 1) { _ in
                        pause(.milliseconds(5))
                        return [ChildProcess<Void>.current.name: allowedProcessors()]
                    }
                    for one in found { placed.merge(one) { $1 } }
                }
                let processors = placed.values.map { $0 }
                #expect(processors.allSatisfy { $0.count == 1 })
                let expected = (0..<3).map { allowed[$0 % allowed.count] }
                #expect(processors.joined().sorted() == expected.sorted(), "\(placed)")
            }
        }

        @Test func aReplacementTakesThePlace() async throws {
            let allowed = allowedProcessors()
            guard allowed.count > 1 else { return }
            var options = PoolOptions()
            options.affinity = .spread
            options.process.processorAffinity = Set(allowed.suffix(2))
            options.tasksPerWorker = 1
            try await withPool(processes: 1, options: options) { pool async throws in
                for round in 0..<6 {
                    if round == 3 {
                        await #expect(throws: ProcessCrash.self) {
                            try await pool.apply { _ = kill(getpid(), SIGKILL) }
                        }
                    }
                    #expect(try await pool.apply { allowedProcessors() } == [allowed.suffix(2)[allowed.count - 2]])
                }
            }
        }
    }
}
