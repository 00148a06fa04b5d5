internal import CBaselines
internal import Glibc

/// A program that measures something on request, and says how long it took by its own clock.
///
/// One runs throughout, so that its samples can be taken in turns with ours. It ends with its pipes, and so with us.
final class Helper: Sendable {
    /// The first line it wrote: what it is.
    let greeting: String
    private let pid: Int32
    private let requests: Int32
    private let answers: Int32

    init(_ program: String, arguments: [String] = []) throws {
        let copies = ([program] + arguments).map { strdup($0) }
        defer { for copy in copies { free(copy) } }
        let strings = copies.map { UnsafePointer<CChar>($0) } + [nil]
        var requests: Int32 = -1
        var answers: Int32 = -1
        pid = mpb_start_helper(program, strings, &requests, &answers)
        guard pid > 0 else { throw BenchmarkError("\(program) cannot be started") }
        self.requests = requests
        self.answers = answers
        do {
            greeting = try Self.line(from: answers)
        } catch {
            mpb_stop_helper(pid, requests, answers)
            throw error
        }
    }

    deinit {
        mpb_stop_helper(pid, requests, answers)
    }

    /// Nanoseconds for what `request` names.
    func measure(_ request: String) throws -> Int64 {
        // A line is far smaller than a pipe's buffer.
        let line = Array("\(request)\n".utf8)
        guard write(requests, line, line.count) == line.count else { throw BenchmarkError("\(greeting) is gone") }
        let answer = try Self.line(from: answers)
        guard let time = Int64(answer), time >= 0 else { throw BenchmarkError("\(greeting) answered \(answer)") }
        return time
    }

    private static func line(from descriptor: Int32) throws -> String {
        var bytes: [UInt8] = []
        var byte: UInt8 = 0
        while read(descriptor, &byte, 1) == 1 {
            if byte == UInt8(ascii: "\n") { return String(decoding: bytes, as: UTF8.self) }
            bytes.append(byte)
        }
        throw BenchmarkError("a helper program ended")
    }
}

extension Helper {
    /// A small C program that forks. It is another product of this package: `swift build` makes it, `swift run` alone does not.
    static func smallC() throws -> Helper {
        var path = [CChar](repeating: 0, count: 4096)
        let length = readlink("/proc/self/exe", &path, path.count)
        let own = String(decoding: path.prefix(max(0, length)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        guard let slash = own.lastIndex(of: "/") else { throw BenchmarkError("/proc is not mounted") }
        return try Helper(own[...slash] + "mpbench-cfork")
    }

    /// A CPython interpreter that starts and joins processes.
    static func python() throws -> Helper {
        // `int` does nothing, and every start method can name it: it needs no module of ours.
        let script = """
            import multiprocessing, platform, sys, time
            print(platform.python_implementation(), platform.python_version(), flush=True)
            for line in iter(sys.stdin.readline, ""):
                context = multiprocessing.get_context(line.strip())
                begin = time.perf_counter_ns()
                process = context.Process(target=int)
                process.start()
                process.join()
                print(time.perf_counter_ns() - begin, flush=True)
            """
        return try Helper("python3", arguments: ["-c", script])
    }
}
