/// Why a value could not be written to or read from the wire format.
public struct WireError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The kind of a wire error.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Value: String, Hashable, Sendable {
            case truncated, depthExceeded, sizeExceeded, typeMismatch, malformed, invalidText, trailingBytes
            case unsupportedVersion, unsupported
        }

        private let value: Value

        private init(_ value: Value) {
            self.value = value
        }

        /// The bytes end inside a value.
        public static let truncated = Code(.truncated)
        /// Values are nested deeper than the limits or the thread's stack allow.
        public static let depthExceeded = Code(.depthExceeded)
        /// The message, or the memory that it asks for, exceeds the limits.
        public static let sizeExceeded = Code(.sizeExceeded)
        /// The value is of another type than the one asked for, or does not fit it.
        public static let typeMismatch = Code(.typeMismatch)
        /// The bytes are not of the wire format.
        public static let malformed = Code(.malformed)
        /// A text is not UTF-8.
        public static let invalidText = Code(.invalidText)
        /// Bytes follow the value.
        public static let trailingBytes = Code(.trailingBytes)
        /// The message was written by another version of the format.
        public static let unsupportedVersion = Code(.unsupportedVersion)
        /// A type uses its encoder or decoder in a way that has no meaning.
        public static let unsupported = Code(.unsupported)

        /// The code's name.
        public var description: String { value.rawValue }
    }

    /// The kind of the error.
    public var code: Code
    /// What was wrong, in words.
    public var what: String
    /// The keys that lead to the value, joined by dots; empty at the top.
    public var codingPath: String
    /// The position in the message in bytes, when there is one.
    public var offset: Int?

    /// Makes an error.
    public init(code: Code, what: String, codingPath: String = "", offset: Int? = nil) {
        self.code = code
        self.what = what
        self.codingPath = codingPath
        self.offset = offset
    }

    /// Code, place and reason in one line.
    public var description: String {
        let place = codingPath.isEmpty ? "" : " at '\(codingPath)'"
        let position = offset.map { " (byte \($0))" } ?? ""
        return "WireError.\(code)\(place): \(what)\(position)"
    }
}

/// A coding key that is known by its text or its index only.
struct WireKey: CodingKey {
    let stringValue: String
    let intValue: Int?

    init(stringValue: String) {
        self.stringValue = stringValue
        intValue = nil
    }

    init(intValue: Int) {
        stringValue = "Index \(intValue)"
        self.intValue = intValue
    }

    /// The key of `superEncoder()` and `superDecoder()`, as Foundation's coders spell it.
    static let superclass = WireKey(stringValue: "super")
}

extension [any CodingKey] {
    /// The path as `WireError` shows it.
    var wirePath: String {
        map { $0.intValue.map(String.init) ?? $0.stringValue }.joined(separator: ".")
    }
}
