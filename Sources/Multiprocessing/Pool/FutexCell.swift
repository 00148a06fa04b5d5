internal import MultiprocessingSystem
internal import Synchronization

/// A word in this process's own memory that its threads and tasks sleep on.
final class FutexCell: @unchecked Sendable {
    // Unchecked: the address is constant, and what is there is used by atomic operations and the kernel only.
    private let memory: UnsafeMutableRawPointer

    init() {
        memory = .allocate(byteCount: 8, alignment: 8)
        memory.initializeMemory(as: UInt64.self, repeating: 0, count: 1)
    }

    deinit {
        memory.deallocate()
    }

    /// The word, valid as long as this object lives.
    var word: FutexWord { FutexWord(memory) }

    /// What it holds.
    var value: UInt32 { word.atomic.pointee.load(ordering: .acquiring) }

    /// Changes the word, for those who look at it. No system call.
    func change() {
        word.atomic.pointee.wrappingAdd(1, ordering: .releasing)
    }

    /// Changes the word and wakes every sleeper. A system call.
    func ring() {
        change()
        word.wakeAll()
    }
}
