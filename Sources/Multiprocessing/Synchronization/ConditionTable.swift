internal import MultiprocessingSystem
internal import Synchronization

/// Who waits for a condition, and who was notified. Documentation/Layouts/Condition.md.
///
/// A waiter has a slot with a word of its own: its process's stamp and `waiting`, or `notified`. Notifying is a compare-and-swap of
/// that word, giving up is another, so that one of the two decides. **A notification is a slot that says `notified`**, and
/// belongs to whom its stamp names; until that one has returned with the lock, the notification is there for others to find:
/// if the owner is dead, another waiter puts its own stamp in its place. So it is never lost, and never there twice.
///
/// Entering and notifying happen under the condition's lock. Everything else is safe without it.
struct ConditionTable: Sendable, Codable {
    private static let version: UInt32 = 1
    static let capacity = 4096

    private static let ticketOffset = 0
    private static let mapOffset = 64
    private static let slotsOffset = 640
    private static let slotSize = 64
    private static let byteCount = slotsOffset + capacity * slotSize
    /// How many owners one look asks about: each costs some system calls. If so many are alive and do not return, they wait for
    /// the lock, and nobody else could return before them either.
    private static let patience = 16

    private let block: SharedBlock

    /// One that waits.
    struct Waiter {
        fileprivate var slot: Int
        fileprivate let ticket: UInt64
    }

    init() throws {
        block = try SharedBlock(.condition, version: Self.version, byteCount: Self.byteCount)
    }

    init(from decoder: any Decoder) throws {
        block = try SharedBlock(from: decoder, .condition, version: Self.version)
        guard block.byteCount == Self.byteCount else {
            throw SharedStateError(.malformed, "What arrived is no condition")
        }
    }

    func encode(to encoder: any Encoder) throws {
        try block.encode(to: encoder)
    }

    // MARK: The words

    private typealias Word = UnsafeMutablePointer<Atomic<UInt64>>

    /// The ticket of the next to come. Whoever waits has a smaller one.
    private var nextTicket: Word { block.word(Self.ticketOffset) }
    /// Which slots are taken, a bit for each.
    private func map(_ group: Int) -> Word { block.word(Self.mapOffset + group * 8) }
    private func word(_ slot: Int) -> Word { block.word(Self.slotsOffset + slot * Self.slotSize) }
    private func ticket(_ slot: Int) -> Word { block.word(Self.slotsOffset + slot * Self.slotSize + 8) }
    /// In a notification: who came later than this, was not there when it was made.
    private func horizon(_ slot: Int) -> Word { block.word(Self.slotsOffset + slot * Self.slotSize + 16) }

    private func state(_ slot: Int) -> Slot { Slot(rawValue: word(slot).pointee.load(ordering: .acquiring)) }

    private func change(_ slot: Int, _ old: Slot, _ new: Slot) -> Bool {
        word(slot).pointee.compareExchange(
            expected: old.rawValue,
            desired: new.rawValue,
            ordering: .acquiringAndReleasing
        ).exchanged
    }

    /// Calls `body` with each slot that is taken until it returns false.
    private func forEachTaken(from first: Int = 0, _ body: (Int) -> Bool) {
        let groups = Self.capacity / 64
        for offset in 0..<groups {
            let group = (first + offset) % groups
            var bits = map(group).pointee.load(ordering: .acquiring)
            while bits != 0 {
                let bit = bits.trailingZeroBitCount
                bits &= bits - 1
                if !body(group * 64 + bit) { return }
            }
        }
    }

    // MARK: Coming and leaving

    /// Takes a slot. Under the condition's lock.
    ///
    /// - Throws: `outOfResources` if there is none.
    func enter() throws -> Waiter {
        guard let slot = reserve() ?? (sweep() ? reserve() : nil) else {
            throw SharedStateError(.outOfResources, "\(Self.capacity) wait for the condition; it has no room for more")
        }
        chaosStep("condition.reserved")
        let number = nextTicket.pointee.wrappingAdd(1, ordering: .relaxed).oldValue
        ticket(slot).pointee.store(number, ordering: .relaxed)
        word(slot).pointee.store(Slot(.current, .waiting).rawValue, ordering: .releasing)
        chaosStep("condition.entered")
        return Waiter(slot: slot, ticket: number)
    }

