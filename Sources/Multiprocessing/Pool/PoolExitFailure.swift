/// The exit hook of a worker threw, took too long, or ended its process.
public struct PoolExitFailure: Error, Sendable, CustomStringConvertible {
    /// The worker's name.
    public let worker: String
    /// What the hook threw, with its type where that is `Codable`, else ``RemoteError``; ``PoolError`` (`timedOut`) if it took
    /// longer than ``PoolOptions/exitTimeout``; ``ProcessCrash`` if its process died of it.
    public let error: any Error

    public var description: String { "The exit hook of \(worker) failed: \(error)" }
}
