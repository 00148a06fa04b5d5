internal import Logging

/// A line of a worker's log on its way to the pool's process.
struct LogRecord: Codable, Sendable {
    /// What a logger's metadata may be made of.
    indirect enum Value: Codable, Sendable {
        case string(String)
        case list([Value])
        case dictionary([String: Value])

        init(_ value: Logger.MetadataValue) {
            switch value {
            case .string(let text): self = .string(text)
            case .stringConvertible(let value): self = .string("\(value)")
            case .array(let values): self = .list(values.map(Value.init))
            case .dictionary(let values): self = .dictionary(values.mapValues(Value.init))
            }
        }

        var metadata: Logger.MetadataValue {
            switch self {
            case .string(let text): .string(text)
            case .list(let values): .array(values.map(\.metadata))
            case .dictionary(let values): .dictionary(values.mapValues(\.metadata))
            }
        }
    }

    var label: String
    var level: String
    var message: String
    var metadata: [String: Value]
    var source: String
    var file: String
    var function: String
    var line: UInt
    /// Who wrote it.
    var worker: String
    var processIdentifier: Int32
    /// How many records of this process had been dropped before, since the last one that was not.
    var dropped: Int
}
