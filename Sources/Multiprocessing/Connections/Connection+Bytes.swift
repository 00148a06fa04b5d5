internal import MultiprocessingSystem

extension Connection {
    /// Sends bytes as a message. Blocks the thread while there is no room.
    ///
    /// One copy into shared memory (up to 64 KiB) or into a memory file. A value that was sent can be received as bytes, and its
    /// bytes, sent on, received as the value again.
    ///
    /// Python: `send_bytes`.
    /// - Parameter offset: where in the array the message begins.
    /// - Parameter size: how many bytes it has; nil for all from there on.
    /// - Parameter timeout: how long to wait for room; nil for as long as it takes, zero or less not at all.
    /// - Throws: ``SharedStateError``: `invalidArgument` for a window outside the array; else as ``send(_:timeout:)``.
    @available(*, noasync, message: "Use the async sendBytes: this one blocks the thread")
    public func sendBytes(_ bytes: [UInt8], offset: Int = 0, size: Int? = nil, timeout: Duration? = nil) throws {
        let window = try Self.window(of: bytes.count, offset, size)
        try bytes.withUnsafeBytes { try sendBytes(UnsafeRawBufferPointer(rebasing: $0[window]), timeout: timeout) }
    }

    /// Sends bytes as a message. Blocks the thread while there is no room.
    @available(*, noasync, message: "Use the async sendBytes: this one blocks the thread")
    public func sendBytes(_ bytes: UnsafeRawBufferPointer, timeout: Duration? = nil) throws {
        var envelope = Envelope()
        try ConnectionEnd.seal(bytes, &envelope)
        try end.send(bytes, envelope, timeout: timeout)
    }

    /// Sends bytes as a message. Blocks the thread while there is no room.
    @available(*, noasync, message: "Use the async sendBytes: this one blocks the thread")
    public func sendBytes(_ bytes: RawSpan, timeout: Duration? = nil) throws {
        try bytes.withUnsafeBytes { try sendBytes($0, timeout: timeout) }
    }

    /// Sends bytes as a message. Suspends while there is no room.
    ///
    /// - Throws: as the blocking one, and `CancellationError`, when nothing was sent.
    public func sendBytes(
        _ bytes: [UInt8],
        offset: Int = 0,
        size: Int? = nil,
        timeout: Duration? = nil
    ) async throws {
        let window = try Self.window(of: bytes.count, offset, size)
        var envelope = Envelope()
        try bytes.withUnsafeBytes { try ConnectionEnd.seal(UnsafeRawBufferPointer(rebasing: $0[window]), &envelope) }
        try await end.send(envelope, timeout: timeout) { attempt in
            try bytes.withUnsafeBytes { try attempt(UnsafeRawBufferPointer(rebasing: $0[window])) }
        }
    }

    private static func window(of count: Int, _ offset: Int, _ size: Int?) throws -> Range<Int> {
        guard offset >= 0, offset <= count, size ?? 0 >= 0, size ?? 0 <= count - offset else {
            throw SharedStateError(
                .invalidArgument,
                "There is no window of \(size.map(String.init) ?? "all") bytes at \(offset) in \(count)"
            )
        }
        return offset..<(size.map { offset + $0 } ?? count)
    }

    /// Receives a message as bytes. Blocks the thread until one is there. One copy, and an allocation.
    ///
    /// Python: `recv_bytes`, where a message that is too long makes the connection unusable.
    /// - Parameter maximumLength: how long the message may be; a longer one stays where it is.
    /// - Parameter timeout: how long to wait; nil for as long as it takes, zero or less to look once.
    /// - Throws: ``SharedStateError``: `tooLarge`, and the message stays; `invalidArgument` for a negative maximum; `cannotTravel`
    ///   for a message that carries handles, which stays; else as ``receive(_:timeout:)``.
    @available(*, noasync, message: "Use the async receiveBytes: this one blocks the thread")
    public func receiveBytes(maximumLength: Int? = nil, timeout: Duration? = nil) throws -> [UInt8] {
        let admit = try Self.admission(maximumLength)
        return try end.receive(timeout: timeout, admit: admit) { try $0.copy() }
    }

    /// Receives a message as bytes. Suspends until one is there.
    ///
    /// - Throws: as the blocking one, and `CancellationError`, when nothing was received.
    public func receiveBytes(maximumLength: Int? = nil, timeout: Duration? = nil) async throws -> [UInt8] {
        let admit = try Self.admission(maximumLength)
        return try await end.receive(timeout: timeout, admit: admit) { try $0.copy() }
    }

    /// Receives a message as bytes into memory of the caller's. Blocks the thread until one is there. One copy.
    ///
    /// Python: `recv_bytes_into`; its `BufferTooShort`, which carries the message, is `tooLarge` here, and the message stays:
    /// receive it into a larger buffer, or with ``receiveBytes(maximumLength:timeout:)``.
    /// - Returns: how many bytes the message had; the others in the buffer are as they were.
    /// - Throws: ``SharedStateError``: `tooLarge`, and the message stays; else as ``receiveBytes(maximumLength:timeout:)``.
    @available(*, noasync, message: "Use the async receiveBytes: this one blocks the thread")
    public func receiveBytes(into buffer: UnsafeMutableRawBufferPointer, timeout: Duration? = nil) throws -> Int {
        let admit = try Self.admission(buffer.count)
        return try end.receive(timeout: timeout, admit: admit) { message in
            try message.copy(to: buffer)
            return message.record.byteCount
        }
    }

    /// Receives a message as bytes into an array, from `offset` on. Blocks the thread until one is there. One copy.
    ///
    /// - Throws: ``SharedStateError``: `invalidArgument` for an offset outside the array; `tooLarge`, and the message stays; else
    ///   as ``receiveBytes(maximumLength:timeout:)``.
    @available(*, noasync, message: "Use the async receiveBytes: this one blocks the thread")
    public func receiveBytes(into array: inout [UInt8], offset: Int = 0, timeout: Duration? = nil) throws -> Int {
        let window = try Self.window(of: array.count, offset, nil)
        return try array.withUnsafeMutableBytes {
            try receiveBytes(into: UnsafeMutableRawBufferPointer(rebasing: $0[window]), timeout: timeout)
        }
    }

    /// Receives a message as bytes into an array, from `offset` on. Suspends until one is there.
    public func receiveBytes(into array: inout [UInt8], offset: Int = 0, timeout: Duration? = nil) async throws -> Int {
        let window = try Self.window(of: array.count, offset, nil)
        let message = try await receiveBytes(maximumLength: window.count, timeout: timeout)
        array.replaceSubrange(offset..<(offset + message.count), with: message)
        return message.count
    }

    private static func admission(_ most: Int?) throws -> (MessageRing.Record) throws -> Void {
        if let most, most < 0 {
            throw SharedStateError(.invalidArgument, "No message has a length of \(most)")
        }
        return { record in
            try requireBytes(record)
            if record.descriptorCount > (record.kind == .file ? 1 : 0) {
                throw SharedStateError(.cannotTravel, "The next message carries handles: receive it as the value it is")
            }
            if let most, record.byteCount > most {
                throw SharedStateError(.tooLarge, "The next message has \(record.byteCount) bytes, not at most \(most)")
            }
        }
    }
}
