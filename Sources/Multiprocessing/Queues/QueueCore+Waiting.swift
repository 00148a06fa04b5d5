internal import MultiprocessingSystem

// The attempts of the core, driven both ways. What has no time (`timeout` zero or less) does not wait for items or for room, but for a
// moment for a guard: that somebody else is just copying an item makes a queue neither full nor empty.
extension QueueCore {
    private static let patienceWithGuards = Duration.milliseconds(100)

    /// Before the wait, which looks for a while before it sleeps: nobody has to be told yet.
    private static var firstTry: WaitProgress {
        var progress = WaitProgress.first
        progress.isAboutToSleep = false
        return progress
    }

    /// How long an operation may take.
    struct Limit {
        private let timeout: Duration?
        let isImmediate: Bool

        init(_ timeout: Duration?) {
            self.timeout = timeout
            isImmediate = timeout.map { $0 <= .zero } ?? false
        }

        /// Made where a wait begins: what does not wait does not ask for the time.
        var deadline: Deadline { Deadline(after: isImmediate ? patienceWithGuards : timeout) }
    }

    /// How many were put; 0 when the time was over.
    func put(_ items: UnsafeBufferPointer<OutgoingItem>, _ limit: Limit) throws -> Int {
        if !limit.isImmediate, items.count == 1 { letConsumersCatchUp(items[0].recordSize) }
        var turn = Turn()
        if case .done(let count) = try attemptPut(items, isImmediate: limit.isImmediate, Self.firstTry, &turn) {
            return count
        }
        return try Wait.blocking(deadline: limit.deadline, spin: putSpin) {
            try attemptPut(items, isImmediate: limit.isImmediate, $0, &turn)
        } ?? 0
    }

    /// - Parameter items: lends the items to each attempt.
    func put(
        _ limit: Limit,
        _ items: ((UnsafeBufferPointer<OutgoingItem>) throws -> Attempt<Int>) throws -> Attempt<Int>
    ) async throws -> Int {
        var turn = Turn()
        return try await Wait.suspending(deadline: limit.deadline) { progress in
            try items { try attemptPut($0, isImmediate: limit.isImmediate, progress, &turn) }
        } ?? 0
    }

    func take(_ purpose: Purpose, _ limit: Limit) throws -> TakenItem {
        var turn = Turn()
        if case .done(let item) = try attemptTake(purpose, isImmediate: limit.isImmediate, Self.firstTry, &turn) {
            return item
        }
        let item = try Wait.blocking(deadline: limit.deadline, spin: getSpin) {
            try attemptTake(purpose, isImmediate: limit.isImmediate, $0, &turn)
        }
        guard let item else { throw Self.emptyError }
        return item
    }

    func take(_ purpose: Purpose, _ limit: Limit) async throws -> TakenItem {
        var turn = Turn()
        let item = try await Wait.suspending(deadline: limit.deadline) {
            try attemptTake(purpose, isImmediate: limit.isImmediate, $0, &turn)
        }
        guard let item else { throw Self.emptyError }
        return item
    }

    /// None when the time was over.
    func take(upTo count: Int, _ limit: Limit) throws -> [TakenItem] {
        var turn = Turn()
        if case .done(let items) = try attemptTake(upTo: count, isImmediate: limit.isImmediate, Self.firstTry, &turn) {
            return items
        }
        return try Wait.blocking(deadline: limit.deadline, spin: getSpin) {
            try attemptTake(upTo: count, isImmediate: limit.isImmediate, $0, &turn)
        } ?? []
    }

    func take(upTo count: Int, _ limit: Limit) async throws -> [TakenItem] {
        var turn = Turn()
        return try await Wait.suspending(deadline: limit.deadline) {
            try attemptTake(upTo: count, isImmediate: limit.isImmediate, $0, &turn)
        } ?? []
    }

    func takeDead(upTo count: Int) throws -> [TakenItem] {
        var turn = Turn()
        return try Wait.blocking(deadline: Limit(.zero).deadline, spin: getSpin) {
            try attemptTakeDead(upTo: count, $0, &turn)
        } ?? []
    }

    func join(_ timeout: Duration?) throws -> Bool {
        var turn = Turn()
        return try Wait.blocking(deadline: Deadline(after: timeout), spin: getSpin) { try attemptJoin($0, &turn) }
            != nil
    }

    func join(_ timeout: Duration?) async throws -> Bool {
        var turn = Turn()
        return try await Wait.suspending(deadline: Deadline(after: timeout)) { try attemptJoin($0, &turn) } != nil
    }
}
