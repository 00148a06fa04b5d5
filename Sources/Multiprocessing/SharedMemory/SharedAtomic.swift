internal import MultiprocessingSystem
public import Synchronization

// Unsafe code. Invariant: `word` is a word of the block, which this object keeps mapped.

/// An integer in shared memory that processes change in single, indivisible steps: no lock, nobody to wait for.
///
///     let hits = try SharedAtomic(0)
///     let child = try ChildProcess { hits.wrappingAdd(1) }
///
/// All operations are sequentially consistent: every process sees them in one order. Each is one instruction or a short loop,
/// without a system call. A process that is killed has done its step or not.
public final class SharedAtomic<Value: FixedWidthInteger & BitwiseCopyable>: @unchecked Sendable, Codable {
    // Unchecked: the fields are constant, and what `word` points to is only used atomically. No lock.

    private let block: SharedBlock
    @usableFromInline let word: UnsafeMutablePointer<Atomic<UInt64>>

    private static var version: UInt32 { 1 }

    /// Makes a shared integer of at most 64 bits.
    ///
    /// - Throws: ``SharedStateError``: `outOfResources`; `invalidArgument` for a wider type.
    public init(_ value: Value) throws {
        guard Value.bitWidth <= 64 else {
            throw SharedStateError(.invalidArgument, "\(Value.self) is too wide to be changed in one step")
        }
        block = try SharedBlock(.atomic, version: Self.version, byteCount: 16)
        word = block.word(0)
        block.word(8).pointee.store(Self.typeCode, ordering: .relaxed)
        store(value)
    }

    /// Width and signedness.
    private static var typeCode: UInt64 { UInt64(Value.bitWidth) << 1 | (Value.isSigned ? 1 : 0) }

    /// - Throws: ``SharedStateError`` (`malformed`) if what arrived is another kind of integer.
    public init(from decoder: any Decoder) throws {
        block = try SharedBlock(from: decoder, .atomic, version: Self.version)
        guard block.byteCount == 16, block.word(8).pointee.load(ordering: .relaxed) == Self.typeCode else {
            throw SharedStateError(.malformed, "The shared integer that arrived is not a \(Value.self)")
        }
        word = block.word(0)
    }

    /// - Throws: ``SharedStateError`` (`cannotTravel`) where only bytes can go.
    public func encode(to encoder: any Encoder) throws {
        try block.encode(to: encoder)
    }

    // Narrow values are extended to 64 bits, always in the same way: equal values have equal words.

    @inlinable static func bits(_ value: Value) -> UInt64 { UInt64(truncatingIfNeeded: value) }
    @inlinable static func value(_ bits: UInt64) -> Value { Value(truncatingIfNeeded: bits) }

    /// The value now.
    @inlinable public func load() -> Value { Self.value(word.pointee.load(ordering: .sequentiallyConsistent)) }

    /// Replaces the value.
    @inlinable public func store(_ value: Value) {
        word.pointee.store(Self.bits(value), ordering: .sequentiallyConsistent)
    }

    /// Replaces the value; returns the one before.
    @inlinable @discardableResult
    public func exchange(_ value: Value) -> Value {
        Self.value(word.pointee.exchange(Self.bits(value), ordering: .sequentiallyConsistent))
    }

    /// Replaces the value if it is `expected`; returns whether it was, and the value before.
    @inlinable @discardableResult
    public func compareExchange(expected: Value, desired: Value) -> (exchanged: Bool, original: Value) {
        let (exchanged, original) = word.pointee.compareExchange(
            expected: Self.bits(expected),
            desired: Self.bits(desired),
            ordering: .sequentiallyConsistent
        )
        return (exchanged, Self.value(original))
    }

    /// Replaces the value by what `next` makes of it; returns it before and after. `next` runs again if others were faster.
    @inlinable @discardableResult
    public func update(_ next: (Value) throws -> Value) rethrows -> (oldValue: Value, newValue: Value) {
        var old = load()
        while true {
            let new = try next(old)
            let (exchanged, original) = compareExchange(expected: old, desired: new)
            if exchanged { return (old, new) }
            old = original
        }
    }

    /// Adds, wrapping around on overflow; returns the value before and after.
    @inlinable @discardableResult
    public func wrappingAdd(_ operand: Value) -> (oldValue: Value, newValue: Value) {
        guard Value.bitWidth == 64 else { return update { $0 &+ operand } }
        let (old, new) = word.pointee.wrappingAdd(Self.bits(operand), ordering: .sequentiallyConsistent)
        return (Self.value(old), Self.value(new))
    }

    /// Subtracts, wrapping around on overflow; returns the value before and after.
    @inlinable @discardableResult
    public func wrappingSubtract(_ operand: Value) -> (oldValue: Value, newValue: Value) {
        wrappingAdd(0 &- operand)
    }

    /// Takes the smaller of the value and `operand`; returns the value before and after.
    @inlinable @discardableResult
    public func min(_ operand: Value) -> (oldValue: Value, newValue: Value) { update { Swift.min($0, operand) } }

    /// Takes the larger of the value and `operand`; returns the value before and after.
    @inlinable @discardableResult
    public func max(_ operand: Value) -> (oldValue: Value, newValue: Value) { update { Swift.max($0, operand) } }

    /// Sets bits; returns the value before and after.
    @inlinable @discardableResult
    public func bitwiseOr(_ operand: Value) -> (oldValue: Value, newValue: Value) { update { $0 | operand } }

    /// Keeps bits; returns the value before and after.
    @inlinable @discardableResult
    public func bitwiseAnd(_ operand: Value) -> (oldValue: Value, newValue: Value) { update { $0 & operand } }

    /// Flips bits; returns the value before and after.
    @inlinable @discardableResult
    public func bitwiseXor(_ operand: Value) -> (oldValue: Value, newValue: Value) { update { $0 ^ operand } }
}
