internal import MultiprocessingSystem
internal import Synchronization

/// Which processors the workers of a pool run on.
public struct PoolAffinity: Hashable, Sendable {
    enum Kind: Hashable { case inherited, spread }
    let kind: Kind

    /// All that ``PoolOptions/process`` names, and else all that this process may use.
    public static let inherited = PoolAffinity(kind: .inherited)
    /// One processor for each worker: the first of those for the first worker, and so on, from the beginning again when there are
    /// more workers. A worker that replaces another one takes its processor.
    public static let spread = PoolAffinity(kind: .spread)
}

/// Gives the workers of a pool their processors.
final class WorkerPlacement: Sendable {
    private let processors: [Int]
    private let taken = Mutex<Set<Int>>([])

    /// Nil if there is nothing to give.
    init?(_ affinity: PoolAffinity, _ allowed: Set<Int>?) {
        guard affinity.kind == .spread, let allowed = allowed.map(Array.init) ?? (try? ThisProcess.affinity()),
            !allowed.isEmpty
        else { return nil }
        processors = allowed.sorted()
    }

    /// The lowest place that nobody has.
    func take() -> Seat {
        let place = taken.withLock { taken in
            let place = (0...).first { !taken.contains($0) }!
            taken.insert(place)
            return place
        }
        return Seat(self, place)
    }

    /// A worker's place. It can be given back before the worker is gone, to the one that replaces it.
    final class Seat: Sendable {
        private let placement: WorkerPlacement
        private let place: Int
        private let isTaken = Atomic(true)

        fileprivate init(_ placement: WorkerPlacement, _ place: Int) {
            self.placement = placement
            self.place = place
        }

        deinit {
            giveBack()
        }

        var processor: Int { placement.processors[place % placement.processors.count] }

        func giveBack() {
            guard isTaken.exchange(false, ordering: .relaxed) else { return }
            placement.taken.withLock { _ = $0.remove(place) }
        }
    }
}
