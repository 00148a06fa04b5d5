internal import MultiprocessingSystem
internal import Synchronization

// How items that were taken come to their end. Without a guard: one compare-and-swap of the hold's state.
extension QueueCore {
    /// Gives back the bytes of an item that was got. Once for each.
    func finish(_ item: TakenItem) {
        guard let taken = item.hold else {
            item.deallocate()
            return
        }
        chaosStep("queue.get.decoded")
        _ = memory.hold(taken.index).change(taken.state, to: taken.state.ending(isDone: false))
        chaosStep("queue.get.finished")
        noteRoom()
    }

    /// A lease as its holder knows it.
    struct LeaseToken {
        fileprivate(set) var hold: Occupied
        let owner = ProcessStamp.current

        var deliveries: Int { hold.state.deliveries }
    }

    /// The lease of an item that was taken for one, after it was decoded: from now on its bytes may be moved.
    ///
    /// - Throws: `notOwner` if its time ran out meanwhile. Then what was decoded may be of bytes that changed.
    func begin(_ item: TakenItem) throws -> LeaseToken {
        guard var hold = item.hold else { throw QueueMemory.damaged }
        let state = hold.state.becoming(.leased)
        guard memory.hold(hold.index).change(hold.state, to: state) else { throw Self.leaseLost }
        chaosStep("queue.lease.begun")
        hold.state = state
        return LeaseToken(hold: hold)
    }

    /// Drops an item that was taken for a lease but cannot be decoded. It counts as done: it would fail everywhere.
    ///
    /// - Throws: `notOwner` if its time ran out meanwhile. Then that may be why, and it stays.
    func drop(_ item: TakenItem) throws {
        guard let taken = item.hold else { return }
        guard memory.hold(taken.index).change(taken.state, to: taken.state.ending(isDone: true)) else {
            throw Self.leaseLost
        }
        noteRoom()
        wakeJoinersIfFinished()
    }

    func complete(_ lease: LeaseToken) throws {
        guard change(lease, to: lease.hold.state.ending(isDone: true)) else { throw Self.leaseLost }
        chaosStep("queue.lease.completed")
        noteRoom()
        wakeJoinersIfFinished()
    }

    func release(_ lease: LeaseToken) throws {
        let new = lease.hold.state.returning(maximumDeliveries: memory.maximumDeliveries)
        guard change(lease, to: new) else { throw Self.leaseLost }
        chaosStep("queue.lease.released")
        if new.phase == .returned {
            memory.returnedHint.pointee.store(1, ordering: .sequentiallyConsistent)
            nudge(consumers, count: 1)
        } else {
            wakeJoinersIfFinished()
        }
    }

    /// - Parameter duration: from now, in nanoseconds; `.max` is for ever.
    func extend(_ lease: inout LeaseToken, by duration: UInt64) throws {
        let now = MonotonicTime.nanoseconds
        let deadline = duration > .max - now ? .max : now + duration
        let hold = memory.hold(lease.hold.index)
        // Nobody else writes this very deadline, so a later lease in the same hold is not touched.
        guard isCurrent(lease),
            hold.deadline.pointee.compareExchange(
                expected: lease.hold.deadline,
                desired: deadline,
                ordering: .sequentiallyConsistent
            ).exchanged
        else { throw Self.leaseLost }
        lease.hold.deadline = deadline
        chaosStep("queue.lease.extended")
        guard isCurrent(lease) else { throw Self.leaseLost }
    }

    /// Whether a lease still is its holder's.
    func isCurrent(_ lease: LeaseToken) -> Bool {
        let hold = memory.hold(lease.hold.index)
        return lease.owner == .current && hold.sequence.pointee.load(ordering: .relaxed) == lease.hold.sequence
            && hold.load() == lease.hold.state
    }

    private func change(_ lease: LeaseToken, to new: HoldState) -> Bool {
        isCurrent(lease) && memory.hold(lease.hold.index).change(lease.hold.state, to: new)
    }

    static var leaseLost: SharedStateError {
        SharedStateError(.notOwner, "The lease ended before: its time ran out, or it was completed or released")
    }
}
