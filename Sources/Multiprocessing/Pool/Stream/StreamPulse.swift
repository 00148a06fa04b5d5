internal import MultiprocessingSystem
internal import Synchronization
internal import SystemPackage

/// Sends a pool's signs of life, from a thread that does nothing else.
///
/// The hub's thread will not do: it hands results over, and what it calls, an observer of the user's above all, may take its time. The
/// workers would take the pool for gone.
final class StreamPulse: Sendable {
    private let interval: Duration
    private let channels = Mutex<[UInt64: StreamChannel]>([:])
    private let stop = OneShot<Void>()

    init(every interval: Duration) {
        self.interval = interval
    }

    func start() throws(Errno) {
        try Thread.detach(named: "mp-pool-pulse") { [self] in
            while stop.wait(timeout: interval) == nil { beat() }
        }
    }

    func add(_ channel: StreamChannel) { channels.withLock { $0[channel.token] = channel } }

    func remove(_ channel: StreamChannel) { channels.withLock { _ = $0.removeValue(forKey: channel.token) } }

    func end() {
        channels.withLock { $0 = [:] }
        stop.set(())
    }

    private func beat() {
        for channel in channels.withLock({ Array($0.values) }) {
            // What waits for room is a sign of life as well.
            channel.sendMore()
            channel.beat()
        }
    }
}
