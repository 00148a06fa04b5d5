import Glibc
import Multiprocessing
import SystemPackage
import Testing

extension ProcessTests {
    /// Standard input, output and error: redirected, closed, relayed.
    @Suite struct StandardStreamTests {
        // CPython: _TestProcess.test_error_on_stdio_flush_1
        // Adapted: descriptors are closed where CPython replaces file objects.
        @Test(arguments: StartMethod.allCases) func streamsClosedInTheParent(method: StartMethod) async throws {
            for closed: [Int32] in [[0], [1], [2], [1, 2], [0, 1, 2]] {
                try await isolated {
                    for stream in closed { close(stream) }
                    for _ in 0..<2 {
                        let child = try ChildProcess(startMethod: method) {
                            print("to standard output")
                            put("to standard error\n", to: 2)
                            fflush(nil)
                            return (0..<3).map { linkTarget("/proc/self/fd/\($0)") ?? "closed" }
                        }
                        try child.start()
                        let streams = try child.waitForValue(timeout: .seconds(20))
                        try check(!streams.contains("closed"), "\(streams)")
                        for stream in closed where stream < 2 { try check(streams[Int(stream)], is: "/dev/null") }
                        try check(child.exitStatus, is: .exited(0))
                    }
                }
            }
        }

        // CPython: _TestProcess.test_error_on_stdio_flush_2
        // Adapted: as above.
        @Test(arguments: StartMethod.allCases) func streamsClosedByTheBody(method: StartMethod) async throws {
            try await isolated {
                for closed: [Int32] in [[1], [2], [0, 1, 2]] {
                    let child = try ChildProcess(arguments: closed, startMethod: method) { closed in
                        print("never to be seen")
                        for stream in closed { close(stream) }
                        return 5
                    }
                    try child.start()
                    try check(child.waitForValue(timeout: .seconds(20)), is: 5)
                    try check(child.exitStatus, is: .exited(0))
                }
            }
        }

        // CPython: _TestSubclassingProcess.test_stderr_flush
        // Adapted: the error's type and description where CPython prints a traceback.
        @Test(arguments: StartMethod.allCases) func anUncaughtErrorIsOnStandardError(method: StartMethod) async throws {
            try await isolated {
                let pipe = try PlainPipe()
                var options = ProcessOptions()
                options.startMethod = method
                options.name = "Failing"
                options.standardError = .descriptor(pipe.writing)
                let child = try ChildProcess(options: options) { throw CheckFailure(text: "out of tea", place: "here") }
                try child.start()
                try check(child.join(timeout: .seconds(20)))
                try check(child.exitStatus, is: .exited(1))
                try check(pipe.closeAndRead(), is: "Failing: uncaught error: CheckFailure: here: out of tea\n")
            }
        }

        @Test(arguments: [StartMethod.forkServer, .spawn]) func runPrintsNoError(method: StartMethod) async throws {
            try await isolated {
                let pipe = try PlainPipe()
                var options = ProcessOptions()
                options.startMethod = method
                options.standardError = .descriptor(pipe.writing)
                let setting = options
                do {
                    try await ChildProcess.run(options: setting) {
                        throw CheckFailure(text: "out of tea", place: "here")
                    }
                    try check(false, "nothing was thrown")
                } catch let error as CheckFailure {
                    try check(error.text, is: "out of tea")
                }
                try check(pipe.closeAndRead(), is: "")
            }
        }

        @Test(arguments: StartMethod.allCases) func standardInputIsEmpty(method: StartMethod) async throws {
            var outer = ProcessOptions()
            let pipe = try PlainPipe()
            put("not for the child", to: pipe.writing.rawValue)
            outer.standardInput = .descriptor(pipe.reading)
            try await isolated(options: outer) {
                let child = try ChildProcess(startMethod: method) { readAll(0) }
                try child.start()
                try check(child.waitForValue(timeout: .seconds(20)), is: "")
            }
            try pipe.writing.close()
            try pipe.reading.close()
        }

