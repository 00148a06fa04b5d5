internal import MultiprocessingWire

// What becomes of a task, as its user learns it.

extension PoolCore {
    /// A crash says what the worker was doing.
    static func naming(_ task: String, _ error: (any Error)?) -> (any Error)? {
        if var crash = error as? ProcessCrash {
            crash.task = task
            return crash
        }
        if var lost = error as? WorkerLost {
            lost.task = task
            return lost
        }
        if var left = error as? ProcessError {
            left.message = "In \(task): \(left.message)"
            return left
        }
        return error
    }

    func outcome(
        of task: Int,
        _ work: Work,
        _ resolution: PoolScheduler.Resolution,
        _ state: inout State
    ) -> Outcome {
        let result = state.results.removeValue(forKey: task)
        switch resolution {
        case .finished:
            return result ?? .failure(PoolError(.terminated, "\(work.name) left no result"))
        case .crashed(let worker):
            return .failure(
                Self.naming(work.name, state.endings.removeValue(forKey: worker))
                    ?? PoolError(.workersFail, "The worker that ran \(work.name) left without a result")
            )
        case .cancelled:
            return .failure(PoolError(.cancelled, "\(work.name) was cancelled"))
        case .expired:
            return .failure(
                PoolError(.timedOut, "\(work.name) took longer than \(work.timeout ?? .zero); its worker was ended")
            )
        case .abandoned where state.scheduler.hasGivenUp:
            return .failure(gaveUp(state))
        case .abandoned:
            return .failure(PoolError(.terminated, "\(name) was terminated before \(work.name) was done"))
        }
    }

    func gaveUp(_ state: State) -> PoolError {
        let reason = state.lastFailure.map { ": \($0)" } ?? ""
        return PoolError(.workersFail, "\(name) gave up, because its workers fail one after the other\(reason)")
    }
}
