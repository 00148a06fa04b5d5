internal import MultiprocessingSystem
internal import Synchronization

/// A gate that opens when a fixed number of parties have come to it, then closes again for the next round.
///
///     let gate = try Barrier(parties: 4)
///     // in each of four processes, threads or tasks:
///     try gate.wait()     // nobody goes on before all four are here
///
/// A party that does not come is not waited for in vain: when one times out, is cancelled, dies or calls ``abort()``, the
/// barrier *breaks*. All others get an error then (`broken`), now and whenever they wait, until somebody calls ``reset()``.
/// The death of a process that waits is noticed within about half a second. What nobody can notice is a party that dies
/// before it arrives: waiting with a timeout is for that.
///
/// A party that was killed before it had returned counts as not come if its round was not decided, and as passed otherwise.
///
/// Waiting costs a few atomic operations and the sleep; the last to arrive makes one system call for all. A barrier takes some
/// hundred bytes of shared memory and 16 for each party.
///
/// Python: `multiprocessing.Barrier`, with which a party that dies leaves the others waiting for ever. Its `action` is given
/// to ``wait(timeout:action:)``: a barrier can be sent to any process, and code that came with it would be run there.
public final class Barrier: Sendable, Codable, CustomStringConvertible {
    /// The number of parties that open the gate.
    public let parties: Int
    /// How long a wait takes that says nothing else; nil is without end.
    public let timeout: Duration?

    let core: BarrierCore
    private let spin = AdaptiveSpin()

    /// How long a wait without success may go on because another process is in the middle of a step: stopped, most likely.
    private static let grace: Duration = .seconds(1)

    /// Makes a barrier. No system call for up to some thousand parties, except for a process's first piece of shared memory.
    ///
    /// - Parameters:
    ///   - parties: from 1 to 65,536.
    ///   - timeout: for waits that say nothing else; nil is without end. Negative is zero.
    /// - Throws: ``SharedStateError``: `invalidArgument`, `outOfResources`.
    public init(parties: Int, timeout: Duration? = nil) throws {
        self.parties = parties
        self.timeout = timeout.flatMap { $0 > Deadline.longest ? nil : max($0, .zero) }
        core = try BarrierCore(parties: parties, timeout: self.timeout)
    }

    /// Finds the barrier that a message names; called when a handle arrives in a process.
    ///
    /// - Throws: ``SharedStateError`` (`cannotTravel`, `malformed`).
    public init(from decoder: any Decoder) throws {
        core = try BarrierCore(from: decoder)
        parties = core.parties
        timeout = core.timeout
    }

    /// Writes a handle into a message to another process; the barrier itself stays where it is.
    ///
    /// - Throws: ``SharedStateError`` (`cannotTravel`) where only bytes go, into a file for instance.
    public func encode(to encoder: any Encoder) throws {
        try core.block.encode(to: encoder)
    }

    /// Whether waits fail until ``reset()``. One load. Python: `broken`.
    public var isBroken: Bool { core.state.isBroken }

    /// How many wait in this round, whose action may be running; zero if it is decided. Two loads. Python: `n_waiting`.
    public var waitingCount: Int {
        core.state.phase == .filling ? core.count : 0
    }

    /// Opens a new round. Those who wait fail (`broken`), and a broken barrier is whole again.
    ///
    /// Never waits. One atomic operation, and a system call if somebody sleeps.
    public func reset() {
        core.change { $0.reset(hasWaiters: core.count > 0) }
    }

    /// Breaks the barrier: those who wait and those who come fail (`broken`) until ``reset()``.
    ///
    /// A round that has passed stays so. Never waits. One atomic operation, and a system call if somebody sleeps.
    public func abort() {
        core.change { $0.aborted }
    }

