import Synchronization
import Testing

@testable import Multiprocessing

/// The queue's arithmetic as pure values: every state of a small ring, and the words that commit.
@Suite struct QueueModelTests {
    /// A small ring and what lies in it, beside a plain list of which byte belongs to which record.
    private struct Model: Hashable {
        static let ring = Ring(capacity: 64)

        var head: UInt64
        var tail: UInt64
        /// The sizes of the records in line, and whether a marker precedes each.
        var sizes: [Int] = []
        var wraps: [Bool] = []

        var used: [Bool] {
            var bytes = [Bool](repeating: false, count: Self.ring.capacity)
            var position = RingPosition(rawValue: head)
            for (size, isWrapped) in zip(sizes, wraps) {
                if isWrapped {
                    for index in position.offset..<Self.ring.capacity { bytes[index] = true }
                    position = Self.ring.nextLap(position)
                }
                for index in position.offset..<position.offset + size {
                    #expect(!bytes[index], "two records share a byte")
                    bytes[index] = true
                }
                position = Self.ring.advanced(position, by: size)
            }
            #expect(position == RingPosition(rawValue: tail), "the records do not end at the tail")
            return bytes
        }

        /// Nil if there is no room; checked against the plain list.
        func putting(_ size: Int) -> Model? {
            let (head, tail) = (RingPosition(rawValue: head), RingPosition(rawValue: tail))
            let used = used
            let place = Self.ring.place(size, tail: tail, free: head)
            func isFree(_ range: Range<Int>) -> Bool { range.upperBound <= used.count && !used[range].contains(true) }
            let isWrapped = tail.offset + size > Self.ring.capacity
            let hasRoom =
                isWrapped
                // The marker in front of the end of the ring must stay.
                ? isFree(tail.offset..<used.count) && isFree(0..<size) && size <= tail.offset
                : isFree(tail.offset..<tail.offset + size)
            #expect((place != nil) == hasRoom)
            guard let place else { return nil }
            #expect(place.isWrapped == isWrapped)
            #expect(place.start.offset == (isWrapped ? 0 : tail.offset))
            var result = self
            result.tail = place.end.rawValue
            result.sizes.append(size)
            result.wraps.append(isWrapped)
            return result
        }

        func taking() -> Model {
            var result = self
            var position = RingPosition(rawValue: head)
            if result.wraps.removeFirst() { position = Self.ring.nextLap(position) }
            result.head = Self.ring.advanced(position, by: result.sizes.removeFirst()).rawValue
            return result
        }

        /// The lap counted from the head's, so that there are finitely many states.
        func normalised(from lap: UInt32) -> Model {
            var (head, tail) = (RingPosition(rawValue: head), RingPosition(rawValue: tail))
            let distance = Self.ring.distance(from: head, to: tail)
            #expect(distance >= 0 && distance <= Self.ring.capacity)
            tail = RingPosition(lap: tail.lap &- head.lap &+ lap, offset: tail.offset)
            head.lap = lap
            var result = self
            (result.head, result.tail) = (head.rawValue, tail.rawValue)
            return result
        }
    }

    /// Positions that nobody wrote, in the largest ring: a number that means that they do not belong together, and no trap.
    @Test func positionsOfStrangers() {
        let ring = Ring(capacity: RingPosition.maximumOffset)
        let last = ring.capacity - 8
        for lap in [2, 1 << 23 - 1, 1 << 23, RingPosition.lapMask - 1] as [UInt32] {
            for (first, second) in [(0, last), (last, 0), (0, 0)] {
                let distance = ring.distance(
                    from: RingPosition(lap: 0, offset: first),
                    to: RingPosition(lap: lap, offset: second)
                )
                #expect(lap < 1 << 23 ? distance > ring.capacity : distance < 0)
                _ = ring.capacity - distance
            }
        }
        #expect(ring.place(64, tail: RingPosition(lap: 1 << 23, offset: 0), free: .start) == nil)
    }

