internal import MultiprocessingSystem

// The attempts of the core, driven both ways. What has no time (`timeout` zero or less) does not wait for items or for room, but for a
// moment for a guard: that somebody else is just copying an item makes a queue neither full nor empty.
extension QueueCore {
    private static let patienceWithGuards = Duration.milliseconds(100)

    /// How long an operation may take.
    struct Limit {
        var isImmediate: Bool
        var deadline: Deadline

        init(_ timeout: Duration?) {
            isImmediate = timeout.map { $0 <= .zero } ?? false
            deadline = isImmediate ? Deadline(after: patienceWithGuards) : Deadline(after: timeout)
        }
    }

    func put(_ items: UnsafeBufferPointer<OutgoingItem>, _ limit: Limit) throws -> Int {
        var turn = Turn()
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

    func take(upTo count: Int, _ limit: Limit) throws -> [TakenItem] {
        var turn = Turn()
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
        return try Wait.blocking(deadline: Deadline(after: timeout), spin: getSpin) { try attemptJoin($0, &turn) } != nil
    }

    func join(_ timeout: Duration?) async throws -> Bool {
        var turn = Turn()
        return try await Wait.suspending(deadline: Deadline(after: timeout)) { try attemptJoin($0, &turn) } != nil
    }
}
