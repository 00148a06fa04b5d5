import Glibc
import Multiprocessing
import Synchronization
import SystemPackage
import Testing

extension ProcessTests {
    /// How start methods are chosen and inherited.
    @Suite struct StartMethodTests {
        // CPython: TestStartMethod.test_context
        @Test(arguments: StartMethod.allCases) func aMethodForOneProcess(method: StartMethod) async throws {
            try await isolated {
                let child = try ChildProcess(startMethod: method) { ChildProcess.current.startMethod }
                try check(child.startMethod, is: method)
                try child.start()
                try check(child.handle.startMethod, is: method)
                try check(child.waitForValue(timeout: .seconds(20)), is: method)
                // A method for one process is no default.
                try check(StartMethod.default, is: .forkServer)
            }
        }

        // CPython: TestStartMethod.test_set_get
        @Test(arguments: StartMethod.allCases) func theDefaultIsInherited(method: StartMethod) async throws {
            try await isolated {
                StartMethod.default = method
                try check(StartMethod.default, is: method)
                let child = try ChildProcess {
                    let grandchild = try ChildProcess { ChildProcess.current.startMethod }
                    try grandchild.start()
                    return [
                        ChildProcess.current.startMethod, .default, try grandchild.waitForValue(timeout: .seconds(20)),
                    ]
                }
                try child.start()
                try check(child.waitForValue(timeout: .seconds(20)), is: [method, method, method])
            }
        }

        // CPython: TestStartMethod.test_get_all
        @Test func allMethods() {
            #expect(StartMethod.allCases == [.forkServer, .spawn, .fork])
            #expect(StartMethod.allCases.map(\.description) == ["forkServer", "spawn", "fork"])
            #expect(StartMethod.allCases.first == .default)
        }

        // CPython: TestStartMethod.test_nested_startmethod
        @Test(arguments: StartMethod.allCases, StartMethod.allCases)
        func aChildPassesItsArgumentsOn(outer: StartMethod, inner: StartMethod) async throws {
            try await isolated {
                let pipe = try PlainPipe()
                var options = ProcessOptions()
                options.startMethod = outer
                options.descriptors = [pipe.writing]
                let child = try ChildProcess(arguments: pipe.writing.rawValue, [1, 2], options: options) {
                    output,
                    items in
                    var options = ProcessOptions()
                    options.startMethod = inner
                    options.descriptors = [FileDescriptor(rawValue: output)]
                    let grandchild = try ChildProcess(arguments: output, items, options: options) { output, items in
                        put("\(items)", to: output)
                    }
                    try grandchild.start()
                    return try grandchild.join(timeout: .seconds(20))
                }
                try child.start()
                try check(child.waitForValue(timeout: .seconds(20)))
                try check(pipe.closeAndRead(), is: "[1, 2]")
            }
        }

        // CPython: _TestProcess.test_recursion
        @Test(arguments: StartMethod.allCases) func recursion(method: StartMethod) async throws {
            try await isolated {
                let pipe = try PlainPipe()
                try recurse([], pipe.writing.rawValue, method)
                let expected = ["", "0", "00", "01", "1", "10", "11"]
                try check(pipe.closeAndRead(), is: expected.map { $0 + "\n" }.joined())
            }
        }

        // CPython: _TestProcess.test_set_executable
        // Adapted: an option of each process, and one type for paths.
        @Test func executable() async throws {
            try await isolated {
                var options = ProcessOptions()
                options.startMethod = .spawn
                options.executable = FilePath(linkTarget("/proc/self/exe")!)
                let child = try ChildProcess(options: options) { 1 }
                try child.start()
                try check(child.waitForValue(timeout: .seconds(20)), is: 1)
                try check(child.exitStatus, is: .exited(0))

                options.executable = "/nonexistent/program"
                let missing = try ChildProcess(options: options) { 1 }
                let error = try check(throws: .startFailed) { try missing.start() }
                try check(error.errno, is: .noSuchFileOrDirectory)

                options.startMethod = .forkServer
                try check(throws: .invalidArgument) { _ = try ChildProcess(options: options) { 1 } }
            }
        }

        @Test func forkRefusesAsynchronousBodies() throws {
            #expect(throws: ProcessError.self) {
                try ChildProcess(startMethod: .fork) { () async throws -> Void in await Task.yield() }
            }
        }

        @Test func forkTakesCapturesThatCannotTravel() async throws {
            try await isolated {
                final class Open: Sendable {
                    let number = Mutex(5)
                }
                let open = Open()
                let child = try ChildProcess(startMethod: .fork) { open.number.withLock { $0 } }
                try child.start()
                try check(child.waitForValue(timeout: .seconds(20)), is: 5)
            }
        }

        /// Not by `.fork`: a copy of a process with busy threads may begin with a lock that one of them held, which is why that
        /// method is documented for programs with one thread.
        @Test(arguments: [StartMethod.forkServer, .spawn]) func manyThreadsStartAtOnce(method: StartMethod) async throws
        {
            try await isolated { @concurrent () async throws -> Void in
                try await withThrowingTaskGroup(of: (Int, Int).self) { group in
                    for index in 0..<24 {
                        group.addTask {
                            try await onThread {
                                let child = try ChildProcess(arguments: index, startMethod: method) { $0 * 2 }
                                try child.start()
                                return (index, try child.waitForValue(timeout: .seconds(40)))
                            }
                        }
                    }
                    for try await (index, value) in group { try check(value, is: index * 2) }
                }
                try await check(eventually { zombies().isEmpty })
            }
        }
    }
}

/// Writes its name, then starts two children, one after the other, that do the same one level deeper.
@Sendable private func recurse(_ name: [Int], _ output: Int32, _ method: StartMethod) throws {
    put(name.map(String.init).joined() + "\n", to: output)
    guard name.count < 2 else { return }
    for index in 0..<2 {
        var options = ProcessOptions()
        options.startMethod = method
        options.descriptors = [FileDescriptor(rawValue: output)]
        let child = try ChildProcess(arguments: name + [index], output, method, options: options, body: recurse)
        try child.start()
        try check(child.join(timeout: .seconds(30)))
        try check(child.exitStatus, is: .exited(0))
    }
}
