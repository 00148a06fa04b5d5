/// Says why a closure, a type or a value cannot travel to another process, or why bytes cannot be turned back into one.
public struct ClosureError: Error, Sendable, CustomStringConvertible {
    /// What went wrong, for programs to tell apart.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Value: Hashable, Sendable {
            case notTransferable, typeUnavailable, valueCodingFailed, closureNotUnderstood
            case malformedBytes, differentBuild, imageNotLoaded, signatureMismatch, runtimeLayoutChanged
        }
        private let value: Value

        /// A capture, an argument or a result is of a type that cannot be taken to another process.
        public static let notTransferable = Code(value: .notTransferable)
        /// The program keeps no metadata of a type, as the optimizer does with types that are only captured.
        public static let typeUnavailable = Code(value: .typeUnavailable)
        /// A value's own `Codable` conformance threw.
        public static let valueCodingFailed = Code(value: .valueCodingFailed)
        /// The closure holds something that is not laid out in a way this library knows.
        public static let closureNotUnderstood = Code(value: .closureNotUnderstood)
        /// The bytes are truncated, corrupt, or were not made by this library.
        public static let malformedBytes = Code(value: .malformedBytes)
        /// The bytes were made by another build of the program or of one of its libraries.
        public static let differentBuild = Code(value: .differentBuild)
        /// The closure's code is in a shared library which this process has not loaded.
        public static let imageNotLoaded = Code(value: .imageNotLoaded)
        /// The bytes hold a function of another type than the one asked for.
        public static let signatureMismatch = Code(value: .signatureMismatch)
        /// The Swift runtime does not lay functions out as this library expects; no closure is sent.
        public static let runtimeLayoutChanged = Code(value: .runtimeLayoutChanged)

        /// The code's name.
        public var description: String { "\(value)" }
    }

    /// Where a closure is written.
    public struct Location: Hashable, Sendable, Codable, CustomStringConvertible {
        /// The file, as `#fileID` names it.
        public var fileID: String
        /// The line, from one.
        public var line: Int

        /// Names a place in a source file.
        public init(fileID: String, line: Int) {
            self.fileID = fileID
            self.line = line
        }

        /// The place as compilers print it: `Module/File.swift:12`.
        public var description: String { "\(fileID):\(line)" }
    }

    /// What went wrong.
    public var code: Code
    /// The type or thing that caused it, as Swift spells it.
    public var subject: String?
    /// Why that is a problem, in a sentence.
    public var reason: String
    /// What to do about it, where something can be done.
    public var remedy: String?
    /// Where the closure is written, where that is known.
    public var location: Location?

    init(_ code: Code, _ subject: String? = nil, reason: String, remedy: String? = nil) {
        self.code = code
        self.subject = subject
        self.reason = reason
        self.remedy = remedy
    }

    /// The whole story in one line.
    public var description: String {
        var text = location.map { "\($0): " } ?? ""
        if let subject { text += "'\(subject)' " }
        text += reason
        if let remedy { text += "; \(remedy)" }
        return text
    }

    func at(_ location: Location) -> ClosureError {
        var error = self
        error.location = error.location ?? location
        return error
    }
}

extension ClosureError {
    static let passAsArgument = "pass it as an argument: ChildProcess(arguments: x) { x in … }"
    /// For what an argument cannot be either, unless it is part of a value that can.
    static let makeCodable =
        "make it Codable, or capture only what the body needs of it, or make it in the body;"
        + " if it belongs to a Codable value, " + passAsArgument

    static func refused(_ subject: String, _ reason: String, remedy: String = passAsArgument) -> ClosureError {
        ClosureError(.notTransferable, subject, reason: reason, remedy: remedy)
    }

    static func malformed(_ reason: String) -> ClosureError {
        ClosureError(.malformedBytes, reason: "the bytes of a closure are malformed: \(reason)")
    }
}
