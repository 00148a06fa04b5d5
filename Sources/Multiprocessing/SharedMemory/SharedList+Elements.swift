internal import MultiprocessingSystem

/// Reading and setting elements.
///
/// Each is read or set alone among the processes of this library, within some microseconds. Who comes meanwhile waits: no longer
/// than that, unless the other process is stopped; one that is killed is found out within milliseconds. A list that Python
/// made has no guard, and nothing to wait for.
extension SharedList {
    /// How long the subscript waits for a process that does not go on.
    private static let patience: Duration = .seconds(10)

    /// An element. Blocks the thread while another process is at one: some microseconds, or 10 s if that process is stopped.
    ///
    /// No system call while nobody is in the way. ``element(at:timeout:)`` has a deadline and an asynchronous form.
    ///
    /// - Throws: ``SharedStateError``: `invalidArgument` for an index outside, `malformed`, `timedOut`, `closed`.
    public subscript(index: Int) -> Element {
        @available(*, noasync, message: "Use the async element(at:): the subscript blocks the thread")
        get throws { try element(at: index, timeout: Self.patience) }
    }

    /// An element. Blocks the thread while another process is at one. No system call while nobody is.
    ///
    /// Python: `ShareableList[index]`.
    /// - Parameter timeout: how long to wait for a process that does not go on; nil is without end, zero or less is a single look.
    /// - Throws: ``SharedStateError``: `invalidArgument` for an index outside, `malformed`, `timedOut`, `closed`.
    @available(*, noasync, message: "Use the async element(at:): this one blocks the thread")
    public func element(at index: Int, timeout: Duration? = .seconds(10)) throws -> Element {
        try access(index, Deadline(after: timeout)) { try $0.read(index) }
    }

    /// An element. Suspends the task while another process is at one. No system call while nobody is.
    ///
    /// Python: `ShareableList[index]`.
    /// - Parameter timeout: how long to wait for a process that does not go on; nil is without end, zero or less is a single look.
    /// - Throws: as the blocking one; `CancellationError` if the task is cancelled before its turn.
    public func element(at index: Int, timeout: Duration? = .seconds(10)) async throws -> Element {
        try await access(index, Deadline(after: timeout)) { try $0.read(index) }
    }

    /// Replaces an element, by one of any type that fits its slot. Blocks the thread while another process is at one.
    ///
    /// No system call while nobody is. Python: `ShareableList[index] = element`.
    /// - Parameter timeout: how long to wait for a process that does not go on; nil is without end, zero or less is a single look.
    /// - Throws: ``SharedStateError``: `tooLarge` if it does not fit; as reading. Then nothing has changed.
    @available(*, noasync, message: "Use the async set: this one blocks the thread")
    public func set(_ element: Element, at index: Int, timeout: Duration? = .seconds(10)) throws {
        try check(element, at: index)
        try access(index, Deadline(after: timeout)) { $0.write(index, element) }
    }

    /// Replaces an element, by one of any type that fits its slot. Suspends the task while another process is at one.
    ///
    /// No system call while nobody is. Python: `ShareableList[index] = element`.
    /// - Parameter timeout: how long to wait for a process that does not go on; nil is without end, zero or less is a single look.
    /// - Throws: as the blocking one; `CancellationError` if the task is cancelled before its turn. Then nothing has changed.
    public func set(_ element: Element, at index: Int, timeout: Duration? = .seconds(10)) async throws {
        try check(element, at: index)
        try await access(index, Deadline(after: timeout)) { $0.write(index, element) }
    }

    /// All elements, each as it is when its turn comes. Blocks the thread while another process is at one.
    ///
    /// - Parameter timeout: how long to wait in all; nil is without end, zero or less is a single look at each.
    /// - Throws: as reading one.
    @available(*, noasync, message: "Use the async elements: this one blocks the thread")
    public func elements(timeout: Duration? = .seconds(10)) throws -> [Element] {
        let deadline = Deadline(after: timeout)
        return try (0..<count).map { index in try access(index, deadline) { try $0.read(index) } }
    }

    /// All elements, each as it is when its turn comes. Suspends the task while another process is at one.
    ///
    /// - Parameter timeout: how long to wait in all; nil is without end, zero or less is a single look at each.
    /// - Throws: as reading one.
    public func elements(timeout: Duration? = .seconds(10)) async throws -> [Element] {
        let deadline = Deadline(after: timeout)
        var elements: [Element] = []
        elements.reserveCapacity(count)
        for index in 0..<count {
            elements.append(try await access(index, deadline) { try $0.read(index) })
        }
        return elements
    }

    /// How often an element occurs. Reads all, and blocks the thread meanwhile as that does. Python: `ShareableList.count`.
    ///
    /// - Parameter timeout: how long to wait in all; nil is without end, zero or less is a single look at each.
    /// - Throws: as reading one.
    @available(*, noasync, message: "Use the async count(of:): this one blocks the thread")
    public func count(of element: Element, timeout: Duration? = .seconds(10)) throws -> Int {
        try elements(timeout: timeout).count { $0 == element }
    }

    /// How often an element occurs. Reads all, and suspends the task meanwhile as that does. Python: `ShareableList.count`.
    ///
    /// - Parameter timeout: how long to wait in all; nil is without end, zero or less is a single look at each.
    /// - Throws: as reading one.
    public func count(of element: Element, timeout: Duration? = .seconds(10)) async throws -> Int {
        try await elements(timeout: timeout).count { $0 == element }
    }

    /// Where an element occurs first; nil if it does not. Reads all, and blocks the thread. Python: `ShareableList.index`.
    ///
    /// - Parameter timeout: how long to wait in all; nil is without end, zero or less is a single look at each.
    /// - Throws: as reading one.
    @available(*, noasync, message: "Use the async firstIndex(of:): this one blocks the thread")
    public func firstIndex(of element: Element, timeout: Duration? = .seconds(10)) throws -> Int? {
        try elements(timeout: timeout).firstIndex(of: element)
    }

    /// Where an element occurs first; nil if it does not. Reads all, and suspends the task. Python: `ShareableList.index`.
    ///
    /// - Parameter timeout: how long to wait in all; nil is without end, zero or less is a single look at each.
    /// - Throws: as reading one.
    public func firstIndex(of element: Element, timeout: Duration? = .seconds(10)) async throws -> Int? {
        try await elements(timeout: timeout).firstIndex(of: element)
    }
}
