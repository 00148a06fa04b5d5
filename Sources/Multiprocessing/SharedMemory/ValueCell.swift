internal import Synchronization

// Unsafe code. Invariants:
// - the block has room for the header and two slots of `words` words, checked when it is made and when it arrives;
// - slots are read and written by whole words, atomically, so that a race is a wrong value that is noticed, never undefined;
// - a value's bytes are used only after the commit word has shown that no writer was in its slot meanwhile.

/// A value and its successor in shared memory: two slots, and a word that says which of them counts.
///
/// Layout, version 1: lock (bytes 0–15, see ``DataLock``), commits (16), size of the value in bytes (24, 32 bits), kind of lock
/// (28, 32 bits); from 64 two slots, each rounded up to 8 bytes. The value is in slot `commits & 1`.
struct ValueCell {
    static let version: UInt32 = 1
    private static let header = 64

    private let block: SharedBlock

    init(_ block: SharedBlock) {
        self.block = block
    }

    private static func words<Value>(_ type: Value.Type) -> Int { (MemoryLayout<Value>.size + 7) / 8 }

    static func byteCount<Value>(of type: Value.Type) -> Int { header + 2 * 8 * words(type) }

    private var commits: UnsafeMutablePointer<Atomic<UInt64>> { block.word(16) }

    /// Writes down what is here.
    func prepare<Value>(_ type: Value.Type, lock: UInt32) {
        block.base.storeBytes(of: UInt32(MemoryLayout<Value>.size), toByteOffset: 24, as: UInt32.self)
        block.base.storeBytes(of: lock, toByteOffset: 28, as: UInt32.self)
    }

    /// Checks that a value of this type is here; returns the kind of lock.
    func check<Value>(_ type: Value.Type) throws -> UInt32 {
        guard block.byteCount == Self.byteCount(of: type),
            block.base.load(fromByteOffset: 24, as: UInt32.self) == UInt32(MemoryLayout<Value>.size)
        else {
            throw SharedStateError(.malformed, "The shared value that arrived is not a \(type)")
        }
        return block.base.load(fromByteOffset: 28, as: UInt32.self)
    }

    private func slot(_ commit: UInt64, _ words: Int) -> Int { Self.header + Int(commit & 1) * 8 * words }

    /// The value that was committed last. Tries again when two were committed meanwhile.
    func load<Value: BitwiseCopyable>() -> Value {
        let words = Self.words(Value.self)
        return withUnsafeTemporaryAllocation(byteCount: max(words, 1) * 8, alignment: 16) { copy in
            while true {
                let commit = commits.pointee.load(ordering: .acquiring)
                let slot = slot(commit, words)
                for word in 0..<words {
                    let bits = block.word(slot + 8 * word).pointee.load(ordering: .relaxed)
                    copy.storeBytes(of: bits, toByteOffset: 8 * word, as: UInt64.self)
                }
                // Whoever wrote into this slot since had committed the other one before: then the count is another.
                atomicMemoryFence(ordering: .acquiring)
                if commits.pointee.load(ordering: .relaxed) == commit {
                    return copy.baseAddress.unsafelyUnwrapped.loadUnaligned(as: Value.self)
                }
            }
        }
    }

    /// Writes the value beside the last one, and then makes it the one that counts: the commit point is one store.
    func store<Value: BitwiseCopyable>(_ value: Value) {
        let words = Self.words(Value.self)
        let commit = commits.pointee.load(ordering: .relaxed) &+ 1
        let slot = slot(commit, words)
        // The commit before this one is visible to whoever sees a word of this one.
        atomicMemoryFence(ordering: .acquiringAndReleasing)
        withUnsafeTemporaryAllocation(byteCount: max(words, 1) * 8, alignment: 16) { copy in
            copy.initializeMemory(as: UInt8.self, repeating: 0)
            copy.storeBytes(of: value, as: Value.self)
            for word in 0..<words {
                let bits = copy.load(fromByteOffset: 8 * word, as: UInt64.self)
                block.word(slot + 8 * word).pointee.store(bits, ordering: .relaxed)
                if word == 0 { chaosStep("value.writing") }
            }
        }
        chaosStep("value.written")
        commits.pointee.store(commit, ordering: .releasing)
        chaosStep("value.committed")
    }
}