    /// Blocks the thread until all parties are there.
    ///
    /// - Parameters:
    ///   - timeout: how long to wait; nil is ``timeout``. When the time is over the barrier breaks, also while an action runs.
    ///   - action: run by the party that comes last, before anybody goes on; so every party passes the same. If it throws, the
    ///     barrier breaks, and the error goes to the party that ran it.
    /// - Returns: the order of arrival, from zero; one party of each round gets zero.
    /// - Throws: ``SharedStateError``: `broken` if the barrier is broken or breaks, by this party's timeout too; `timedOut` if
    ///   the time was over before the party could come in, because the action of the round before still runs: that breaks
    ///   nothing. What `action` throws.
    @available(*, noasync, message: "Use the async wait: this one blocks the thread")
    @discardableResult
    public func wait(timeout: Duration? = nil, action: () throws -> Void = {}) throws -> Int {
        let deadline = Deadline(after: timeout ?? self.timeout)
        var isHindered = false
        let entered =
            try Wait.blocking(deadline: deadline, spin: spin) { try core.enter($0, &isHindered) }
            ?? (isHindered
                ? Wait.blocking(deadline: Deadline(after: Self.grace), spin: spin) { try core.enter($0, &isHindered) }
                : nil)
        guard let party = entered else { throw cannotEnter }
        defer { core.leave(party) }
        if party.isLast {
            do { try action() } catch {
                core.change { $0.breaking(party.round) }
                throw error
            }
            return try index(of: party, hasPassed: core.pass(party))
        }
        let hasPassed = try Wait.blocking(deadline: deadline, spin: spin) { core.look(party, $0) }
        return try index(of: party, hasPassed: hasPassed ?? core.giveUp(party))
    }

    /// Suspends the task until all parties are there. Blocks no thread.
    ///
    /// - Parameters:
    ///   - timeout: how long to wait; nil is ``timeout``. When the time is over the barrier breaks, also while an action runs.
    ///   - action: run by the party that comes last, before anybody goes on; so every party passes the same. If it throws, the
    ///     barrier breaks, and the error goes to the party that ran it.
    /// - Returns: the order of arrival, from zero; one party of each round gets zero.
    /// - Throws: as for the call that blocks; and `CancellationError` if the task is cancelled before the round has passed. That
    ///   party will not come again, so the barrier breaks; a task that is cancelled already does not come in, and breaks nothing.
    @discardableResult
    public func wait(timeout: Duration? = nil, action: () async throws -> Void = {}) async throws -> Int {
        try Task.checkCancellation()
        let deadline = Deadline(after: timeout ?? self.timeout)
        var isHindered = false
        var entered = try await Wait.suspending(deadline: deadline) { try core.enter($0, &isHindered) }
        if entered == nil, isHindered {
            let grace = Deadline(after: Self.grace)
            entered = try await Wait.suspending(deadline: grace) { try core.enter($0, &isHindered) }
        }
        guard let party = entered else { throw cannotEnter }
        defer { core.leave(party) }
        if party.isLast {
            do { try await action() } catch {
                core.change { $0.breaking(party.round) }
                throw error
            }
            return try index(of: party, hasPassed: core.pass(party))
        }
        do {
            let hasPassed = try await Wait.suspending(deadline: deadline) { core.look(party, $0) }
            return try index(of: party, hasPassed: hasPassed ?? core.giveUp(party))
        } catch let cancellation as CancellationError {
            guard core.giveUp(party) == true else { throw cancellation }
            return party.index
        }
    }

    /// ``wait(timeout:action:)`` with an action that does not suspend; without it the compiler would choose the call that blocks.
    @discardableResult
    public func wait(timeout: Duration? = nil, action: () throws -> Void) async throws -> Int {
        try await wait(timeout: timeout) { () async throws in try action() }
    }

    /// - Parameter hasPassed: nil if the party's time was over, which broke the barrier.
    private func index(of party: BarrierCore.Party, hasPassed: Bool?) throws -> Int {
        switch hasPassed {
        case true?: return party.index
        case false?: throw BarrierCore.broken
        case nil: throw SharedStateError(.broken, "A wait at the barrier timed out, which breaks it")
        }
    }

    private var cannotEnter: SharedStateError {
        SharedStateError(.timedOut, "The time was over before the barrier could be entered")
    }

    public var description: String {
        isBroken ? "<Barrier broken>" : "<Barrier, \(waitingCount) of \(parties) waiting>"
    }
}
