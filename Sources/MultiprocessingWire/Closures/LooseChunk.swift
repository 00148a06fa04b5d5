internal import Synchronization

/// A chunk whose items went together only because they are short: as if each had come alone, its value leaves before the next one
/// begins, and those that have not begun can be taken back at any moment.
///
/// What a process that dies had done is not lost, and not done again; and an item that turns out to take long holds up no other.
public final class LooseChunk: Sendable {
    /// How many items have begun; more than that from ``closed`` on, when no other may.
    private let begun = Atomic(0)
    private static let closed = 1 << 62

    private let sendSmall: @Sendable (_ place: Int, UnsafeRawBufferPointer) throws -> Bool
    /// What the user is told when a value cannot leave.
    let explain: @Sendable (any Error) -> any Error

    /// - Parameters:
    ///   - sendSmall: called with the place of an item in the chunk and its value as ``SmallType`` encodes it: 64 bytes at most. False
    ///     if it has to go as a ``ChunkResult``. It need not be noticed before ``close()`` or the chunk's end.
    ///   - explain: makes the error of an item of what kept its value from leaving.
    public init(
        sendSmall: @escaping @Sendable (_ place: Int, UnsafeRawBufferPointer) throws -> Bool,
        explain: @escaping @Sendable (any Error) -> any Error
    ) {
        self.sendSmall = sendSmall
        self.explain = explain
    }

    /// Keeps further items from beginning; how many have, or nil if that was done before. From any thread.
    public func close() -> Int? {
        // One word for both, so that there is no doubt about any item.
        let before = begun.bitwiseOr(Self.closed, ordering: .acquiringAndReleasing).oldValue
        return before < Self.closed ? before : nil
    }

    /// Whether the next item may begin.
    @inline(__always)
    func begin() -> Bool {
        begun.wrappingAdd(1, ordering: .acquiringAndReleasing).oldValue < Self.closed
    }

    /// Whether the value has left.
    @inline(__always)
    func send<Value>(_ value: Value, _ type: SmallType, at place: Int) throws -> Bool {
        try withUnsafeTemporaryAllocation(byteCount: 64, alignment: 8) { room in
            guard let count = withUnsafePointer(to: value, { type.encode($0, into: room) }) else { return false }
            return try sendSmall(place, UnsafeRawBufferPointer(rebasing: room[..<count]))
        }
    }
}
