internal import Glibc

/// What went wrong in a benchmark, with the words to act on.
package struct BenchmarkError: Error, Sendable, Hashable, Codable, CustomStringConvertible {
    /// The kind of failure.
    package struct Code: Sendable, Hashable, Codable {
        private enum Kind: String, Codable {
            case wrongResult, workerFailed, systemCall, server, python, badArgument
        }

        private let kind: Kind

        /// A workload computed something else than it must.
        package static let wrongResult = Code(kind: .wrongResult)
        /// A worker process ended otherwise than with exit code 0, or a thread could not be made.
        package static let workerFailed = Code(kind: .workerFailed)
        /// The operating system refused something.
        package static let systemCall = Code(kind: .systemCall)
        /// The HTTP server of `url_get` did not come up or answered wrongly.
        package static let server = Code(kind: .server)
        /// The Python interpreter to compare with cannot be used.
        package static let python = Code(kind: .python)
        /// A command line value that makes no sense.
        package static let badArgument = Code(kind: .badArgument)
    }

    package let code: Code
    package let message: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    /// An error of the system call that has just failed; reads `errno`, so call it at once.
    package static func errno(_ doing: String) -> BenchmarkError {
        BenchmarkError.system(doing, errnoValue: currentErrno())
    }

    /// An error of a call that returned its error number.
    package static func system(_ doing: String, errnoValue: Int32) -> BenchmarkError {
        BenchmarkError(.systemCall, "cannot \(doing): \(String(cString: strerror(errnoValue)))")
    }

    package var description: String { message }
}

private func currentErrno() -> Int32 {
    errno
}

/// Throws a `wrongResult` error unless what was computed is what must come out.
package func check<Value: Equatable>(_ what: String, _ found: Value, is expected: Value) throws(BenchmarkError) {
    if found != expected {
        throw BenchmarkError(.wrongResult, "\(what) is \(found), must be \(expected)")
    }
}
