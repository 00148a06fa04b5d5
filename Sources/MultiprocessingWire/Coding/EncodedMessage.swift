/// A message that is encoded but not put together: the caller copies its pieces to where they are wanted, once.
///
/// Large arrays and texts are pieces of their own, which are read from the memory of the value itself.
public struct EncodedMessage: ~Copyable {
    private enum Content {
        case bytes(UnsafeRawBufferPointer)
        case state(EncodingState)
    }

    private let content: Content
    /// The size of the message in bytes.
    public let count: Int

    /// A message in memory that stays valid as long as this value is used.
    init(_ bytes: UnsafeRawBufferPointer) {
        content = .bytes(bytes)
        count = bytes.count
    }

    /// The message that `state` holds, complete.
    init(_ state: EncodingState) throws {
        count = try state.finish()
        content = .state(state)
    }

    /// Calls `body` with each piece, in order; none is empty.
    ///
    /// A piece stays valid until the body of ``BinaryEncoder/encode(_:_:)`` returns, so that pieces may be collected.
    /// Does not copy. Blocks only if `body` does.
    public func forEachPiece(_ body: (UnsafeRawBufferPointer) throws -> Void) rethrows {
        switch content {
        case .bytes(let bytes): try body(bytes)
        case .state(let state): try state.forEachPiece(body)
        }
    }

    /// The message as arrays that belong one behind the other. Very large arrays of bytes are the value's own and not copied;
    /// of the rest one copy is made.
    func arrays() -> [[UInt8]] {
        if case .state(let state) = content, state.holdsSharedArrays { return state.arrays() }
        return [
            [UInt8](unsafeUninitializedCapacity: count) { target, initialized in
                copy(to: UnsafeMutableRawBufferPointer(target))
                initialized = count
            }
        ]
    }

    /// Copies the message to the beginning of `target`, which has room for ``count`` bytes at least.
    ///
    /// One copy of each byte. Does not allocate and does not block.
    public func copy(to target: UnsafeMutableRawBufferPointer) {
        precondition(target.count >= count, "the message has \(count) bytes, the room only \(target.count)")
        var position = 0
        forEachPiece { piece in
            UnsafeMutableRawBufferPointer(rebasing: target[position...]).copyMemory(from: piece)
            position += piece.count
        }
    }
}
