internal import CBaselines

/// What the metrics share: how long to measure, and the helper programs.
struct Context: Sendable {
    let effort: Effort
    /// Nil if there is no python3.
    let python = try? Helper.python()
    /// Its queues, pipes and locks; nil if there is no python3.
    let sharedPython = try? Helper.sharedPython()
    /// Its pool; nil if there is no python3.
    let poolPython = try? Helper.poolPython()
    /// Nil if it was not built.
    let smallC = try? Helper.smallC()

    /// A fork and the wait for its end: in this process, and in a small one.
    ///
    /// The page tables of a process are copied with it, so the cost depends on who forks.
    func forkSeries(_ count: Int = 1) -> [Series] {
        let here = Series("c_fork_here") {
            microseconds(try nanoseconds(mpb_fork_wait(Int32(count)))) / Double(count)
        }
        guard let smallC else { return [here] }
        return [Series("c_fork") { microseconds(try smallC.measure("\(count)")) / Double(count) }, here]
    }

    /// CPython's methods. They are slow: each takes part in some rounds only.
    var pythonSeries: [Series] {
        guard let python else { return [] }
        return [("fork", 4), ("forkserver", 10), ("spawn", 20)].map { method, every in
            Series("cpython_\(method)", every: every) { microseconds(try python.measure(method)) }
        }
    }
}

/// A measuring C function's answer, which is a negative errno if it failed.
func nanoseconds(_ answer: Int64) throws -> Int64 {
    guard answer >= 0 else { throw BenchmarkError("a baseline failed with errno \(-answer)") }
    return answer
}

func microseconds(_ nanoseconds: Int64) -> Double { Double(nanoseconds) / 1e3 }
func milliseconds(_ nanoseconds: Int64) -> Double { Double(nanoseconds) / 1e6 }

struct BenchmarkError: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
}
