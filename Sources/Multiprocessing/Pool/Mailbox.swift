internal import MultiprocessingSystem
internal import Synchronization

/// Values that threads put in and one thread or task takes out, in the order in which they came.
final class Mailbox<Element: Sendable>: Sendable {
    private let elements = Mutex<[Element]>([])
    private let bell = FutexCell()
    private let spin = AdaptiveSpin()

    /// Puts a value in and wakes whoever waits for it.
    func put(_ element: Element) {
        elements.withLock { $0.append(element) }
        bell.ring()
    }

    /// Everything that is there, perhaps nothing.
    func takeAll() -> [Element] {
        elements.withLock { elements in
            defer { elements = [] }
            return elements
        }
    }

    private func attempt(_: WaitProgress) -> Attempt<[Element]> {
        // Read before looking: what is put in afterwards changes it.
        let rung = bell.value
        let found = takeAll()
        return found.isEmpty ? .wait(bell.word, while: rung) : .done(found)
    }

    /// Blocks the thread until something is there; nil when the deadline passed first.
    func wait(_ deadline: Deadline) -> [Element]? {
        (try? Wait.blocking(deadline: deadline, spin: spin, attempt)) ?? nil
    }

    /// Suspends until something is there; nil when the deadline passed first.
    ///
    /// - Throws: `CancellationError`.
    func wait(_ deadline: Deadline) async throws -> [Element]? {
        try await Wait.suspending(deadline: deadline, attempt)
    }
}
