internal import MultiprocessingSystem
internal import Synchronization
internal import SystemPackage

extension ConnectionEnd {
    /// Copies of messages up to this size are made on the stack.
    private static let small = 1024

    /// Takes the first message out of the ring, and has `finish` make something of it; nil if there is none.
    ///
    /// - Parameter target: where bytes go that `admit` lets through; nil for memory of their own.
    /// - Parameter admit: looks at a message that is still there; what it throws leaves it there.
    /// - Parameter finish: what it throws is the end of a message that is gone.
    func attemptReceive<Value>(
        _ ring: MessageRing,
        _ progress: WaitProgress,
        into target: UnsafeMutableRawBufferPointer? = nil,
        admit: (MessageRing.Record) throws -> Void,
        finish: (IncomingMessage) throws -> Value
    ) throws -> Attempt<Value?> {
        try requireOpen()
        // Taken from the dead or not: a message that was not taken is still there, one that was is gone with its receiver.
        if case .busy(let word, let value) = ring.receiveGuard.take(progress.atGuard) {
            return .guarded(word, while: value)
        }
        var isGuarded = true
        defer { if isGuarded { ring.receiveGuard.release() } }
        chaosStep("receive.guarded")
        guard let record = try ring.first() else { return .done(nil) }
        try admit(record)

        func take(into copy: UnsafeMutableRawBufferPointer) throws -> Value {
            if let target = copy.baseAddress { ring.copyContent(of: record, to: target) }
            chaosStep("receive.copied")
            advance(ring, record)
            let descriptors = record.descriptorCount > 0 ? try takeDescriptors(ring, record) : []
            if ring.isPolled.pointee.load(ordering: .relaxed) != 0, ring.isEmpty { _ = quieten(ring) }
            ring.receiveGuard.release()
            isGuarded = false
            chaosStep("receive.released")
            return try finish(
                IncomingMessage(bytes: UnsafeRawBufferPointer(copy), descriptors: descriptors, record: record)
            )
        }

        if let target, record.kind == .bytes {
            return .done(try take(into: UnsafeMutableRawBufferPointer(rebasing: target[..<record.length])))
        }
        if record.length <= Self.small {
            return .done(
                try withUnsafeTemporaryAllocation(byteCount: Self.small, alignment: 16) { buffer in
                    try take(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<record.length]))
                }
            )
        }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: record.length, alignment: 16)
        defer { buffer.deallocate() }
        return .done(try take(into: buffer))
    }

    /// The message is taken from here on; wakes senders that wait for room.
    @inline(__always)
    func advance(_ ring: MessageRing, _ record: MessageRing.Record) {
        if record.descriptorCount > 0 {
            // Before the message is taken: packets of messages that are gone are known by it, also if this process dies here.
            ring.lastTicketTaken.pointee.store(record.ticket, ordering: .releasing)
        }
        chaosStep("receive.ticket")
        ring.head.pointee.store(record.end, ordering: .sequentiallyConsistent)
        chaosStep("receive.taken")
        let call = ring.wantsSpace.pointee.load(ordering: .sequentiallyConsistent)
        // A call that was made at this very head is for the next move: who made it may not sleep yet, and would not be seen.
        if call != 0, call != MessageRing.call(atHead: record.end) {
            _ = ring.wantsSpace.pointee.compareExchange(expected: call, desired: 0, ordering: .sequentiallyConsistent)
            FutexWord(lowHalfOf: ring.head).wakeAll()
        }
    }

    /// The descriptors of a message that was just taken: its packet was sent before it was committed.
    private func takeDescriptors(_ ring: MessageRing, _ record: MessageRing.Record) throws -> [SharedDescriptor] {
        let missing = SharedStateError(.malformed, "A message came without its descriptors, and was dropped")
        guard record.descriptorCount <= SocketPacket.mostForMessage else { throw missing }
        let socket = try socket()
        var found: [SharedDescriptor] = []
        while found.count < record.descriptorCount {
            switch SocketPacket.first(in: socket.descriptor) {
            case .none, .endOfFile:
                throw missing
            case .garbage:
                socket.descriptor.dropPacket()
            case .packet(let packet):
                // A bell before the packet told of earlier messages; an older ticket was of a message that is gone.
                guard packet.kind == .descriptors, packet.number == record.ticket else {
                    if packet.kind == .descriptors, packet.number > record.ticket { throw missing }
                    socket.descriptor.dropPacket()
                    continue
                }
                found += try receivePacket(socket)
                chaosStep("receive.packet")
            }
        }
        guard found.count == record.descriptorCount else { throw missing }
        return found
    }

    private func receivePacket(_ socket: SharedDescriptor) throws -> [SharedDescriptor] {
        do throws(Errno) {
            guard let packet = try socket.descriptor.receive(wait: false), !packet.hasLostDescriptors,
                !packet.passed.isEmpty
            else { throw Errno.tooManyOpenFiles }
            return packet.passed.map { SharedDescriptor(Descriptor(owning: $0)) }
        } catch {
            throw SharedStateError(
                .outOfResources,
                "A message came with descriptors for which this process has no room, and was dropped",
                errno: error
            )
        }
    }
}
