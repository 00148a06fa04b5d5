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
    package enum Action: UInt8, Sendable, Codable {
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

    private struct State {
        var plan: Plan?
        /// How many of the steps that the plan looks at were reached.
        var reached = 0
        var generator = SplitMix64(seed: 0)
        var thread: Int32 = 0
        var names: [String] = []
    }

    /// Whether there is a plan: all that a step looks at while there is none.
    private static let armed = Atomic<Bool>(false)
    private static let state = Mutex(State())

    @inline(__always)
    fileprivate static var isArmed: Bool { armed.load(ordering: .relaxed) }

    /// Has `action` happen at the step with this index (from zero) that the calling thread reaches from now on.
    ///
    /// - Parameter anyThread: count the steps of all threads.
    package static func arm(_ action: Action, atStep index: Int, anyThread: Bool = false) {
        arm(Plan(action, .step(index), anyThread: anyThread))
    }

    /// Has the plan carried out from now on, at steps of the calling thread unless it says otherwise.
    package static func arm(_ plan: Plan) {
        state.withLock { state in
            state = State(plan: plan)
            if case .random(let seed, _) = plan.trigger { state.generator = SplitMix64(seed: seed) }
            if !plan.anyThread { state.thread = ThisProcess.threadIdentifier }
        }
        armed.store(true, ordering: .releasing)
    }

    /// Nothing happens any more; returns the names of the steps reached since ``arm(_:)``, unless that was a random plan.
    @discardableResult
    package static func disarm() -> [String] {
        armed.store(false, ordering: .relaxed)
        return state.withLock { state in
            state.plan = nil
            return state.names
        }
    }

    @inline(never)
    fileprivate static func hit(_ name: StaticString) {
        let name = "\(name)"
        let due: Plan? = state.withLock { state in
            guard let plan = state.plan else { return nil }
            guard plan.anyThread || state.thread == ThisProcess.threadIdentifier else { return nil }
            // A random plan may be in force for very many steps.
            if case .random = plan.trigger {} else { state.names.append(name) }
            return isDue(plan, name, &state) ? plan : nil
        }
        // Without the lock: other threads of a stopped process may run into steps before it is resumed.
        guard let due else { return }
        due.note?.write(name)
        switch due.action {
        case .kill: ThisProcess.raise(SignalNumber.kill)
        case .stop: ThisProcess.raise(SignalNumber.stop)
        case .delay: ThisProcess.pause(due.pause)
        case .count: break
        }
    }

    private static func isDue(_ plan: Plan, _ name: String, _ state: inout State) -> Bool {
        switch plan.trigger {
        case .step(let index):
            defer { state.reached += 1 }
            return state.reached == index
        case .named(let wanted, let occurrence):
            guard name == wanted else { return false }
            defer { state.reached += 1 }
            return state.reached == occurrence
        case .random(_, let probability):
            return state.generator.nextFraction() < probability
        }
    }
}
