internal import MultiprocessingSystem
internal import Synchronization
internal import SystemPackage

/// What one process has once: the lifeline of its children, its fork server, the thread that watches.
///
/// A forked copy of a process must not use its parent's: their threads are not there. Hence the check of the process id at
/// each use (one system call), and hence no lock here: another thread may have held it at the moment of the fork.
final class Runtime: Sendable {
    let processIdentifier: Int32
    let monitor = Monitor()
    let forkServer = ForkServerClient()
    let sharedMemory = SharedMemoryPool()
    let tracker = Tracker()
    let futexReactor = FutexReactor()
    let descriptorReactor = DescriptorReactor()
    private let lifeline = Mutex<Lifeline?>(nil)
    private let childCount = Atomic<Int>(0)

    private static let slot = Atomic<UInt>(0)  // the address of a Runtime

    static var current: Runtime {
        let pid = ThisProcess.identifier
        let found = slot.load(ordering: .acquiring)
        let existing = UnsafeRawPointer(bitPattern: found).map {
            Unmanaged<Runtime>.fromOpaque($0).takeUnretainedValue()
        }
        if let existing, existing.processIdentifier == pid { return existing }
        // Runtimes are never released: a forked copy abandons its parent's as it is.
        let fresh = Unmanaged.passRetained(Runtime(pid: pid))
        let (won, actual) = slot.compareExchange(
            expected: found,
            desired: UInt(bitPattern: fresh.toOpaque()),
            ordering: .acquiringAndReleasing
        )
        if won { return fresh.takeUnretainedValue() }
        fresh.release()
        return Unmanaged<Runtime>.fromOpaque(UnsafeRawPointer(bitPattern: actual)!).takeUnretainedValue()
    }

    private init(pid: Int32) {
        processIdentifier = pid
    }

    /// The number of the next child, counted from 1.
    func nextChildNumber() -> Int {
        childCount.add(1, ordering: .relaxed).newValue
    }

    /// The lifeline's read end, for a child that is being started.
    func lifelineNumber() throws(Errno) -> CInt {
        try lifeline.withLock { (lifeline) throws(Errno) in
            if let lifeline { return lifeline.read.number }
            let fresh = try Lifeline()
            lifeline = fresh
            ExitHook.install()
            return fresh.read.number
        }
    }
}

/// A pipe on which nothing is ever written. Its write end is held by this process alone; when it closes, the kernel kills
/// every process that armed the read end (see `_mp_arm_lifeline`). Copies of this process let go of it (see `_mp_make_lifeline`).
private final class Lifeline: Sendable {
    let read: Descriptor
    let hold: Descriptor

    init() throws(Errno) {
        let ends = try Descriptor.lifelineNumbers()
        read = Descriptor(owning: ends.read)
        hold = Descriptor(owning: ends.write)
    }
}
