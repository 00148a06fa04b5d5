internal import MultiprocessingSystem
internal import MultiprocessingWire
internal import Synchronization

extension Queue {
    /// Takes the first value; blocks while there is none.
    ///
    /// No system call unless it waits, a producer sleeps for want of room, or the value holds handles.
    /// - Parameter timeout: nil waits without end, zero is ``getImmediately()``.
    /// - Throws: ``SharedStateError``: `empty` when the time was over, `shutDown` when there is nothing and will be nothing, `closed`,
    ///   `malformed`, `outOfResources` for its descriptors; what decoding throws. A value that cannot be decoded is lost.
    ///
    /// Python: `get(timeout=…)`.
    @available(*, noasync, message: "Use the async get: this one blocks the thread")
    public func get(timeout: Duration? = nil) throws -> Element {
        try get(QueueCore.Limit(timeout))
    }

    private func get(_ limit: QueueCore.Limit) throws -> Element {
        try throwPending()
        if let type = SmallType(Element.self) {
            var room = SmallType.Room()
            if try room.fill({ try core.getSmall(type, into: $0, limit) }) { return room.take(as: Element.self) }
        }
        return try decode(core.take(.get, limit))
    }

    /// Takes the first value; waits while there is none, without blocking the thread.
    ///
    /// As the blocking `get`. A cancelled task gets a value or the error, and loses none.
    /// - Parameter timeout: nil waits without end, zero is ``getImmediately()``.
    /// - Throws: as the blocking `get`, and `CancellationError`.
    public func get(timeout: Duration? = nil) async throws -> Element {
        try throwPending()
        return try decode(await core.take(.get, QueueCore.Limit(timeout)))
    }

    /// Takes the first value if there is one. Does not wait for others to put.
    ///
    /// It waits, a tenth of a second at most, for another process that is just taking.
    /// - Throws: as the blocking `get`; `empty` if there is none.
    ///
    /// Python: `get_nowait()`.
    public func getImmediately() throws -> Element {
        try get(QueueCore.Limit(.zero))
    }

    /// Takes up to `limit` values that are there, at least one; blocks while there is none.
    ///
    /// Much cheaper than one by one. A process that is killed here may lose all of them.
    /// - Parameters:
    ///   - limit: the most values to take; large ones may be taken a few at a time.
    ///   - timeout: nil waits without end, zero takes what is there.
    /// - Returns: the values, in order; none if the time was over.
    /// - Throws: as `get`, but for `empty`. If only some values cannot be decoded, the others are returned and the next call to take
    ///   something in this process throws the error.
    @available(*, noasync, message: "Use the async get: this one blocks the thread")
    public func get(upTo limit: Int, timeout: Duration? = nil) throws -> [Element] {
        try throwPending()
        return try decoding { try core.take(upTo: checked(limit), QueueCore.Limit(timeout)) }
    }

    /// Takes up to `limit` values that are there, at least one; waits while there is none. Blocks no thread.
    ///
    /// As the blocking `get(upTo:)`.
    /// - Parameters:
    ///   - limit: the most values to take; large ones may be taken a few at a time.
    ///   - timeout: nil waits without end, zero takes what is there.
    /// - Returns: the values, in order; none if the time was over.
    /// - Throws: as the blocking `get(upTo:)`, and `CancellationError`.
    public func get(upTo limit: Int, timeout: Duration? = nil) async throws -> [Element] {
        try throwPending()
        do {
            return try decode(await core.take(upTo: checked(limit), QueueCore.Limit(timeout)))
        } catch let error as SharedStateError where error.code == .empty {
            return []
        }
    }

    // MARK: Dead letters

    /// How many values were leased as often as may be, without success.
    ///
    /// - Throws: ``SharedStateError`` (`closed`).
    public var deadLetterCount: Int {
        get throws {
            try core.requireOpen()
            return core.count(of: .dead)
        }
    }

    /// How many values are leased at present. A lease whose time is over counts until somebody takes or looks for values.
    ///
    /// - Throws: ``SharedStateError`` (`closed`).
    public var leasedCount: Int {
        get throws {
            try core.requireOpen()
            return core.count(of: .leasing, .leased)
        }
    }

    /// Takes values that were leased as often as may be, without success.
    ///
    /// They count as done. Does not wait for any, but a tenth of a second at most for another process that is just taking.
    /// - Parameter limit: the most values to take.
    /// - Throws: ``SharedStateError`` (`closed`, `malformed`); what decoding throws, if none can be decoded.
    public func deadLetters(upTo limit: Int = .max) throws -> [Element] {
        try decode(core.takeDead(upTo: checked(limit)))
    }

    // MARK: Decoding

    private func checked(_ limit: Int) throws -> Int {
        guard limit > 0 else { throw SharedStateError(.invalidArgument, "A limit of \(limit) items takes none") }
        return limit
    }

    private func decoding(_ take: () throws -> [TakenItem]) throws -> [Element] {
        do {
            return try decode(take())
        } catch let error as SharedStateError where error.code == .empty {
            return []
        }
    }

    private func decode(_ item: TakenItem) throws -> Element {
        defer { core.finish(item) }
        return try item.decode()
    }

    private func decode(_ items: [TakenItem]) throws -> [Element] {
        var elements: [Element] = []
        elements.reserveCapacity(items.count)
        var failure: (any Error)?
        for item in items {
            do { try elements.append(decode(item)) } catch { failure = failure ?? error }
        }
        if let failure {
            if elements.isEmpty { throw failure }
            keep(failure)
        }
        return elements
    }
}

// MARK: Iterating

extension Queue: AsyncSequence {
    /// Takes one value after the other until the queue was shut down and is empty.
    public struct AsyncIterator: AsyncIteratorProtocol {
        let queue: Queue

        /// The next value; nil when the queue was shut down and is empty.
        ///
        /// - Throws: as `get`, but for `shutDown`.
        public mutating func next() async throws -> Element? {
            do {
                return try await queue.get()
            } catch let error as SharedStateError where error.code == .shutDown {
                return nil
            }
        }
    }

    /// An iterator; several share the values among them.
    public func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(queue: self)
    }
}
