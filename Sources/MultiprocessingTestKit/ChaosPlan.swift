package import Multiprocessing

/// What is to happen to a process at the steps of the library's protocols on shared memory: death, a stop, a delay.
///
/// Every lock, queue, connection… has named steps, such as "queue.put.copied", before and after each change that others can
/// see. A plan, armed in a child, has something happen at one of them, or at random ones:
///
///     let plan = ChaosPlan(.kill, .step(3))
///     let child = try ChildProcess {
///         plan.arm()
///         try queue.put(1)        // dies at the fourth step in it
///     }
///
/// The steps are there in debug builds, and in builds with `-Xswiftc -DCHAOS`; in others a plan does nothing
/// (``isAvailable``). ``killAtEveryStep(startMethod:timeout:setup:operation:survivors:)`` tries every step in turn.
public struct ChaosPlan: Sendable, Codable {
    /// What happens at a step.
    public enum Action: Sendable, Hashable, Codable {
        /// The process kills itself by SIGKILL.
        case kill
        /// It stops itself by SIGSTOP; somebody else has to send SIGCONT.
        case stop
        /// The thread pauses for a time.
        case delay(Duration)
    }

    /// At which steps.
    public enum Trigger: Sendable, Hashable, Codable {
        /// The step with this index, from zero, of those that are reached after ``ChaosPlan/arm(_:)``.
        case step(Int)
        /// The step with this name, when it is reached for the time with this index, from zero.
        case named(String, occurrence: Int = 0)
        /// Each step with this probability, from 0 to 1. The same seed chooses the same steps.
        case random(seed: UInt64, probability: Double)
    }

    /// What happens.
    public var action: Action
    /// At which steps.
    public var trigger: Trigger

    /// A plan; nothing happens before it is armed.
    public init(_ action: Action, _ trigger: Trigger) {
        self.action = action
        self.trigger = trigger
    }

    /// Whether this build has any steps.
    public static var isAvailable: Bool { Chaos.isAvailable }

    /// Has the plan carried out in this process from now on, in place of one that was armed before.
    ///
    /// - Parameter anyThread: whether the steps of all threads count; otherwise those of the calling thread, which is what
    ///   an asynchronous operation, that goes from thread to thread, cannot use.
    public func arm(anyThread: Bool = false) {
        Chaos.arm(plan(anyThread: anyThread, note: nil))
    }

    /// Nothing happens in this process any more.
    public static func disarm() {
        Chaos.disarm()
    }

    /// The names of the steps that `body` reaches on the calling thread, in their order; none in a build without steps.
    ///
    /// Takes the place of a plan that was armed.
    public static func steps(of body: () throws -> Void) rethrows -> [String] {
        Chaos.arm(.count, atStep: 0)
        do {
            try body()
        } catch {
            Chaos.disarm()
            throw error
        }
        return Chaos.disarm()
    }

    package func plan(anyThread: Bool, note: ChaosNote?) -> Chaos.Plan {
        let steps: Chaos.Plan.Trigger =
            switch trigger {
            case .step(let index): .step(index)
            case .named(let name, let occurrence): .named(name, occurrence: occurrence)
            case .random(let seed, let probability): .random(seed: seed, probability: probability)
            }
        var plan: Chaos.Plan
        switch action {
        case .kill: plan = Chaos.Plan(.kill, steps)
        case .stop: plan = Chaos.Plan(.stop, steps)
        case .delay(let duration): plan = Chaos.Plan(.delay, steps, pause: duration)
        }
        plan.anyThread = anyThread
        plan.note = note
        return plan
    }
}
