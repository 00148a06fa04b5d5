internal import MultiprocessingSystem
internal import MultiprocessingWire
internal import SystemPackage

/// A message that was taken out of the ring; valid while it is handled.
struct IncomingMessage {
    /// The bytes, unless they are in a file.
    var bytes: UnsafeRawBufferPointer
    /// The packet's descriptors; the first is the file with the bytes, if there is one.
    var descriptors: [SharedDescriptor]
    var record: MessageRing.Record

    /// The file with the bytes, found to be what the message says.
    private func file() throws -> SharedDescriptor? {
        guard record.kind == .file else { return nil }
        do throws(Errno) {
            if let file = descriptors.first, try file.descriptor.isFilled(with: record.byteCount) { return file }
        } catch {
            throw SharedStateError(.malformed, "A long message came in a file that cannot be used", errno: error)
        }
        throw SharedStateError(.malformed, "A long message came in a file of another length")
    }

    /// The file with the bytes, mapped. For messages whose sender is trusted not to write to it any more.
    func mapped() throws -> JobStorage {
        guard let file = try file() else { return JobStorage(bytes) }
        do throws(Errno) {
            return JobStorage(try MappedFile(file.descriptor, isPresent: false))
        } catch {
            throw SharedStateError(.outOfResources, "A long message could not be mapped", errno: error)
        }
    }

    /// Has `body` use the bytes. Those in a file are copied first: its sender may still write to it.
    private func withBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) throws -> R {
        guard let file = try file() else { return try body(bytes) }
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: record.byteCount, alignment: 16)
        defer { copy.deallocate() }
        try Self.read(file, into: copy)
        return try body(UnsafeRawBufferPointer(copy))
    }

    /// A copy of the bytes.
    func copy() throws -> [UInt8] {
        guard let file = try file() else { return Array(bytes) }
        return try [UInt8](unsafeUninitializedCapacity: record.byteCount) { buffer, count in
            try Self.read(file, into: UnsafeMutableRawBufferPointer(buffer))
            count = record.byteCount
        }
    }

    /// Copies the bytes of a message in a file to memory that has room for them.
    func copyFile(to target: UnsafeMutableRawBufferPointer) throws {
        guard let file = try file() else { return }
        try Self.read(file, into: UnsafeMutableRawBufferPointer(rebasing: target[..<record.byteCount]))
    }

    private static func read(_ file: SharedDescriptor, into buffer: UnsafeMutableRawBufferPointer) throws {
        do throws(Errno) {
            try file.descriptor.readFromStart(into: buffer)
        } catch {
            throw SharedStateError(.malformed, "A long message could not be read", errno: error)
        }
    }

    /// The value that the bytes are.
    func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
        if record.kind == .bytes, descriptors.isEmpty, let value = BinaryDecoder.decodeSmall(type, from: bytes) {
            return value
        }
        let attached = record.kind == .file ? Array(descriptors.dropFirst()) : descriptors
        let context = attached.isEmpty ? nil : TransferContext(attached)
        do {
            return try TransferContext.with(context) {
                try withBytes { try BinaryDecoder().decode(type, from: $0) }
            }
        } catch let error as WireError {
            throw SharedStateError(.malformed, "The message is not a \(type): \(error)")
        } catch let error as DecodingError {
            throw SharedStateError(.malformed, "The message is not a \(type): \(error)")
        }
    }
}
