public import SystemPackage
internal import _MultiprocessingShims

/// Packets with descriptors beside them, over a socket pair's end.
extension Descriptor {
    /// The most descriptors that one packet can carry (SCM_MAX_FD).
    public static let maximumPassed = 253

    /// The most bytes that one packet may hold; larger data travels as a memory file.
    ///
    /// Well below the kernel's default socket buffer, so that sending into an empty socket never waits.
    public static let maximumPacket = 60_000

    /// Sends one packet.
    ///
    /// - Throws: `.brokenPipe` or `.connectionReset` when the other end is gone, `.resourceTemporarilyUnavailable` when it
    ///   would have to wait and `wait` is false.
    public func send(_ bytes: UnsafeRawBufferPointer, passing numbers: [CInt] = [], wait: Bool = true) throws(Errno) {
        _ = try check(_mp_send(number, bytes.baseAddress, bytes.count, numbers, CInt(numbers.count), wait))
    }

    /// Says that nothing more will be sent; the other end finds end of file, and can still answer.
    public func shutDownSending() {
        _ = _mp_shutdown_sending(number)
    }

    /// Receives one packet, or nil at end of file.
    ///
    /// - Throws: `.resourceTemporarilyUnavailable` when there is none and `wait` is false.
    public func receive(wait: Bool = true) throws(Errno) -> Packet? {
        try Self.receive(from: number, wait: wait)
    }

    /// ``receive(wait:)`` on a number that somebody else owns.
    public static func receive(from number: CInt, wait: Bool = true) throws(Errno) -> Packet? {
        let result: Result<Packet?, Errno> = withUnsafeTemporaryAllocation(
            byteCount: maximumPacket + 4096,
            alignment: 16
        ) { buffer in
            withUnsafeTemporaryAllocation(of: CInt.self, capacity: maximumPassed) { numbers in
                var count: CInt = 0
                let received = _mp_receive(
                    number,
                    buffer.baseAddress!,
                    buffer.count,
                    numbers.baseAddress,
                    CInt(numbers.count),
                    &count,
                    wait
                )
                if received < 0 { return .failure(Errno(rawValue: CInt(-received))) }
                let passed = numbers[..<max(0, Int(count))].map { $0 }
                if received == 0, passed.isEmpty { return .success(nil) }
                return .success(
                    Packet(
                        bytes: [UInt8](UnsafeRawBufferPointer(rebasing: buffer[..<Int(received)])),
                        passed: passed,
                        hasLostDescriptors: count < 0
                    )
                )
            }
        }
        return try result.get()
    }
}

/// A received packet.
public struct Packet: Sendable {
    /// The packet's content.
    public var bytes: [UInt8]
    /// The descriptors that came with it; the receiver closes them.
    public var passed: [CInt]
    /// Whether descriptors came with it for which this process had no room: then it has none.
    public var hasLostDescriptors = false

    /// Takes the first descriptor out of the packet, with its ownership.
    public mutating func takeDescriptor() -> Descriptor? {
        passed.isEmpty ? nil : Descriptor(owning: passed.removeFirst())
    }

    /// Closes the descriptors that nobody took.
    public mutating func closeRest() {
        for number in passed { _ = Descriptor(owning: number) }
        passed = []
    }
}

extension Descriptor {
    /// ``send(_:passing:wait:)`` for an array.
    public func sendBytes(_ bytes: [UInt8], passing numbers: [CInt] = [], wait: Bool = true) throws(Errno) {
        let error: Errno? = bytes.withUnsafeBytes { raw in
            do throws(Errno) { try send(raw, passing: numbers, wait: wait) } catch { return error }
            return nil
        }
        if let error { throw error }
    }
}
