internal import MultiprocessingSystem
internal import Synchronization
internal import SystemPackage

/// How receivers sleep: on the socket, so that a bell and the death of the other end wake them alike.
extension ConnectionEnd {
    enum Silence {
        /// A message came in the meantime.
        case message
        /// Nothing is there, and whoever sends will ring: the socket becomes readable then.
        case quiet
        /// Nothing is there, and nothing will come.
        case gone
        /// Something is about to happen; look again in a moment.
        case unsettled
    }

    /// Gets the ring and the socket ready for a sleep on the socket.
    func attemptSilence(_ ring: MessageRing, _ progress: WaitProgress) throws -> Attempt<Silence> {
        try requireOpen()
        if case .busy(let word, let value) = ring.receiveGuard.take(progress) { return .wait(word, while: value) }
        defer { ring.receiveGuard.release() }
        guard ring.isEmpty else { return .done(.message) }
        return .done(quieten(ring))
    }

    /// Asks for a bell, and clears the socket of what tells of messages that are gone. For the holder of the receive guard.
    func quieten(_ ring: MessageRing) -> Silence {
        guard arm(ring) else { return .message }
        guard let socket = try? socket() else { return .unsettled }
        // Bounded: whoever floods the socket gets this process's attention no longer than that.
        for _ in 0..<64 {
            switch SocketPacket.first(in: socket.descriptor) {
            case .none:
                return .quiet
            case .endOfFile:
                // What was committed before the end came is read first.
                return ring.isEmpty ? .gone : .message
            case .garbage:
                break
            case .packet(let packet) where packet.kind == .bell:
                break
            case .packet(let packet):
                if packet.number > ring.lastTicketTaken.pointee.load(ordering: .relaxed) {
                    // Its sender holds the guard until it has committed the message, or is dead.
                    let sender = ring.sendGuard.owner
                    if sender != .nobody, sender.isAlive { return .unsettled }
                }
            }
            // As long as a message is there the packet stays, so that the socket stays readable for others who sleep on it. And
            // its sender may be about to make the bell even again that it rang for, hence a new one before it is thrown away.
            guard arm(ring) else { return .message }
            socket.descriptor.dropPacket()
        }
        return .unsettled
    }

    /// Asks for a bell for whatever is committed from now on; whether there is nothing yet.
    private func arm(_ ring: MessageRing) -> Bool {
        ring.armBell()
        chaosStep("receive.armed")
        return ring.isEmpty
    }

    // MARK: Waiting

    enum Arrival {
        case message, gone, timedOut
    }

    /// How long a thread sleeps on the ring before it sleeps on the socket. The ring's futex costs fewer system calls for a wake-up,
    /// but does not tell of the death of the other end.
    private static let nap: Duration = .milliseconds(4)

    /// Looks at an empty ring for about the time of a wake-up, if that is worth it; whether a message came.
    func look(at ring: MessageRing) -> Bool {
        let tail = UInt32(truncatingIfNeeded: ring.tail.pointee.load(ordering: .acquiring))
        guard tail == UInt32(truncatingIfNeeded: ring.head.pointee.load(ordering: .acquiring)) else { return true }
        return spin.sees(
            FutexWord(lowHalfOf: ring.tail),
            changeFrom: tail,
            writtenOn: ring.senderProcessor.pointee.load(ordering: .relaxed)
        )
    }

    /// Blocks the thread until a message is there or cannot come any more.
    ///
    /// - Parameter hasLooked: whether ``look(at:)`` was in vain just now.
    func awaitArrival(_ ring: MessageRing, deadline: Deadline, hasLooked: Bool = false) throws -> Arrival {
        var hasLooked = hasLooked
        var hasNapped = false
        while ring.isEmpty {
            try requireOpen()
            let tail = UInt32(truncatingIfNeeded: ring.tail.pointee.load(ordering: .acquiring))
            let isEmpty = tail == UInt32(truncatingIfNeeded: ring.head.pointee.load(ordering: .acquiring))
            if !hasNapped, isEmpty, !deadline.hasPassed {
                if !hasLooked {
                    hasLooked = true
                    if look(at: ring) { continue }
                }
                hasNapped = true
                let word = FutexWord(lowHalfOf: ring.tail)
                ring.naps.pointee.store(1, ordering: .sequentiallyConsistent)
                chaosStep("receive.napping")
                if ring.isEmpty { _ = word.wait(while: tail, deadline: deadline.earlier(Self.nap)) }
                continue
            }
            guard
                let silence = try Wait.blocking(deadline: deadline, spin: guardSpin, { try attemptSilence(ring, $0) })
            else { return ring.isEmpty ? .timedOut : .message }
            switch silence {
            case .message: return .message
            case .gone: return .gone
            case .quiet, .unsettled: if deadline.hasPassed { return .timedOut }
            }
            if silence == .unsettled {
                ThisProcess.pause(.milliseconds(1))
            } else {
                let socket = try socket()
                do throws(Errno) {
                    _ = try waitUntilReady(
                        Interest(socket.descriptor.number),
                        deadline: deadline.earlier(Self.longestSleep)
                    )
                } catch {
                    throw SharedStateError(.outOfResources, "The connection cannot be waited for", errno: error)
                }
            }
        }
        return .message
    }

    /// Suspends until a message is there or cannot come any more.
    func awaitArrivalSuspending(_ ring: MessageRing, deadline: Deadline) async throws -> Arrival {
        while ring.isEmpty {
            let isCancelled = Task.isCancelled
            guard let silence = try await silenceSuspending(ring, deadline) else {
                return ring.isEmpty ? .timedOut : .message
            }
            switch silence {
            case .message: return .message
            case .gone: return .gone
            case .quiet, .unsettled:
                if isCancelled { throw CancellationError() }
                if deadline.hasPassed { return .timedOut }
            }
            if silence == .unsettled {
                try? await Task.sleep(for: .milliseconds(1))
            } else {
                await sleepOnSocket(try socket(), deadline)
            }
        }
        return .message
    }

    // Functions of their own, and not inlined: the optimiser of Swift 6.3 crashes on the caller when they are part of it.

    @inline(never)
    private func silenceSuspending(_ ring: MessageRing, _ deadline: Deadline) async throws -> Silence? {
        try await Wait.suspending(deadline: deadline) { try attemptSilence(ring, $0) }
    }

    @inline(never)
    private func sleepOnSocket(_ socket: SharedDescriptor, _ deadline: Deadline) async {
        await Runtime.current.descriptorReactor.wait(
            [socket.number],
            deadline: deadline.earlier(Self.longestSleep)
        )
    }
}