        @Test(arguments: StartMethod.allCases) func redirectedStreams(method: StartMethod) async throws {
            try await isolated {
                let (input, output, error) = (try PlainPipe(), try PlainPipe(), try PlainPipe())
                put("question", to: input.writing.rawValue)
                try input.writing.close()
                var options = ProcessOptions()
                options.startMethod = method
                options.standardInput = .descriptor(input.reading)
                options.standardOutput = .descriptor(output.writing)
                options.standardError = .descriptor(error.writing)
                let child = try ChildProcess(options: options) {
                    print("answer to \(readAll(0))")
                    put("complaint", to: 2)
                }
                try child.start()
                try check(child.join(timeout: .seconds(20)))
                try check(output.closeAndRead(), is: "answer to question\n")
                try check(error.closeAndRead(), is: "complaint")
            }
        }

        @Test(arguments: StartMethod.allCases) func outputAndErrorIntoOneDescriptor(method: StartMethod) async throws {
            try await isolated {
                let pipe = try PlainPipe()
                var options = ProcessOptions()
                options.startMethod = method
                options.standardOutput = .descriptor(pipe.writing)
                options.standardError = .descriptor(pipe.writing)
                options.descriptors = [pipe.writing]
                let number = pipe.writing.rawValue
                let child = try ChildProcess(options: options) {
                    for file in [1, 2, number] { put("\(file);", to: file) }
                }
                try child.start()
                try check(child.join(timeout: .seconds(20)))
                try check(pipe.closeAndRead(), is: "1;2;\(number);")
            }
        }

        @Test(arguments: StartMethod.allCases) func standardErrorIsRelayed(method: StartMethod) async throws {
            try await isolated {
                let pipe = try PlainPipe()
                dup2(pipe.writing.rawValue, 2)
                let child = try ChildProcess(startMethod: method) {
                    for index in 0..<2000 { put("line \(index)\n", to: 2) }
                }
                try child.start()
                // All of it has been passed on when join returns, however much it is: somebody has to read meanwhile.
                let reader = try ChildProcess(startMethod: .spawn, options: .reading(pipe.reading)) {
                    [number = pipe.reading.rawValue] in
                    var count = 0
                    while case let text = line(from: number), text != "end" { count += text.hasPrefix("line ") ? 1 : 0 }
                    return count
                }
                try reader.start()
                try check(child.join(timeout: .seconds(20)))
                put("end\n", to: 2)
                try check(reader.waitForValue(timeout: .seconds(20)), is: 2000)
            }
        }

        @Test func aFullStandardErrorDoesNotStopTheParent() async throws {
            try await isolated {
                // Nobody reads this pipe.
                let pipe = try PlainPipe()
                dup2(pipe.writing.rawValue, 2)
                let child = try ChildProcess { for _ in 0..<400 { put(String(repeating: "x", count: 1000), to: 2) } }
                try child.start()
                // It waits for a reader, like any writer; meanwhile others can be started and joined.
                try check(!child.join(timeout: .milliseconds(300)))
                let other = try ChildProcess { 4 }
                try other.start()
                try check(other.waitForValue(timeout: .seconds(20)), is: 4)
                try child.kill()
                try check(child.join(timeout: .seconds(20)))
            }
        }

        @Test func aClosedDescriptorAsAStreamIsRefused() async throws {
            try await isolated {
                var options = ProcessOptions()
                options.standardOutput = .descriptor(FileDescriptor(rawValue: 900))
                let child = try ChildProcess(options: options) {}
                try check(throws: .invalidArgument) { try child.start() }
                options.standardOutput = .relay
                try check(throws: .invalidArgument) { _ = try ChildProcess(options: options) {} }
            }
        }
    }
}

extension ProcessOptions {
    fileprivate static func reading(_ file: FileDescriptor) -> ProcessOptions {
        var options = ProcessOptions()
        options.descriptors = [file]
        options.standardError = .null
        return options
    }
}