    private func reserve() -> Int? {
        for group in 0..<Self.capacity / 64 {
            var bits = map(group).pointee.load(ordering: .acquiring)
            while bits != .max {
                let bit = (~bits).trailingZeroBitCount
                bits = map(group).pointee.bitwiseOr(1 << bit, ordering: .acquiringAndReleasing).oldValue
                if bits & 1 << bit == 0 { return group * 64 + bit }
            }
        }
        return nil
    }

    /// Frees the slots of the dead; returns whether there were any. Under the condition's lock.
    private func sweep() -> Bool {
        var isAlive: [ProcessStamp: Bool] = [:]
        func isDead(_ owner: ProcessStamp) -> Bool {
            if let known = isAlive[owner] { return !known }
            isAlive[owner] = owner.isAlive
            return !isAlive[owner]!
        }
        var hasFreed = false
        forEachTaken { slot in
            let found = state(slot)
            let isOver =
                switch found.mark {
                // Whoever took it died before it was in it: under the lock, nobody else is about to.
                case .none: true
                case .waiting, .freed: isDead(found.owner)
                case .notified: isDead(found.owner) && isStale(slot)
                }
            if isOver, free(slot, found) { hasFreed = true }
            return true
        }
        return hasFreed
    }

    /// Gives back a slot, if its word is still what was found there.
    ///
    /// The word says who does so. Without that, whoever finds the table full would take a slot between the word and the bit for one
    /// that nobody ever came to, and the bit that is cleared then would be the next one's.
    private func free(_ slot: Int, _ found: Slot) -> Bool {
        guard change(slot, found, Slot(.current, .freed)) else { return false }
        forget(slot)
        return true
    }

    /// Clears the bit of a slot whose word says that this process frees it. It is anybody's then.
    private func forget(_ slot: Int) {
        chaosStep("condition.freed")
        _ = map(slot / 64).pointee.bitwiseAnd(~(1 << UInt64(slot % 64)), ordering: .releasing)
        chaosStep("condition.forgotten")
    }

    /// Leaves the slot of one that was notified.
    func leave(_ waiter: Waiter) {
        chaosStep("condition.leaving")
        word(waiter.slot).pointee.store(Slot(.current, .freed).rawValue, ordering: .releasing)
        forget(waiter.slot)
    }

    /// Leaves the slot of one that was not notified; returns false, and leaves it as it is, if it was.
    func withdraw(_ waiter: Waiter) -> Bool {
        chaosStep("condition.withdrawing")
        var found = state(waiter.slot)
        // The last look may have marked it as settled.
        while found.mark == .waiting {
            if free(waiter.slot, found) { return true }
            found = state(waiter.slot)
        }
        return false
    }

    // MARK: Waiting

    /// Done if the waiter was notified; or what to sleep on.
    func look(_ waiter: inout Waiter, _ progress: WaitProgress) -> Attempt<Bool> {
        var found = state(waiter.slot)
        if found.mark == .waiting, progress.isOverdue, takeOver(&waiter, progress) { return .done(true) }
        if found.mark == .waiting, progress.isAboutToSleep, !found.isSettled {
            _ = change(waiter.slot, found, found.settled)
            found = state(waiter.slot)
        }
        guard found.mark == .waiting else { return .done(true) }
        chaosStep("condition.sleeping")
        return .wait(FutexWord(lowHalfOf: word(waiter.slot)), while: UInt32(truncatingIfNeeded: found.rawValue))
    }

    /// Takes a notification whose owner is dead; returns whether the waiter is notified then.
    private func takeOver(_ waiter: inout Waiter, _ progress: WaitProgress) -> Bool {
        var asked = 0
        var living = ProcessStamp.current
        var found: Int?
        forEachTaken(from: progress.sleeps) { slot in
            let token = state(slot)
            guard token.mark == .notified, token.owner != living else { return true }
            asked += 1
            if token.owner.isAlive {
                living = token.owner
            } else {
                if horizon(slot).pointee.load(ordering: .relaxed) > waiter.ticket {
                    if isFirst(waiter), change(slot, token, Slot(.current, .notified)) { found = slot }
                } else if isStale(slot) {
                    _ = free(slot, token)
                }
            }
            return found == nil && asked < Self.patience
        }
        guard let found else { return false }
        chaosStep("condition.inherited")
        if withdraw(waiter) {
            waiter.slot = found
        } else {
            // It was notified itself in this moment. The other one belongs to nobody then, as if its owner was dead.
            word(found).pointee.store(Slot(.nobody, .notified).rawValue, ordering: .releasing)
        }
        chaosStep("condition.settled")
        return true
    }

