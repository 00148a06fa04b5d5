internal import MultiprocessingWire

// What becomes of a task, as its user learns it.

extension PoolCore {
    /// A crash says what the worker was doing.
    static func naming(_ task: String, _ deaths: Int, _ error: (any Error)?) -> (any Error)? {
        if var crash = error as? ProcessCrash {
            crash.task = task
            crash.attempts = deaths
            return crash
        }
        if var lost = error as? WorkerLost {
            lost.task = task
            lost.attempts = deaths
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
        let position = state.positions.removeValue(forKey: task)
        let excess = state.excesses.removeValue(forKey: task)
        let name = work.description(at: position)
        switch resolution {
        case .finished:
            return result ?? .failure(PoolError(.terminated, "\(name) left no result"))
        case .crashed(let worker, let deaths):
            let error =
                Self.naming(name, deaths, state.endings.removeValue(forKey: worker))
                ?? PoolError(.workersFail, "The worker that ran \(name) left without a result")
            return lost(error, work, position, isDeath: true)
        case .cancelled:
            return .failure(PoolError(.cancelled, "\(name) was cancelled"))
        case .expired:
            let error = PoolError(.timedOut, "\(name) took longer than \(work.timeout ?? .zero); its worker was ended")
            return lost(error, work, position, isDeath: false)
        case .outgrown:
            let (used, limit) = (excess ?? 0, work.memoryLimit ?? memoryPerTask ?? 0)
            let error = PoolError(
                .memoryExceeded,
                "\(name) had \(used >> 20) MiB of memory, of \(limit >> 20) MiB that it may have; its worker was ended"
            )
            return lost(error, work, position, isDeath: false)
        case .abandoned where state.scheduler.hasGivenUp:
            return .failure(gaveUp(state))
        case .abandoned:
            return .failure(PoolError(.terminated, "\(self.name) was terminated before \(name) was done"))
        }
    }

    /// What is over many items goes on without the one that it failed at, if its user wants that.
    private func lost(_ error: any Error, _ work: Work, _ position: ChunkPosition?, isDeath: Bool) -> Outcome {
        work.items == nil
            ? .failure(error) : .lost(Loss(error: error, position: position, isDeath: isDeath))
    }

    func gaveUp(_ state: State) -> PoolError {
        let reason = state.lastFailure.map { "; the last reason: \($0)" } ?? ""
        return PoolError(.workersFail, "\(name) gave up: its workers end with no task to blame for it\(reason)")
    }
}
