internal import MultiprocessingSystem
internal import MultiprocessingWire
internal import SystemPackage

extension ProcessRecord.End {
    /// What waiting for a value gives: the value, or what came instead of it.
    func result<Success>(
        of record: ProcessRecord,
        decode: (UnsafeRawBufferPointer, [SharedDescriptor]) throws -> Success
    ) throws -> Success {
        switch outcome {
        case .value(let content):
            do {
                return try content.withBytes { try decode($0, content.attachments) }
            } catch {
                throw ProcessError(.cannotTravel, "The value of \(record.name) could not be decoded: \(error)")
            }
        case .failure(let content):
            throw try content.withBytes { ErrorCoding.decode($0, process: record.name, pid: record.pid) }
        case .notSetUp(let content):
            let failure = try content.withBytes { try BinaryDecoder().decode(SetupFailure.self, from: $0) }
            throw ProcessError(
                failure.cannotTravel ? .cannotTravel : .setupFailed,
                "\(record.name): \(failure.message)",
                errno: failure.errno.map { Errno(rawValue: $0) }
            )
        case nil where neverBegan:
            throw ProcessError(
                .startFailed,
                "The process of \(record.name) ended, by \(status), before it had read what it was to do: nothing of it ran",
                exitStatus: status
            )
        case nil:
            if let crash = CrashReport.make(record, self) { throw crash }
            if status == .unknown {
                throw ProcessError(.statusLost, "\(record.name) ended, and its status was collected by somebody else")
            }
            throw ProcessError(
                .noValue,
                "\(record.name) left without a value, by \(status): its body called exit",
                exitStatus: status
            )
        }
    }
}
