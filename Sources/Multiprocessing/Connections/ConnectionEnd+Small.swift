internal import MultiprocessingSystem
internal import MultiprocessingWire
internal import Synchronization

// The short way of numbers and other small values, when nobody is in the way and nothing goes beside the bytes. The same protocol and
// the same steps as the long way, which takes over wherever this one says no. Nothing here is generic, allocates, or asks for the time
// before it has to sleep.

/// How long a call may take. The clock is read when it is first asked for, which is when there is something to wait for.
struct TimeLimit {
    let timeout: Duration?
    private var begun: Deadline?

    init(_ timeout: Duration?) {
        self.timeout = timeout
    }

    /// Whether the caller waits at all.
    var allowsWaiting: Bool { timeout.map { $0 > .zero } ?? true }

    var deadline: Deadline {
        mutating get {
            if begun == nil { begun = Deadline(after: timeout) }
            return begun!
        }
    }
}

extension ConnectionEnd {
    /// Sends a short message; false, and nothing was sent, if that takes more than writing it down.
    ///
    /// - Parameter wakes: whether a receiver that sleeps is woken. If not, it finds the message when the next one wakes it, or when it
    ///   looks again by itself.
    func sendSmall(_ bytes: UnsafeRawBufferPointer, wakes: Bool = true) throws -> Bool {
        let ring = try requireOutgoing()
        guard ring.sendGuard.takeIfUncontended() else { return false }
        chaosStep("send.guarded")
        defer { ring.sendGuard.release() }
        let head = try headForSending(ring)
        let record = MessageRing.Record(kind: .bytes, length: bytes.count, descriptorCount: 0)
        guard let tail = try ring.write(record, bytes, head: head) else { return false }
        chaosStep("send.written")
        if wakes {
            try commit(ring, tail)
        } else {
            ring.tail.pointee.store(tail, ordering: .sequentiallyConsistent)
            chaosStep("send.committed")
        }
        return true
    }

    /// Takes messages as long as there are any that `take` wants, which are looked at where they lie: whoever sent them may still write
    /// there. Waits for nothing; takes none if somebody else is receiving.
    func takeShort(_ take: (UnsafeRawBufferPointer) -> Bool) throws {
        let ring = try requireIncoming()
        if ring.isEmpty { return }
        guard ring.receiveGuard.takeIfUncontended() else { return }
        chaosStep("receive.guarded")
        defer { ring.receiveGuard.release() }
        while let record = try ring.first(), record.kind == .bytes, record.descriptorCount == 0,
            take(ring.content(of: record))
        {
            chaosStep("receive.copied")
            advance(ring, record)
        }
        if ring.isPolled.pointee.load(ordering: .relaxed) != 0, ring.isEmpty { _ = quieten(ring) }
    }

    /// Receives a small value; false, and nothing was received, if the first message is none, or somebody else is receiving.
    ///
    /// Waits until there is a message.
    func receiveSmall(
        _ type: SmallType,
        into target: UnsafeMutableRawPointer,
        _ limit: inout TimeLimit
    ) throws -> Bool {
        let ring = try requireIncoming()
        if let isTaken = try takeSmall(ring, type, into: target) { return isTaken }
        guard limit.allowsWaiting else { return false }
        if look(at: ring), let isTaken = try takeSmall(ring, type, into: target) { return isTaken }
        var hasLooked = true
        while true {
            switch try awaitArrival(ring, deadline: limit.deadline, hasLooked: hasLooked) {
            case .message: if let isTaken = try takeSmall(ring, type, into: target) { return isTaken }
            case .gone: throw Self.peerGone
            case .timedOut: throw Self.nothingCame(limit.timeout)
            }
            hasLooked = false
        }
    }

    /// Whether it took the first message; nil if there is none.
    @inline(__always)
    private func takeSmall(_ ring: MessageRing, _ type: SmallType, into target: UnsafeMutableRawPointer) throws -> Bool?
    {
        if ring.isEmpty { return nil }
        guard ring.receiveGuard.takeIfUncontended() else { return false }
        chaosStep("receive.guarded")
        defer { ring.receiveGuard.release() }
        guard let record = try ring.first() else { return nil }
        // Decoded where it lies: no code of the user runs, and what a sender writes meanwhile leads to another value at most.
        guard record.kind == .bytes, record.descriptorCount == 0, type.decode(ring.content(of: record), into: target)
        else { return false }
        chaosStep("receive.copied")
        advance(ring, record)
        if ring.isPolled.pointee.load(ordering: .relaxed) != 0, ring.isEmpty { _ = quieten(ring) }
        return true
    }
}
