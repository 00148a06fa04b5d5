// The only file of the benchmark that knows the package under test: here `processes` becomes child processes.
internal import Glibc
internal import Multiprocessing

/// Runs the job in so many processes at once: create all, start all, join all.
func runInProcesses(_ job: Job, copies: Int) throws {
    // What the copies of a case share. Made for the one workload that uses it: it is part of the time.
    let queue = job.workload == .queue ? try Queue<Int>() : nil
    let children = try (1...copies).map { number in
        if case .queue(let work) = job, let queue {
            try ChildProcess(name: "\(job.name)-\(number)") {
                try work.run(put: { try queue.put($0) }, get: { try queue.get(timeout: .seconds(60)) })
            }
        } else {
            try ChildProcess(name: "\(job.name)-\(number)") { try job.run() }
        }
    }
    for child in children { try child.start() }
    for child in children { try child.join() }
    for child in children where child.exitStatus != .exited(0) {
        do {
            try child.waitForValue()
            throw BenchmarkError(.workerFailed, "\(child.name) ended with \(status(of: child))")
        } catch let error as BenchmarkError {
            throw error
        } catch {
            throw BenchmarkError(.workerFailed, "\(child.name): \(error)")
        }
    }
}

/// The server of `url_get` as a running process, and the port that it chose.
package struct ServerProcess {
    package let port: UInt16
    private let child: ChildProcess<Void>
    private let pipe: Int32

    /// Starts the server and waits, ten seconds at most, for its port.
    package init(scratch: ScratchDirectory) throws {
        let path = scratch.file("port")
        guard mkfifo(path, 0o600) == 0 else { throw BenchmarkError.errno("make the FIFO \(path)") }
        // Opened before the server looks for a reader; non-blocking, as there is no writer yet.
        let pipe = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        guard pipe >= 0 else { throw BenchmarkError.errno("open the FIFO \(path)") }
        do {
            child = try ChildProcess(name: "url_get-server") { try HTTPServer.serve(portPipe: path) }
            try child.start()
            port = try Self.readPort(from: pipe)
        } catch {
            close(pipe)
            throw error
        }
        self.pipe = pipe
    }

    /// Lets go of the life line, and waits for the server's end.
    package func stop() throws {
        close(pipe)
        try child.join()
        guard child.exitStatus == .exited(0) else {
            throw BenchmarkError(.server, "the HTTP server ended with \(status(of: child))")
        }
    }

    private static func readPort(from pipe: Int32) throws -> UInt16 {
        var text: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16)
        while text.last != UInt8(ascii: "\n") {
            var entry = pollfd(fd: pipe, events: Int16(POLLIN), revents: 0)
            let ready = poll(&entry, 1, 10_000)
            if ready < 0 && errno == EINTR { continue }
            let count = ready > 0 ? readSome(pipe, into: &buffer) : 0
            guard count > 0 else {
                throw BenchmarkError(.server, "the HTTP server of url_get did not come up")
            }
            text += buffer[..<count]
        }
        guard let port = UInt16(String(decoding: text.dropLast(), as: UTF8.self)) else {
            throw BenchmarkError(.server, "the HTTP server of url_get sent no port")
        }
        return port
    }
}

/// How the processes above are started, for the report.
var swiftStartMethod: String { "\(StartMethod.default)" }

/// How many processes can run at once here: what affinity and cgroups leave of the processors.
var usableProcessors: Int { availableProcessorCount }

private func status<Success>(of child: ChildProcess<Success>) -> String {
    child.exitStatus.map { "\($0)" } ?? "no status"
}
