internal import MultiprocessingSystem
internal import MultiprocessingWire

/// Errors on their way from a child: with their type where it is `Codable`, else as ``RemoteError``.
enum ErrorCoding {
    static func encode(_ error: any Error) -> [UInt8] {
        ErrorBox.encode(error)
    }

    static func decode(_ bytes: UnsafeRawBufferPointer, process: String, pid: Int32) -> any Error {
        do {
            switch try ErrorBox(decoding: Array(bytes)) {
            case .error(let error):
                return error
            case .description(let typeName, let text):
                return RemoteError(typeName: typeName, message: text, processName: process, processIdentifier: pid)
            }
        } catch {
            return RemoteError(
                typeName: "unknown",
                message: "\(process) threw an error that could not be decoded: \(error)",
                processName: process,
                processIdentifier: pid
            )
        }
    }
}
