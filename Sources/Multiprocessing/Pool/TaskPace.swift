/// How many tasks a worker is sent beyond the one that it runs, from how long tasks have taken so far.
///
/// A worker that has finished a task should find the next one: its pool needs some tens of microseconds to answer, and more if
/// it has lost its processor. For tasks of a millisecond one in advance is plenty; of those that take a microsecond it takes many
/// to last as long. They are only sent, not begun: they can be taken back.
struct TaskPace {
    /// What is sent in advance should take so many nanoseconds.
    private static let target = 250_000.0
    private static let most = 64

    /// Nanoseconds for a task: a moving average, which follows longer tasks at once.
    private var average: Double?
    private var count = 0

    /// A task took so long.
    mutating func note(nanoseconds: Int) {
        count += 1
        let now = Double(max(1, nanoseconds))
        guard let average, now < average else {
            average = now
            return
        }
        self.average = average * 0.9 + now * 0.1
    }

    /// How many tasks to send in advance: one at first, more as more is known.
    var depth: Int {
        guard let average else { return 1 }
        return max(1, min(count / 4, Self.most, Int(min(Double(Self.most), Self.target / average))))
    }
}
