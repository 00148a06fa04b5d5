internal import MultiprocessingSystem
internal import MultiprocessingWire

extension Connection {
    /// Room for a small value's message: on the stack.
    private static let smallSize = 64

    /// Sends a value. Blocks the thread while there is no room.
    ///
    /// Encodes it here and now, so what cannot be encoded is refused here. Locks, queues, connections and other handles inside the
    /// value arrive as handles. No system call for small values while the receiver is awake, one if it sleeps; some for values
    /// with handles or of more than 1 MiB. That it returns does not mean that the message was received.
    ///
    /// Python: `send`.
    /// - Parameter timeout: how long to wait for room; nil for as long as it takes, zero or less not at all.
    /// - Throws: ``SharedStateError``: `peerGone` when nobody is left at the other end (Python: `BrokenPipeError`); `timedOut`,
    ///   and nothing was sent; `closed`; `invalidArgument` for an end that only receives; `tooLarge` for a value with more than a
    ///   thousand descriptors; `cannotTravel`; `outOfResources`. And what the value's `encode(to:)` throws.
    @available(*, noasync, message: "Use the async send: this one blocks the thread")
    public func send<Value: Encodable>(_ value: Value, timeout: Duration? = nil) throws {
        if let type = SmallType(Value.self) {
            let isSent = try withUnsafeTemporaryAllocation(byteCount: Self.smallSize, alignment: 16) { room in
                guard let count = withUnsafePointer(to: value, { type.encode($0, into: room) }) else { return false }
                let bytes = UnsafeRawBufferPointer(rebasing: room[..<count])
                if try !end.sendSmall(bytes) { try end.send(bytes, Envelope(), timeout: timeout) }
                return true
            }
            if isSent { return }
        }
        var buffer = WireBuffer()
        let envelope = try Self.encode(value, into: &buffer)
        try buffer.withUnsafeBytes { try end.send($0, envelope, timeout: timeout) }
    }

    /// Sends a value. Suspends while there is no room.
    ///
    /// - Throws: as the blocking one, and `CancellationError`, when nothing was sent.
    public func send<Value: Encodable>(_ value: Value, timeout: Duration? = nil) async throws {
        var buffer = WireBuffer()
        let envelope = try Self.encode(value, into: &buffer)
        let message = buffer
        try await end.send(envelope, timeout: timeout) { attempt in try message.withUnsafeBytes(attempt) }
    }

    private static func encode<Value: Encodable>(_ value: Value, into buffer: inout WireBuffer) throws -> Envelope {
        let context = TransferContext()
        do {
            try TransferContext.with(context) { try BinaryEncoder().encode(value, into: &buffer) }
        } catch let error as WireError {
            throw SharedStateError(.cannotTravel, "A \(Value.self) could not be encoded: \(error)")
        }
        var envelope = Envelope()
        if !context.objects.isEmpty {
            guard context.objects.count < SocketPacket.mostForMessage else {
                throw SharedStateError(.tooLarge, "A message with \(context.objects.count) descriptors is too large")
            }
            envelope.attachments = context.objects.map { $0 as! SharedDescriptor }
        }
        try buffer.withUnsafeBytes { try ConnectionEnd.putAside($0, &envelope) }
        return envelope
    }

    /// Receives a value. Blocks the thread until one is there.
    ///
    /// No system call while messages come faster than this thread would fall asleep. Decoding checks everything: whatever the other
    /// process sent, this ends with a value or an error.
    ///
    /// Python: `recv`, which runs what the sender wants.
    /// - Parameter timeout: how long to wait; nil for as long as it takes, zero or less to look once.
    /// - Throws: ``SharedStateError``: `peerGone` when every message was received and nobody is left at the other end (Python:
    ///   `EOFError`); `timedOut`; `malformed` if the message is not such a value (it is gone, and the next can be received) or is
    ///   a bare descriptor (it stays); `closed`; `invalidArgument` for an end that only sends; `outOfResources` if there is no
    ///   room for the descriptors in it (it is gone). And what the value's `init(from:)` throws.
    @available(*, noasync, message: "Use the async receive: this one blocks the thread")
    public func receive<Value: Decodable>(_ type: Value.Type = Value.self, timeout: Duration? = nil) throws -> Value {
        var limit = TimeLimit(timeout)
        if let small = SmallType(type) {
            var room = SmallType.Room()
            if try room.fill({ try end.receiveSmall(small, into: $0, &limit) }) { return room.take(as: type) }
        }
        return try end.receive(&limit, admit: Self.requireBytes) { try $0.decode(type) }
    }

    /// Receives a value. Suspends until one is there.
    ///
    /// - Throws: as the blocking one, and `CancellationError`, when nothing was received.
    public func receive<Value: Decodable>(
        _ type: Value.Type = Value.self,
        timeout: Duration? = nil
    ) async throws -> Value {
        try await end.receive(timeout: timeout, admit: Self.requireBytes) { try $0.decode(type) }
    }

    static func requireBytes(_ record: MessageRing.Record) throws {
        if record.kind == .descriptor {
            throw SharedStateError(.malformed, "The next message is a descriptor: receive it with receiveDescriptor")
        }
    }
}
