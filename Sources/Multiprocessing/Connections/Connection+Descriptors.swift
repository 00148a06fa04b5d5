internal import MultiprocessingSystem
public import SystemPackage

extension Connection {
    /// Sends an open file. Blocks the thread while there is no room.
    ///
    /// The other process gets a descriptor of its own for it; this one stays the caller's. Three system calls.
    ///
    /// Python: `reduction.send_handle`.
    /// - Throws: ``SharedStateError``: `invalidArgument` if it is not open; else as ``send(_:timeout:)``.
    @available(*, noasync, message: "Use the async sendDescriptor: this one blocks the thread")
    public func sendDescriptor(_ file: FileDescriptor, timeout: Duration? = nil) throws {
        try end.send(UnsafeRawBufferPointer(start: nil, count: 0), Self.envelope(file), timeout: timeout)
    }

    /// Sends an open file. Suspends while there is no room.
    public func sendDescriptor(_ file: FileDescriptor, timeout: Duration? = nil) async throws {
        try await end.send(Self.envelope(file), timeout: timeout) { attempt in
            try attempt(UnsafeRawBufferPointer(start: nil, count: 0))
        }
    }

    private static func envelope(_ file: FileDescriptor) throws -> Envelope {
        do throws(Errno) {
            let copy = SharedDescriptor(try Descriptor(duplicating: file.rawValue))
            return Envelope(kind: .descriptor, attachments: [copy])
        } catch {
            let code: SharedStateError.Code = error == .badFileDescriptor ? .invalidArgument : .outOfResources
            throw SharedStateError(code, "Descriptor \(file.rawValue) cannot be sent", errno: error)
        }
    }

    /// Receives an open file, which is the caller's to close. Blocks the thread until one is there.
    ///
    /// Python: `reduction.recv_handle`.
    /// - Throws: ``SharedStateError``: `malformed` if the next message is not a descriptor, and it stays; else as
    ///   ``receive(_:timeout:)``.
    @available(*, noasync, message: "Use the async receiveDescriptor: this one blocks the thread")
    public func receiveDescriptor(timeout: Duration? = nil) throws -> FileDescriptor {
        try end.receive(timeout: timeout, admit: Self.requireDescriptor, finish: Self.descriptor)
    }

    /// Receives an open file, which is the caller's to close. Suspends until one is there.
    public func receiveDescriptor(timeout: Duration? = nil) async throws -> FileDescriptor {
        try await end.receive(timeout: timeout, admit: Self.requireDescriptor, finish: Self.descriptor)
    }

    private static func requireDescriptor(_ record: MessageRing.Record) throws {
        if record.kind != .descriptor {
            throw SharedStateError(.malformed, "The next message is not a descriptor, but bytes or a value")
        }
    }

    private static func descriptor(_ message: IncomingMessage) throws -> FileDescriptor {
        do throws(Errno) {
            return FileDescriptor(rawValue: try message.descriptors[0].descriptor.duplicate().release())
        } catch {
            throw SharedStateError(.outOfResources, "There is no room for a descriptor that came", errno: error)
        }
    }
}
