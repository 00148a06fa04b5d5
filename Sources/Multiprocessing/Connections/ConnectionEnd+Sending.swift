internal import MultiprocessingSystem
internal import Synchronization
internal import SystemPackage

/// What goes with a message's bytes.
struct Envelope {
    var kind = MessageRing.Kind.bytes
    /// The descriptors to pass; the first is the file with the bytes, if there is one.
    var attachments: [SharedDescriptor] = []
    /// Bytes in the file.
    var byteCount = 0
}

extension ConnectionEnd {
    /// Messages with descriptors that may be on their way at once. The socket holds no more than some.
    private static let mostTickets: UInt64 = 16

    /// Puts bytes that are too many for the ring into a file, which then goes with the message.
    static func putAside(_ bytes: UnsafeRawBufferPointer, _ envelope: inout Envelope) throws {
        guard bytes.count > MessageRing.longestInline else { return }
        do throws(Errno) {
            let file = try Descriptor.memoryFile(holding: bytes)
            envelope.attachments.insert(SharedDescriptor(file), at: 0)
        } catch {
            throw SharedStateError(.outOfResources, "There is no room for a message of this size", errno: error)
        }
        envelope.kind = .file
        envelope.byteCount = bytes.count
    }

    /// Sends a message if there is room, waiting for nothing.
    func attemptSend(
        _ ring: MessageRing,
        _ bytes: UnsafeRawBufferPointer,
        _ envelope: Envelope,
        _ progress: WaitProgress
    ) throws -> Attempt<Void> {
        try requireOpen()
        // Taken from the dead or not: what they had not committed is not there.
        if case .busy(let word, let value) = ring.sendGuard.take(progress.atGuard) {
            return .guarded(word, while: value)
        }
        chaosStep("send.guarded")
        defer { ring.sendGuard.release() }
        let head = ring.head.pointee.load(ordering: .acquiring)
        try noticeDeath(ring, head)
        var record = MessageRing.Record(
            kind: envelope.kind,
            length: envelope.kind == .file ? 8 : bytes.count,
            descriptorCount: envelope.attachments.count,
            byteCount: envelope.byteCount
        )
        let mayPass = envelope.attachments.isEmpty || hasTicket(ring, head)
        if !envelope.attachments.isEmpty {
            // Counted before the packet is sent: who dies after it leaves a number that is not used again.
            record.ticket = ring.lastTicketSent.pointee.load(ordering: .relaxed) &+ 1
        }
        guard mayPass, let tail = try ring.write(record, bytes, head: head) else {
            return try full(ring, head)
        }
        chaosStep("send.written")
        if !envelope.attachments.isEmpty {
            guard try pass(envelope.attachments, ticket: record.ticket, ring) else { return try full(ring, head) }
        }
        try commit(ring, tail)
        return .done(())
    }

    /// The message is sent from here on; wakes receivers that sleep. For the holder of the send guard.
    @inline(__always)
    func commit(_ ring: MessageRing, _ tail: UInt64) throws {
        ring.senderProcessor.pointee.store(ThisProcess.processor, ordering: .relaxed)
        ring.tail.pointee.store(tail, ordering: .sequentiallyConsistent)
        chaosStep("send.committed")
        let calls = ring.calls.pointee.load(ordering: .sequentiallyConsistent)
        if MessageRing.isCalled(calls) { try wakeReceivers(ring, calls, tail) }
    }

    private func hasTicket(_ ring: MessageRing, _ head: UInt64) -> Bool {
        // Numbers of senders that died are never taken; but an empty ring has none on their way.
        if head == ring.tail.pointee.load(ordering: .relaxed) { return true }
        let sent = ring.lastTicketSent.pointee.load(ordering: .relaxed)
        return sent &- ring.lastTicketTaken.pointee.load(ordering: .acquiring) < Self.mostTickets
    }

    /// After `head` was seen to move, so many short messages are sent without a look at it: looking takes its memory from the cache of
    /// the receiver, who writes there.
    private static let unlooked: UInt64 = 15

    /// Where the first message begins, or began lately: there is at least as much room as that says.
    @inline(__always)
    func headForSending(_ ring: MessageRing) throws -> UInt64 {
        let count = ring.sentSinceMove.pointee.load(ordering: .relaxed) &+ 1
        if Int64(bitPattern: count) <= 0 || count & Self.unlooked != 0 && count.nonzeroBitCount != 1 {
            ring.sentSinceMove.pointee.store(count, ordering: .relaxed)
            return ring.headSeen.pointee.load(ordering: .relaxed)
        }
        let head = ring.head.pointee.load(ordering: .acquiring)
        try noticeDeath(ring, head)
        return head
    }

