// Unsafe code. Invariants:
// - `base` is owned by this value alone, has room for `capacity` bytes, and is freed once, in `deinit`;
// - the first `count` bytes are initialised, 0 <= count <= capacity;
// - every write is preceded by `reserve`, which makes the room.

/// A growable block of bytes that is owned by one place.
public struct WireBuffer: ~Copyable {
    private(set) var base: UnsafeMutableRawPointer
    private(set) var capacity: Int
    /// How many bytes are written.
    public private(set) var count: Int

    /// Makes an empty buffer with room for `minimumCapacity` bytes.
    public init(minimumCapacity: Int = 0) {
        capacity = max(64, minimumCapacity)
        base = .allocate(byteCount: capacity, alignment: 16)
        count = 0
    }

    deinit {
        base.deallocate()
    }

    /// Forgets the bytes and keeps the memory.
    public mutating func removeAll() {
        count = 0
    }

    /// Appends a copy of `bytes`.
    public mutating func append(_ bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress else { return }
        reserve(bytes.count)
        (base + count).copyMemory(from: source, byteCount: bytes.count)
        count += bytes.count
    }

    /// Calls `body` with the bytes, which are valid during the call only.
    public func withUnsafeBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(UnsafeRawBufferPointer(start: base, count: count))
    }

    /// Makes room for `extra` bytes behind the written ones.
    @inline(__always)
    mutating func reserve(_ extra: Int) {
        if capacity - count < extra { grow(extra) }
    }

    @inline(never)
    private mutating func grow(_ extra: Int) {
        let wanted = max(capacity * 2, count + extra)
        let larger = UnsafeMutableRawPointer.allocate(byteCount: wanted, alignment: 16)
        larger.copyMemory(from: base, byteCount: count)
        base.deallocate()
        base = larger
        capacity = wanted
    }

    /// Writes a fixed-size value; the caller has reserved the room.
    @inline(__always)
    mutating func put<Value: BitwiseCopyable>(_ value: Value) {
        (base + count).storeBytes(of: value, as: Value.self)
        count += MemoryLayout<Value>.size
    }

    /// Copies bytes to the end; the caller has reserved the room.
    @inline(__always)
    mutating func put(_ source: UnsafeRawPointer, _ size: Int) {
        (base + count).copyMemory(from: source, byteCount: size)
        count += size
    }

    /// Overwrites what was written at `offset`.
    @inline(__always)
    mutating func set<Value: BitwiseCopyable>(_ value: Value, at offset: Int) {
        precondition(offset >= 0 && offset + MemoryLayout<Value>.size <= count)
        (base + offset).storeBytes(of: value, as: Value.self)
    }

    /// Reads back what was written at `offset`.
    @inline(__always)
    func get<Value: BitwiseCopyable>(_ type: Value.Type, at offset: Int) -> Value {
        precondition(offset >= 0 && offset + MemoryLayout<Value>.size <= count)
        return (base + offset).loadUnaligned(as: Value.self)
    }

    /// Counts `extra` bytes that were written behind the end, in reserved room.
    mutating func forward(by extra: Int) {
        precondition(extra >= 0 && extra <= capacity - count)
        count += extra
    }

    /// Drops the bytes from `newCount` on.
    mutating func truncate(to newCount: Int) {
        precondition(newCount >= 0 && newCount <= count)
        count = newCount
    }
}

// Nobody else holds `base`, and the type cannot be copied: whoever has the value is alone with the memory. No lock.
extension WireBuffer: @unchecked Sendable {}
