internal import MultiprocessingSystem
internal import Synchronization

// Named steps inside every protocol on shared memory, at which a test can have this process killed, stopped or delayed: the
// proof that survivors go on from wherever somebody died. In debug builds, and with `-Xswiftc -DCHAOS`; else they are nothing.

/// A place in a protocol at which a process may die.
@inline(__always)
func chaosStep(_ name: StaticString) {
    #if DEBUG || CHAOS
        if Chaos.isArmed { Chaos.hit(name) }
    #endif
}

/// Arms the steps of this process. Used by the test kit.
package enum Chaos {
    /// What happens at a step.
    package enum Action: UInt8, Sendable {
        case kill = 1
        case stop
        case delay
        /// Nothing; steps are only counted.
        case count
    }

    /// Whether this build has any steps.
    package static var isAvailable: Bool {
        #if DEBUG || CHAOS
            true
        #else
            false
        #endif
    }

    private static let armed = Atomic<UInt8>(0)
    private static let remaining = Atomic<Int>(0)
    private static let thread = Atomic<Int32>(0)
    private static let names = Mutex<[String]>([])

    @inline(__always)
    fileprivate static var isArmed: Bool { armed.load(ordering: .relaxed) != 0 }

    /// Has `action` happen at the step with this index (from zero) that the calling thread reaches from now on.
    ///
    /// - Parameter anyThread: count the steps of all threads.
    package static func arm(_ action: Action, atStep index: Int, anyThread: Bool = false) {
        remaining.store(index, ordering: .relaxed)
        names.withLock { $0 = [] }
        thread.store(anyThread ? 0 : ThisProcess.threadIdentifier, ordering: .relaxed)
        armed.store(action.rawValue, ordering: .releasing)
    }

    /// Nothing happens any more; returns the names of the steps reached since ``arm(_:atStep:anyThread:)``.
    @discardableResult
    package static func disarm() -> [String] {
        armed.store(0, ordering: .relaxed)
        return names.withLock { $0 }
    }

    @inline(never)
    fileprivate static func hit(_ name: StaticString) {
        guard let action = Action(rawValue: armed.load(ordering: .acquiring)) else { return }
        let only = thread.load(ordering: .relaxed)
        guard only == 0 || only == ThisProcess.threadIdentifier else { return }
        if action == .count { names.withLock { $0.append("\(name)") } }
        guard remaining.subtract(1, ordering: .relaxed).oldValue == 0 else { return }
        switch action {
        case .kill: ThisProcess.raise(SignalNumber.kill)
        case .stop: ThisProcess.raise(SignalNumber.stop)
        case .delay: ThisProcess.pause(.milliseconds(20))
        case .count: break
        }
    }
}
