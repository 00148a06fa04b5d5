internal import MultiprocessingSystem
internal import MultiprocessingWire
internal import SystemPackage

/// Runs a body in a child, reports what came of it, and ends the process.
enum ChildBody {
    /// A body that does not suspend runs on the main thread, without starting the concurrency runtime.
    static func run(_ job: ReceivedJob, plan: LaunchPlan, channel: CInt) -> Never {
        guard job.isAsynchronous else {
            end(Result { try job.runSynchronously() }, plan: plan, channel: channel)
        }
        Task.detached {
            let result: Result<EncodedPieces, any Error>
            do { result = .success(try await job.run()) } catch { result = .failure(error) }
            end(result, plan: plan, channel: channel)
        }
        ThisProcess.serveMainQueue()
    }

    /// Reports and leaves as a return from `main` would.
    static func end(_ result: Result<EncodedPieces, any Error>, plan: LaunchPlan, channel number: CInt) -> Never {
        let status = report(result, plan: plan, channel: number)
        ThisProcess.exit(status)
    }

    /// Reports; returns the exit code.
    static func report(_ result: Result<EncodedPieces, any Error>, plan: LaunchPlan, channel number: CInt) -> CInt {
        // What the body printed comes before anybody can learn that it is done.
        ThisProcess.flushStandardIO()
        let outcome: Outcome
        var status: CInt = 0
        switch result {
        case .success(let bytes):
            outcome = .value(.encoded(bytes))
        case .failure(let error as ClosureError):
            // A type can promise to travel where its value cannot: an existential, or what its own coding refuses.
            status = 1
            if plan.printsErrors { printError(error, process: plan.identity.name) }
            outcome = refusal("an argument or the result cannot travel: \(error)")
        case .failure(let error):
            status = 1
            if plan.printsErrors { printError(error, process: plan.identity.name) }
            outcome = .failure(.pieces([ErrorCoding.encode(error)]))
        }
        let channel = Descriptor(owning: number)
        do {
            try outcome.send(over: channel)
        } catch {
            // A result too large for this process's limits must not look like a body without a value.
            let reason = (error as? Errno).map { ": \($0) (errno \($0.rawValue))" } ?? ""
            try? refusal("the result could not be sent\(reason)").send(over: channel)
            status = 1
        }
        return status
    }

    /// Says that the body ran and its value stays here.
    private static func refusal(_ message: String) -> Outcome {
        let failure = SetupFailure(message: message, errno: nil, cannotTravel: true)
        return .notSetUp(.pieces([(try? BinaryEncoder().encode(failure)) ?? []]))
    }

    private static func printError(_ error: any Error, process: String) {
        let text = "\(process): uncaught error: \(type(of: error)): \(error)\n"
        var copy = text
        copy.withUTF8 { bytes in
            // Descriptor 2 is nobody's to close.
            let stream = Descriptor(owning: 2)
            try? stream.writeAll(UnsafeRawBufferPointer(bytes))
            _ = stream.release()
        }
    }
}
