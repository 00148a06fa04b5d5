internal import MultiprocessingSystem
internal import SystemPackage

/// What goes over a connection's socket: bells, and packets of descriptors. Two 64-bit words: a kind and a number.
///
/// Layout, version 1, little-endian; see Documentation/Layouts/Connection.md.
struct SocketPacket {
    static let size = 16
    /// The most descriptors in one packet; messages with more have several of the same ticket.
    static let mostDescriptors = 250
    /// The most descriptors that one message may carry.
    static let mostForMessage = 1000

    enum Kind: UInt64 {
        /// Messages up to a position were committed.
        case bell = 0x6c6c_6562_7063_7001
        /// Descriptors of the message with a ticket.
        case descriptors = 0x7364_6669_7063_7002
    }

    var kind: Kind
    var number: UInt64

    init(_ kind: Kind, _ number: UInt64) {
        self.kind = kind
        self.number = number
    }

    init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count == Self.size, let kind = Kind(rawValue: bytes.loadUnaligned(as: UInt64.self)) else {
            return nil
        }
        self.kind = kind
        number = bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
    }

    /// Sends it without waiting; one system call.
    func send(over socket: borrowing Descriptor, passing numbers: [CInt] = []) throws(Errno) {
        let words = (kind.rawValue, number)
        let error: Errno? = withUnsafeBytes(of: words) { bytes in
            do throws(Errno) { try socket.send(bytes, passing: numbers, wait: false) } catch { return error }
            return nil
        }
        if let error { throw error }
    }

    /// What the first packet in a socket is.
    enum Waiting {
        case packet(SocketPacket)
        case garbage
        case none
        case endOfFile
    }

    /// Looks at the first packet, which stays; one system call.
    static func first(in socket: borrowing Descriptor) -> Waiting {
        var words: (UInt64, UInt64, UInt64) = (0, 0, 0)
        return withUnsafeMutableBytes(of: &words) { buffer in
            // A peer that leaves unread packets behind causes one error in front of the packets that it sent.
            for _ in 0..<2 {
                do throws(Errno) {
                    let count = try socket.peekPacket(into: buffer)
                    // An empty packet, which nobody here sends, looks like the end.
                    if count == 0 { return socket.hasHungUp ? .endOfFile : .garbage }
                    let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<count])
                    return SocketPacket(bytes).map(Waiting.packet) ?? .garbage
                } catch {
                    if error == .resourceTemporarilyUnavailable { return .none }
                }
            }
            return .endOfFile
        }
    }
}
