internal import SystemPackage

/// What a child is told besides its job: who it is, and how it is to be set up.
struct LaunchPlan: Sendable {
    var identity: ProcessIdentity
    var parent: ParentIdentity
    /// The method that the child's own children use by default.
    var defaultStartMethod: StartMethod
    /// Streams that are to be `/dev/null`; others were attached or stay as they are.
    var nullStreams: [Int32]
    /// The numbers under which the passed descriptors belong.
    var descriptorNumbers: [Int32]
    /// Whether an error that the body throws is also written to standard error, as for a thread nobody asks for its value.
    var printsErrors: Bool
    /// Where the program's tracker listens, if it has one.
    var tracker: String?
    /// What is to be different from the parent; nil for most processes.
    var settings: LaunchSettings?
}

/// Who a process is.
struct ProcessIdentity: Sendable {
    var name: String
    /// The child numbers along the line of parents: empty in the first process.
    var path: [Int]
    var isDaemon: Bool
    var startMethod: StartMethod
    var authenticationKey: [UInt8]
}

/// What a child knows of its parent.
struct ParentIdentity: Sendable {
    var name: String
    var processIdentifier: Int32
}

/// The part of the options that a child has to apply to itself.
struct LaunchSettings: Codable, Sendable {
    /// All variables, when they differ from what the process was forked with.
    var wholeEnvironment: [[UInt8]]?
    var environment: [String: String?]
    var workingDirectory: String?
    var affinity: [Int]?
    var niceness: Int?
    var limits: [ProcessOptions.Limit]
    var group: UInt32?
    var user: UInt32?
    var ignoredSignals: [Int32]
    var blockedSignals: [Int32]

    /// Nil if there is nothing to apply.
    init?(_ options: ProcessOptions, wholeEnvironment: [[UInt8]]?) {
        self.wholeEnvironment = wholeEnvironment
        environment = options.environment
        workingDirectory = options.workingDirectory?.string
        affinity = options.processorAffinity.map { $0.sorted() }
        niceness = options.niceness
        limits = options.limits
        group = options.group
        user = options.user
        ignoredSignals = options.ignoredSignals.sorted()
        blockedSignals = options.blockedSignals.sorted()
        let applies =
            wholeEnvironment != nil || !environment.isEmpty || workingDirectory != nil || affinity != nil
            || niceness != nil
            || !limits.isEmpty || group != nil || user != nil || !ignoredSignals.isEmpty || !blockedSignals.isEmpty
        if !applies { return nil }
    }
}
