internal import MultiprocessingSystem
internal import MultiprocessingWire
internal import SystemPackage

/// What a process sends when it has connected to a listener: one packet, with the memory of the connection beside it.
///
/// Layout, version 1, little-endian: magic (8), version (4), zero (4), and the block's place in the wire format. The packet is small and
/// comes at once: a listener neither reads more nor waits long. It is not answered: who connects has proved by the kernel's word to
/// be of the listener's user, and can use the connection before it is accepted.
enum Handshake {
    private static let magic: UInt64 = 0x6e6f_6374_706d_7773
    private static let version: UInt32 = 1
    private static let headerSize = 16
    private static let longest = 4096
    /// How long a listener gives one who connected.
    static let patience: Duration = .seconds(5)

    /// Greets the listener behind a socket and returns the finished end.
    static func greet(_ socket: SharedDescriptor) throws -> ConnectionEnd {
        let memory = try ConnectionEnd.Memory()
        let context = TransferContext()
        let body = try TransferContext.with(context) { try BinaryEncoder().encode(memory) }
        let packet =
            withUnsafeBytes(of: magic) { Array($0) } + withUnsafeBytes(of: (version, UInt32(0))) { Array($0) } + body
        let numbers = context.objects.map { ($0 as! SharedDescriptor).number }
        do throws(Errno) {
            try socket.descriptor.sendBytes(packet, passing: numbers, wait: false)
        } catch {
            throw SharedStateError(.peerGone, "The listener went away", errno: error)
        }
        return try ConnectionEnd(memory, side: 0, socket)
    }

    /// What came from one who connected.
    enum Outcome {
        case nothingYet
        case accepted(ConnectionEnd)
        case failed
    }

    /// Looks for the greeting of one who connected. Does not wait.
    static func receive(_ socket: SharedDescriptor) -> Outcome {
        do throws(Errno) {
            guard var packet = try socket.descriptor.receive(wait: false) else { return .failed }
            defer { packet.closeRest() }
            let bytes = packet.bytes
            guard bytes.count > headerSize, bytes.count <= longest, packet.passed.count == 1,
                bytes.withUnsafeBytes({
                    $0.loadUnaligned(as: UInt64.self) == magic
                        && $0.loadUnaligned(fromByteOffset: 8, as: UInt32.self) == version
                }),
                let file = packet.takeDescriptor()
            else { return .failed }
            let context = TransferContext([SharedDescriptor(file)])
            let memory = try? TransferContext.with(context) {
                try BinaryDecoder().decode(ConnectionEnd.Memory.self, from: Array(bytes[headerSize...]))
            }
            guard let memory, let end = try? ConnectionEnd(memory, side: 1, socket) else { return .failed }
            return .accepted(end)
        } catch {
            return error == .resourceTemporarilyUnavailable ? .nothingYet : .failed
        }
    }
}