    /// A receiver that died while it was awake leaves no trace in memory: when messages pile up, look, at the first, second,
    /// fourth, … of them.
    @inline(__always)
    private func noticeDeath(_ ring: MessageRing, _ head: UInt64) throws {
        if ring.headSeen.pointee.load(ordering: .relaxed) != head {
            ring.headSeen.pointee.store(head, ordering: .relaxed)
            ring.sentSinceMove.pointee.store(0 &- Self.unlooked, ordering: .relaxed)
            return
        }
        if head == ring.tail.pointee.load(ordering: .relaxed) { return }
        let count = ring.sentSinceMove.pointee.load(ordering: .relaxed) &+ 1
        ring.sentSinceMove.pointee.store(count, ordering: .relaxed)
        if count.nonzeroBitCount == 1, try peerIsGone() { throw Self.peerGone }
    }

    /// No room: says that a sender waits for `head` to move.
    private func full(_ ring: MessageRing, _ head: UInt64) throws -> Attempt<Void> {
        if try peerIsGone() { throw Self.peerGone }
        ring.wantsSpace.pointee.store(MessageRing.call(atHead: head), ordering: .sequentiallyConsistent)
        chaosStep("send.full")
        // If it moved before the flag could be seen, the word differs and nobody sleeps.
        return .wait(FutexWord(lowHalfOf: ring.head), while: UInt32(truncatingIfNeeded: head))
    }

    /// Sends the descriptors of a message that is not yet committed; false if the socket is full.
    private func pass(_ attachments: [SharedDescriptor], ticket: UInt64, _ ring: MessageRing) throws -> Bool {
        ring.lastTicketSent.pointee.store(ticket, ordering: .releasing)
        chaosStep("send.ticket")
        let socket = try socket()
        var start = 0
        while start < attachments.count {
            let end = min(start + SocketPacket.mostDescriptors, attachments.count)
            do throws(Errno) {
                let numbers = attachments[start..<end].map(\.number)
                try SocketPacket(.descriptors, ticket).send(over: socket.descriptor, passing: numbers)
            } catch {
                switch error {
                case .resourceTemporarilyUnavailable: return false
                case .brokenPipe, .connectionReset, .connectionRefused, .socketNotConnected: throw Self.peerGone
                default:
                    throw SharedStateError(.outOfResources, "Descriptors could not be sent", errno: error)
                }
            }
            chaosStep("send.passed")
            start = end
        }
        return true
    }

    @inline(never)
    private func wakeReceivers(_ ring: MessageRing, _ calls: UInt64, _ tail: UInt64) throws {
        if calls >> 32 != 0 {
            ring.naps.pointee.store(0, ordering: .relaxed)
            chaosStep("send.waking")
            FutexWord(lowHalfOf: ring.tail).wakeAll()
        }
        let bell = UInt32(truncatingIfNeeded: calls)
        if bell & 1 == 1 { try ringBell(ring, bell, tail) }
    }

    /// Rings for receivers that sleep on the socket. The word changes afterwards: who dies in between has rung once too often, not
    /// once too seldom.
    private func ringBell(_ ring: MessageRing, _ bell: UInt32, _ tail: UInt64) throws {
        do throws(Errno) {
            try SocketPacket(.bell, tail).send(over: try socketOrErrno().descriptor)
        } catch {
            switch error {
            // A socket full of packets is readable, which is all that a bell is for.
            case .resourceTemporarilyUnavailable: break
            case .badFileDescriptor: throw SharedStateError(.closed, "The connection was closed")
            default:
                // A receiver that needed no bell may have taken the message and left.
                let head = ring.head.pointee.load(ordering: .acquiring)
                if Int64(bitPattern: head &- tail) < 0 { throw Self.peerGone }
            }
        }
        chaosStep("send.rung")
        // Unless a receiver has gone to sleep anew.
        _ = ring.bell.pointee.compareExchange(
            expected: bell,
            desired: bell &+ 1,
            ordering: .sequentiallyConsistent
        )
    }

    private func socketOrErrno() throws(Errno) -> SharedDescriptor {
        do throws(SharedStateError) { return try socket() } catch { throw .badFileDescriptor }
    }
}

extension MessageRing {
    /// From now on whoever commits a message rings. For the holder of the receive guard.
    ///
    /// Always a new odd value: a sender that rang for an earlier sleep, and only now takes that bell back, must not take back this one.
    func armBell() {
        var value = bell.pointee.load(ordering: .relaxed)
        while true {
            let (won, now) = bell.pointee.compareExchange(
                expected: value,
                desired: (value &+ 1) | 1,
                ordering: .sequentiallyConsistent
            )
            if won { return }
            value = now
        }
    }
}
