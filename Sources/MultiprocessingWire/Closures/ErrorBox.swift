/// An error as it travels: with its type where the type is `Codable`, otherwise as its name and description.
public enum ErrorBox: Sendable {
    /// The error itself.
    case error(any Error)
    /// What is known of an error that is not `Codable`: the name of its type, and its description.
    case description(typeName: String, text: String)

    /// Encodes an error; this never fails, a description can always be sent.
    public static func encode(_ error: any Error) -> [UInt8] {
        do throws(ClosureError) {
            var writer = ClosureWriter(transfer: nil)
            writer.put(byte: 1)
            try writer.put(error: error)
            return writer.finish()
        } catch _ {
            var writer = ClosureWriter(transfer: nil)
            writer.put(byte: 0)
            writer.put(String(reflecting: type(of: error)))
            writer.put(String(describing: error))
            return writer.finish()
        }
    }

    /// Decodes what ``encode(_:)`` made in a process of the same executable.
    ///
    /// - Throws: ``ClosureError`` if the bytes are damaged or come from another build.
    public init(decoding bytes: [UInt8]) throws(ClosureError) {
        self = try bytes.withUnsafeBytesTyped { (bytes) throws(ClosureError) in
            var reader = try ClosureReader(bytes)
            switch try reader.byte() {
            case 0: return .description(typeName: try reader.string(), text: try reader.string())
            case 1: return .error(try reader.value((any Error).self))
            default: throw .malformed("no error starts like this")
            }
        }
    }
}
