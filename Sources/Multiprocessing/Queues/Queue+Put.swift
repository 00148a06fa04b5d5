internal import MultiprocessingWire

extension Queue {
    /// Puts a value at the end of the line; blocks while there is no room.
    ///
    /// Encodes and copies it in the calling thread: when this returns, the value no longer depends on this process. No system call unless
    /// it waits, somebody sleeps in `get`, or the value holds handles.
    /// - Parameter timeout: nil waits without end, zero is ``putImmediately(_:)``.
    /// - Throws: what encoding throws; ``SharedStateError``: `full` when the time was over, `tooLarge` for a value larger than the
    ///   queue, `shutDown`, `closed`, `outOfResources` for its descriptors. Then nothing was put.
    ///
    /// Python: `put(obj, timeout=…)`, which encodes later, in a thread, where errors get lost.
    @available(*, noasync, message: "Use the async put: this one blocks the thread")
    public func put(_ element: Element, timeout: Duration? = nil) throws {
        try put(element, QueueCore.Limit(timeout))
    }

    /// Puts a value at the end of the line; waits while there is no room, without blocking the thread.
    ///
    /// As the blocking `put`.
    /// - Parameter timeout: nil waits without end, zero is ``putImmediately(_:)``.
    /// - Throws: as the blocking `put`, and `CancellationError`. Then nothing was put.
    public func put(_ element: Element, timeout: Duration? = nil) async throws {
        let items = try encode(CollectionOfOne(element))
        if try await core.put(QueueCore.Limit(timeout), { try items.withOutgoing($0) }) == 0 { throw core.fullError }
    }

    /// Puts a value at the end of the line if there is room. Does not wait for others to take.
    ///
    /// It waits, a tenth of a second at most, for another process that is just putting.
    /// - Throws: as the blocking `put`; `full` if there is no room.
    ///
    /// Python: `put_nowait(obj)`.
    public func putImmediately(_ element: Element) throws {
        try put(element, QueueCore.Limit(.zero))
    }

    private func put(_ element: Element, _ limit: QueueCore.Limit) throws {
        if let type = SmallType(Element.self) {
            if try withUnsafePointer(to: element, { try core.putSmall(type, $0) }) { return }
        }
        try core.requireOpen()
        try OutgoingItem.encoding(element) { item in
            try core.validate(item)
            let count = try withUnsafePointer(to: item) {
                try core.put(UnsafeBufferPointer(start: $0, count: 1), limit)
            }
            if count == 0 { throw core.fullError }
        }
    }

    // MARK: Many

    /// Puts values in their order, as many at a time as there is room for; blocks while there is none.
    ///
    /// All are encoded first. What goes in at a time is put at once: a process that is killed has put all of it or none of it, and
    /// nobody else's values come in between. Much cheaper than one by one.
    /// - Parameter timeout: nil waits without end, zero puts what there is room for.
    /// - Returns: how many were put: fewer than all if the time was over, or the queue was shut down after some.
    /// - Throws: as `put`, if none was put; but `full` is a result of 0.
    @available(*, noasync, message: "Use the async put: this one blocks the thread")
    @discardableResult
    public func put(contentsOf elements: some Sequence<Element>, timeout: Duration? = nil) throws -> Int {
        let limit = QueueCore.Limit(timeout)
        let items = try encode(elements)
        var done = 0
        while done < items.count {
            do {
                let count = try items.withOutgoing(from: done) { try core.put($0, limit) }
                if count == 0 { break }
                done += count
            } catch {
                try throwIfNothing(done, error)
                break
            }
        }
        return done
    }

    /// Puts values in their order, as many at a time as there is room for; waits while there is none. Blocks no thread.
    ///
    /// As the blocking `put(contentsOf:)`.
    /// - Parameter timeout: nil waits without end, zero puts what there is room for.
    /// - Returns: how many were put: fewer than all if the time was over, the queue was shut down, or the task cancelled after some.
    /// - Throws: as `put`, if none was put; but `full` is a result of 0.
    @discardableResult
    public func put(contentsOf elements: some Sequence<Element>, timeout: Duration? = nil) async throws -> Int {
        let limit = QueueCore.Limit(timeout)
        let items = try encode(elements)
        var done = 0
        while done < items.count {
            do {
                let count = try await core.put(limit) { attempt in try items.withOutgoing(from: done, attempt) }
                if count == 0 { break }
                done += count
            } catch {
                try throwIfNothing(done, error)
                break
            }
        }
        return done
    }

    /// What ends a batch of which some were put is not an error; nor is a lack of room.
    private func throwIfNothing(_ done: Int, _ error: any Error) throws {
        if done == 0, (error as? SharedStateError)?.code != .full { throw error }
    }

    private func encode(_ elements: some Sequence<Element>) throws -> EncodedItems {
        try core.requireOpen()
        var items = EncodedItems()
        for element in elements { try items.append(element) }
        try items.withOutgoing { try $0.forEach(core.validate) }
        return items
    }
}
