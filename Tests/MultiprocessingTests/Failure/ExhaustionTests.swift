import Glibc
import Multiprocessing
import SystemPackage
import Testing

extension ProcessTests {
    /// The system has no more descriptors or processes to give: a typed error, nothing lost, and afterwards it works again.
    @Suite struct ExhaustionTests {
        @Test(arguments: StartMethod.allCases) func noMoreDescriptors(method: StartMethod) async throws {
            try await isolated {
                // The library's own are there before it gets tight.
                let first = try ChildProcess(startMethod: method) { 1 }
                try first.start()
                try check(first.waitForValue(timeout: .seconds(20)), is: 1)
                lowerLimit(7, to: 60)
                var children: [ChildProcess<Never>] = []
                var failure: ProcessError?
                while failure == nil, children.count < 100 {
                    let child = try ChildProcess(startMethod: method) { sleepForever() }
                    do {
                        try child.start()
                        children.append(child)
                    } catch let error as ProcessError {
                        failure = error
                    }
                }
                try check(failure?.code, is: .startFailed)
                try check(failure?.errno == .tooManyOpenFiles, "\(failure!)")
                // Those that run are not touched by it.
                try check(children.count > 5 && children.allSatisfy(\.isAlive), "\(children.count)")
                for child in children { try child.kill() }
                for child in children { try check(child.join(timeout: .seconds(20))) }
                for _ in 0..<5 {
                    let child = try ChildProcess(startMethod: method) { 2 }
                    try child.start()
                    try check(child.waitForValue(timeout: .seconds(20)), is: 2)
                }
                try check(eventually { zombies().isEmpty }, "\(zombies())")
            }
        }

        @Test(arguments: StartMethod.allCases) func oneMoreDescriptorEachTime(method: StartMethod) async throws {
            // Wherever in a start the last descriptor is taken: an error, or a child; nothing is left behind.
            try await isolated {
                let first = try ChildProcess(startMethod: method) { 1 }
                try first.start()
                try check(first.waitForValue(timeout: .seconds(20)), is: 1)
                ForkServer.stop()
                try check(eventually { zombies().isEmpty })
                let base = openDescriptors().last! + 1
                for limit in base..<(base + 14) {
                    let hard = lowerLimit(7, to: UInt64(limit), keepingHard: true)
                    let child = try ChildProcess(startMethod: method) { 2 }
                    do {
                        try child.start()
                        _ = try? child.waitForValue(timeout: .seconds(20))
                    } catch let error as ProcessError {
                        try check(error.code, is: .startFailed)
                        try check(error.errno, is: .tooManyOpenFiles)
                    }
                    lowerLimit(7, to: hard, keepingHard: true)
                    ForkServer.stop()
                    try check(eventually { zombies().isEmpty }, "limit \(limit): \(zombies())")
                }
                let last = try ChildProcess(startMethod: method) { 3 }
                try last.start()
                try check(last.waitForValue(timeout: .seconds(20)), is: 3)
            }
        }

        // Root is not limited; a child that took another user is.
        @Test(.enabled(if: getuid() == 0, "needs root"), arguments: StartMethod.allCases)
        func noMoreProcesses(method: StartMethod) async throws {
            var options = ProcessOptions()
            options.user = 61_234
            try await isolated(options: options) {
                let first = try ChildProcess(startMethod: method) { 1 }
                try first.start()
                try check(first.waitForValue(timeout: .seconds(20)), is: 1)
                ForkServer.stop()
                try check(eventually { childrenOfThisProcess().isEmpty })
                let hard = lowerLimit(6, to: 1, keepingHard: true)
                let child = try ChildProcess(startMethod: method) { 2 }
                let error = try check(throws: .startFailed) { try child.start() }
                try check(error.errno == .resourceTemporarilyUnavailable, "\(error)")
                lowerLimit(6, to: hard, keepingHard: true)
                try child.start()
                try check(child.waitForValue(timeout: .seconds(20)), is: 2)
                try check(eventually { zombies().isEmpty }, "\(zombies())")
            }
        }
    }
}

/// Sets a soft limit, and the hard one unless it is to stay; returns the soft limit of before.
@discardableResult
private func lowerLimit(_ resource: UInt32, to value: UInt64, keepingHard: Bool = false) -> UInt64 {
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(resource), &limit)
    let before = UInt64(limit.rlim_cur)
    limit.rlim_cur = rlim_t(value)
    if !keepingHard { limit.rlim_max = rlim_t(value) }
    setrlimit(__rlimit_resource_t(resource), &limit)
    return before
}
