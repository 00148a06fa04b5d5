/// How a pool and its workers are to be set up.
public struct PoolOptions: Sendable {
    /// The name in reports and logs; workers are numbered after it.
    public var name = "Pool"
    /// How each worker is set up: start method, environment, limits, affinity, niceness… Workers are daemons unless it says otherwise.
    public var process = ProcessOptions()
    /// A worker is replaced after so many tasks; nil is never. Python: `maxtasksperchild`.
    public var tasksPerWorker: Int?

    /// Options with every default.
    public init() {}
}
