internal import Synchronization
public import SystemPackage
internal import _MultiprocessingShims

/// Notices signals that the process gets, for as long as it lives. They then do nothing else.
///
/// Several may watch the same signal. When the last one is gone, the signal does again what it did before the first.
public final class SignalWatch: Sendable {
    /// How many watch each signal.
    private static let watchers = Mutex<[CInt: Int]>([:])

    private let signals: Set<CInt>
    private let countsAtFirst: [CInt: UInt32]

    /// Begins to watch.
    ///
    /// - Throws: `.invalidArgument` for what is no signal, or one that nobody can catch.
    public init(_ signals: Set<CInt>) throws(Errno) {
        self.signals = signals
        countsAtFirst = Dictionary(uniqueKeysWithValues: signals.map { ($0, _mp_signal_count($0)) })
        let error: CInt = Self.watchers.withLock { watchers in
            var begun: [CInt] = []
            for signal in signals.sorted() {
                let error = watchers[signal] == nil ? _mp_signal_watch(signal) : 0
                guard error == 0 else {
                    for signal in begun { Self.leave(signal, &watchers) }
                    return error
                }
                watchers[signal, default: 0] += 1
                begun.append(signal)
            }
            return 0
        }
        // Nothing of it is watched then.
        if error < 0 { throw Errno(rawValue: -error) }
    }

    deinit {
        Self.watchers.withLock { watchers in
            for signal in signals { Self.leave(signal, &watchers) }
        }
    }

    private static func leave(_ signal: CInt, _ watchers: inout [CInt: Int]) {
        guard let count = watchers[signal] else { return }
        watchers[signal] = count > 1 ? count - 1 : nil
        if count == 1 { _ = _mp_signal_unwatch(signal) }
    }

    /// A word that changes, and whose sleepers are woken, when any watched signal comes.
    public static var bell: FutexWord { FutexWord(UnsafeMutableRawPointer(_mp_signal_bell())) }

    /// How many of the signals have come since the beginning, and the smallest number among them.
    public var arrived: (count: Int, signal: CInt)? {
        let new = signals.compactMap { signal -> (count: Int, signal: CInt)? in
            let count = Int(_mp_signal_count(signal) &- countsAtFirst[signal]!)
            return count > 0 ? (count, signal) : nil
        }
        guard let first = new.map(\.signal).min() else { return nil }
        return (new.reduce(0) { $0 + $1.count }, first)
    }
}
