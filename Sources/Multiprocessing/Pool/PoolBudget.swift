internal import MultiprocessingSystem
internal import Synchronization

/// How many workers there are to be by default, so that pools inside the workers of pools do not multiply.
///
/// The outermost process has as many as it has processors; each worker of a pool gets, in its environment, an equal share of
/// those that its pool did not take, and at least one. A number that travels, and nothing shared that would have to be kept right
/// when somebody is killed, or that would have to be on one machine.
enum PoolBudget {
    /// The variable in which a worker finds its share.
    static let variable = "SWIFT_MULTIPROCESSING_POOL_BUDGET"

    /// This process's share, if it is inside a pool's worker.
    static let inherited: Int? = ProcessorCount.number(in: variable)

    /// How many workers the pools of this process have at the moment.
    private static let used = Mutex(0)

    /// How many workers a pool gets that does not say.
    static var standard: Int {
        guard let inherited else { return availableProcessorCount }
        return max(1, min(inherited - used.withLock { $0 }, availableProcessorCount))
    }

    /// What each worker of a pool of so many gets.
    static func share(ofEach count: Int) -> Int {
        let total = inherited ?? availableProcessorCount
        return max(1, (total - count) / count)
    }

    /// The workers of a pool, as long as it has them.
    final class Claim: Sendable {
        private let count: Mutex<Int>

        init(_ count: Int) {
            self.count = Mutex(count)
            PoolBudget.used.withLock { $0 += count }
        }

        deinit {
            resize(to: 0)
        }

        func resize(to new: Int) {
            let change = count.withLock { count in
                defer { count = new }
                return new - count
            }
            PoolBudget.used.withLock { $0 += change }
        }
    }
}