    /// Whether nobody alive has waited longer; if somebody has, that one will look as well.
    private func isFirst(_ waiter: Waiter) -> Bool {
        var living = ProcessStamp.current
        var isFirst = true
        forEachTaken { slot in
            let found = state(slot)
            guard found.mark == .waiting, ticket(slot).pointee.load(ordering: .relaxed) < waiter.ticket else {
                return true
            }
            if found.owner == living || found.owner.isAlive {
                living = found.owner
                isFirst = false
            } else {
                _ = free(slot, found)
            }
            return isFirst
        }
        return isFirst
    }

    /// Whether nobody waits any more who was there when the notification was made.
    private func isStale(_ token: Int) -> Bool {
        let limit = horizon(token).pointee.load(ordering: .relaxed)
        var isStale = true
        forEachTaken { slot in
            if state(slot).mark == .waiting, ticket(slot).pointee.load(ordering: .relaxed) < limit { isStale = false }
            return isStale
        }
        return isStale
    }

    // MARK: Notifying

    /// Notifies up to `count` of those who wait, the longest waiting first. Under the condition's lock.
    func notify(_ count: Int) {
        if count == 1 {
            while let (slot, found) = longestWaiting() {
                if give(slot, found) { return }
            }
        } else if count > 1 {
            var waiting: [(ticket: UInt64, slot: Int, found: Slot)] = []
            forEachTaken { slot in
                let found = state(slot)
                if found.mark == .waiting {
                    waiting.append((ticket(slot).pointee.load(ordering: .relaxed), slot, found))
                }
                return true
            }
            waiting.sort { $0.ticket < $1.ticket }
            var rest = count
            for (_, slot, found) in waiting where rest > 0 {
                if give(slot, found) { rest -= 1 }
            }
        }
    }

    private func longestWaiting() -> (Int, Slot)? {
        var best: (Int, Slot)?
        var least = UInt64.max
        forEachTaken { slot in
            let found = state(slot)
            guard found.mark == .waiting else { return true }
            let number = ticket(slot).pointee.load(ordering: .relaxed)
            if number < least { (best, least) = ((slot, found), number) }
            return true
        }
        return best
    }

    /// Notifies one that waits; false if it does not any more, or is dead.
    private func give(_ slot: Int, _ waiting: Slot) -> Bool {
        var found = waiting
        horizon(slot).pointee.store(nextTicket.pointee.load(ordering: .relaxed), ordering: .relaxed)
        chaosStep("condition.chosen")
        while !change(slot, found, Slot(found.owner, .notified)) {
            // It may have settled. Anything else means that it has gone.
            let now = state(slot)
            guard now.mark == .waiting, now.owner == found.owner else { return false }
            found = now
        }
        chaosStep("condition.notified")
        if FutexWord(lowHalfOf: word(slot)).wake() > 0 { return true }
        chaosStep("condition.woken")
        // Nobody sleeps: it looks at the word, or was about to sleep; or it is dead, which is worth asking in the latter cases.
        guard found.isSettled, !found.owner.isAlive else { return true }
        return !free(slot, Slot(found.owner, .notified))
    }

    /// The word of a slot.
    ///
    /// A process's stamp; bits 22–23, the mark; bit 24, the waiter is settled: it sleeps, or is about to. Whether it is taken, the
    /// map says: of one that is not, the word is zero or tells who freed it.
    private struct Slot: RawRepresentable {
        var rawValue: UInt64

        enum Mark: UInt64 {
            case none = 0
            case waiting, notified
            /// Its bit is about to be cleared, by the process of the stamp.
            case freed
        }

        init(rawValue: UInt64) {
            self.rawValue = rawValue
        }

        init(_ owner: ProcessStamp, _ mark: Mark) {
            rawValue = owner.rawValue | mark.rawValue << 22
        }

        var owner: ProcessStamp { ProcessStamp(rawValue: rawValue) }
        var mark: Mark { Mark(rawValue: rawValue >> 22 & 3)! }
        var isSettled: Bool { rawValue >> 24 & 1 != 0 }
        var settled: Slot { Slot(rawValue: rawValue | 1 << 24) }
    }
}
