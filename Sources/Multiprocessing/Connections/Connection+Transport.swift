internal import MultiprocessingSystem

// Sending and receiving as every kind of message does it, blocking and suspending.

extension ConnectionEnd {
    func send(_ bytes: UnsafeRawBufferPointer, _ envelope: Envelope, timeout: Duration?) throws {
        let ring = try requireOutgoing()
        let sent: Void? = try Wait.blocking(deadline: Deadline(after: timeout), spin: guardSpin) {
            try attemptSend(ring, bytes, envelope, $0)
        }
        if sent == nil { throw Self.timedOut("The message could not be sent", timeout) }
    }

    /// - Parameter withBytes: gives access to the message, again at each attempt; not asked if the message is in a file.
    func send(
        _ envelope: Envelope,
        timeout: Duration?,
        _ withBytes: ((UnsafeRawBufferPointer) throws -> Attempt<Void>) throws -> Attempt<Void>
    ) async throws {
        let ring = try requireOutgoing()
        let sent: Void? = try await Wait.suspending(deadline: Deadline(after: timeout)) { progress in
            try withBytes { try attemptSend(ring, $0, envelope, progress) }
        }
        if sent == nil { throw Self.timedOut("The message could not be sent", timeout) }
    }

    func receive<Value>(
        timeout: Duration?,
        into target: UnsafeMutableRawBufferPointer? = nil,
        admit: (MessageRing.Record) throws -> Void,
        finish: (IncomingMessage) throws -> Value
    ) throws -> Value {
        var limit = TimeLimit(timeout)
        return try receive(&limit, into: target, admit: admit, finish: finish)
    }

    func receive<Value>(
        _ limit: inout TimeLimit,
        into target: UnsafeMutableRawBufferPointer? = nil,
        admit: (MessageRing.Record) throws -> Void,
        finish: (IncomingMessage) throws -> Value
    ) throws -> Value {
        let ring = try requireIncoming()
        let deadline = limit.deadline
        while true {
            if !ring.isEmpty {
                let outcome = try Wait.blocking(deadline: deadline, spin: guardSpin) {
                    try attemptReceive(ring, $0, into: target, admit: admit, finish: finish)
                }
                // Nil: another receiver kept us from looking. A nil inside: it took the message.
                guard let taken = outcome else { throw Self.nothingCame(limit.timeout) }
                if let value = taken { return value }
            }
            switch try awaitArrival(ring, deadline: deadline) {
            case .message: break
            case .gone: throw Self.peerGone
            case .timedOut: throw Self.nothingCame(limit.timeout)
            }
        }
    }

    func receive<Value>(
        timeout: Duration?,
        admit: (MessageRing.Record) throws -> Void,
        finish: (IncomingMessage) throws -> Value
    ) async throws -> Value {
        let ring = try requireIncoming()
        let deadline = Deadline(after: timeout)
        while true {
            if !ring.isEmpty {
                let outcome = try await Wait.suspending(deadline: deadline) {
                    try attemptReceive(ring, $0, admit: admit, finish: finish)
                }
                // Nil: another receiver kept us from looking. A nil inside: it took the message.
                guard let taken = outcome else { throw Self.nothingCame(timeout) }
                if let value = taken { return value }
            }
            switch try await awaitArrivalSuspending(ring, deadline: deadline) {
            case .message: break
            case .gone: throw Self.peerGone
            case .timedOut: throw Self.nothingCame(timeout)
            }
        }
    }

    private static func timedOut(_ what: String, _ timeout: Duration?) -> SharedStateError {
        SharedStateError(.timedOut, "\(what) within \(timeout ?? .zero)")
    }

    static func nothingCame(_ timeout: Duration?) -> SharedStateError {
        timedOut("No message came", timeout)
    }
}
