extension Report {
    /// The number of copies that a workload's verdict is about: as many as the machine can run at once, if measured.
    package func verdictCount(of workload: Workload) -> Int? {
        let counts = counts(of: workload).filter { $0 > 1 }
        return counts.last { $0 <= machine.processors } ?? counts.first
    }

    /// One plain line about a workload.
    package func verdict(_ workload: Workload) -> String {
        let parts = implementations.compactMap { implementation in
            verdict(workload, implementation.name).map { (implementation.name == .swift ? "" : "CPython: ") + $0 }
        }
        if parts.isEmpty { return "\(workload.rawValue): nothing to compare; measure n = 1 and one more" }
        return "\(workload.rawValue): \(parts.joined(separator: "; "))"
    }

    /// What is to be said about a workload in one language, or nil if the cases for it were not measured.
    package func verdict(_ workload: Workload, _ language: Language) -> String? {
        switch workload {
        case .emptyFunc: verdictOnStarting(language)
        case .queue: verdictOnQueues(language)
        default: verdictOnWorking(workload, language)
        }
    }

    /// The PEP found the queue between processes 3.6 to 6.3 times dearer than the one in a single process; starts included, as here.
    private func verdictOnQueues(_ language: Language) -> String? {
        guard
            let n = verdictCount(of: .queue),
            let linear = result(language, .queue, .linear, n),
            let processes = result(language, .queue, .processes, n),
            let threads = result(language, .queue, .threads, n), linear.best > 0
        else { return nil }
        return
            "a queue that \(n) processes share takes \(fixed(processes.best / linear.best, 2))x the time of one in a single "
            + "thread, a queue that \(n) threads share \(fixed(threads.best / linear.best, 2))x"
    }

    private func verdictOnStarting(_ language: Language) -> String? {
        guard
            let n = counts(of: .emptyFunc).last,
            let process = result(language, .emptyFunc, .processes, n),
            let thread = result(language, .emptyFunc, .threads, n)
        else { return nil }
        let (forProcess, forThread) = (duration(process.best / Double(n)), duration(thread.best / Double(n)))
        return "starting and joining \(n) costs \(forProcess) per process, \(forThread) per thread"
    }

    private func verdictOnWorking(_ workload: Workload, _ language: Language) -> String? {
        guard
            let n = verdictCount(of: workload),
            let one = result(language, workload, .linear, 1),
            let processes = result(language, workload, .processes, n),
            let threads = result(language, workload, .threads, n)
        else { return nil }
        let line =
            "\(n) processes did the work of \(n) in \(fixed(processes.best / one.best, 2))x the time of 1; "
            + "threads \(fixed(threads.best / one.best, 2))x"
        return n > machine.processors ? line + " (only \(machine.processors) can run at once here)" : line
    }
}
