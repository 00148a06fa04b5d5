/// What a child is told besides its job: who it is, and how it is to be set up.
///
/// Travels in the launch packet, encoded with the library's own coder.
struct LaunchPlan: Codable, Sendable {
    var identity: ProcessIdentity
    var parent: ParentIdentity
    /// The method that the child's own children use by default.
    var defaultStartMethod: StartMethod
    /// All variables, when they differ from what the process was forked with.
    var wholeEnvironment: [String]?
    var environment: [String: String?]
    var workingDirectory: String?
    /// Streams that are to be `/dev/null`; others were attached or stay as they are.
    var nullStreams: [Int32]
    /// The numbers under which the passed descriptors belong.
    var descriptorNumbers: [Int32]
    var affinity: [Int]?
    var niceness: Int?
    var limits: [ProcessOptions.Limit]
    var group: UInt32?
    var user: UInt32?
    var ignoredSignals: [Int32]
    var blockedSignals: [Int32]
    /// Whether an error that the body throws is also written to standard error, as for a thread nobody asks for its value.
    var printsErrors: Bool
}

/// Who a process is.
struct ProcessIdentity: Codable, Sendable {
    var name: String
    /// The child numbers along the line of parents: empty in the first process.
    var path: [Int]
    var isDaemon: Bool
    var startMethod: StartMethod
    var authenticationKey: [UInt8]
}

/// What a child knows of its parent.
struct ParentIdentity: Codable, Sendable {
    var name: String
    var processIdentifier: Int32
}