    /// From an empty ring, by puts of all sizes and takes, in any order; also where the lap wraps round.
    @Test(arguments: [0, 1, RingPosition.lapMask]) func everyStateOfARing(lap: UInt32) {
        let start = RingPosition(lap: lap, offset: 0).rawValue
        var seen: Set<Model> = [Model(head: start, tail: start)]
        var open = Array(seen)
        var full = 0
        while let model = open.popLast() {
            var next: [Model] = []
            for size in stride(from: 8, through: 64, by: 8) {
                if let put = model.putting(size) { next.append(put) } else { full += 1 }
            }
            if !model.sizes.isEmpty { next.append(model.taking()) }
            if model.sizes.isEmpty {
                // Empty, it may move to the start of the next lap.
                let moved = Model.ring.nextLap(RingPosition(rawValue: model.tail)).rawValue
                next.append(Model(head: moved, tail: moved))
                // And then everything fits.
                #expect(Model(head: moved, tail: moved).putting(64) != nil)
            }
            for state in next.map({ $0.normalised(from: lap) }) where seen.insert(state).inserted { open.append(state) }
        }
        #expect(seen.count > 1000 && full > 0)
    }

    @Test func positionsBeforeALimit() {
        let ring = Ring(capacity: 64)
        for offset in stride(from: 0, to: 64, by: 8) {
            for size in stride(from: 0, through: 64, by: 8) {
                let limit = RingPosition(lap: 0, offset: offset)
                let start = ring.before(limit, size: size)
                #expect(start.offset + size <= 64)
                let distance = ring.distance(from: start, to: limit)
                #expect(distance == (size <= offset ? size : offset + size))
                #expect(RingPosition(rawValue: start.rawValue) == start)
            }
        }
        #expect(!ring.isValid(RingPosition(lap: 0, offset: 64)) && !ring.isValid(RingPosition(lap: 0, offset: 4)))
    }

    @Test func commitWords() {
        var word = CommitWord(rawValue: 0)
        for count: UInt64 in 1...2000 {
            let next = word.committing(count % 3)
            #expect(next.sequence == word.sequence + count % 3)
            #expect(next.copy != word.copy && !next.agrees(with: word))
            var nudged = next
            for _ in 0..<33 {
                #expect(nudged.nudged.low != nudged.low)
                nudged = nudged.nudged
                #expect(nudged.agrees(with: next) && nudged.sequence == next.sequence && !nudged.isShutDown)
            }
            word = next
        }
        let ended = CommitWord(rawValue: word.rawValue | CommitWord.shutDown | CommitWord.discarding)
        #expect(ended.isShutDown && ended.isDiscarding && ended.nudged.isDiscarding && ended.agrees(with: word))
        #expect(ended.committing(1).isShutDown)
    }

    @Test func holdStates() {
        var state = HoldState(rawValue: 0)
        var done: UInt64 = 0
        for round in 0..<5000 {
            #expect(state.isFree && state.completions == done)
            let first = state
            state = state.delivering(.leasing)
            #expect(state.deliveries == 1)
            state = state.becoming(.leased)
            for delivery in 1...(round % 4 + 1) {
                let back = state.returning(maximumDeliveries: 4)
                if delivery == 4 {
                    done += 1
                    #expect(back.phase == .dead && back.completions == done)
                    state = back.ending(isDone: false)
                    break
                }
                #expect(back.phase == .returned && back.deliveries == delivery)
                state = back.delivering(.leased)
                #expect(state.deliveries == delivery + 1)
            }
            if !state.isFree {
                let isDone = round % 3 == 0
                if isDone { done += 1 }
                state = state.ending(isDone: isDone)
            }
            #expect(state != first && state.completions == done)
        }
        var delivered = state.delivering(.leased)
        for _ in 0..<300 { delivered = delivered.becoming(.returned).delivering(.leased) }
        #expect(delivered.deliveries == HoldState.mostDeliveries && delivered.completions == done)
        // Whoever had it before has not got it now, however often it was delivered.
        #expect(delivered.returning(maximumDeliveries: .max).delivering(.leased) != delivered)
    }

    /// As after very many leases, one after the other, all of them completed: what is unfinished stays exact.
    @Test func moreCompletionsThanAHoldCounts() throws {
        let queue = try Queue<Int>()
        let memory = queue.core.memory
        let earlier: UInt64 = 1 << 34 - 3
        memory.hold(0).state.pointee.store(earlier << 30, ordering: .relaxed)
        memory.holdsEverUsed.pointee.store(1, ordering: .relaxed)
        memory.done.pointee.store(0 &- earlier, ordering: .relaxed)
        for number in 0..<7 {
            try queue.putImmediately(number)
            let lease = try queue.lease(timeout: .seconds(10))
            #expect(queue.core.unfinished == 1)
            try lease.complete()
            #expect(queue.core.unfinished == 0)
        }
        #expect(memory.hold(0).load().completions == 4)
        #expect(try queue.join(timeout: .zero))
    }
}
