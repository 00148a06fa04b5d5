internal import MultiprocessingSystem
internal import MultiprocessingWire
internal import SystemPackage

/// What a child reports, in one packet, when its body is done. A child that crashes or calls `exit` reports nothing.
///
/// Layout, version 1: a kind (1 byte), then the content; a content too large for a packet is a memory file beside it.
enum Outcome: Sendable {
    /// The body returned; the encoded value.
    case value(Content)
    /// The body threw; an encoded ``ErrorBox``.
    case failure(Content)
    /// The body never ran; an encoded ``SetupFailure``.
    case notSetUp(Content)

    /// Bytes that belong one behind the other, or a file of them.
    enum Content: Sendable {
        case pieces([[UInt8]])
        case file(SharedDescriptor)

        /// The content, in place.
        func withBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) throws -> R {
            switch self {
            case .pieces(let pieces): try EncodedPieces(pieces: pieces).joined().withUnsafeBytes(body)
            case .file(let file): try MappedFile(file.descriptor).withBytes(body)
            }
        }
    }

    private var parts: (kind: UInt8, content: Content) {
        switch self {
        case .value(let content): (1, content)
        case .failure(let content): (2, content)
        case .notSetUp(let content): (3, content)
        }
    }

    /// Sends the report. The channel's buffer is empty: does not wait.
    func send(over channel: borrowing Descriptor) throws {
        let (kind, content) = parts
        guard case .pieces(let pieces) = content else { return }
        var packet: [UInt8] = [kind]
        if pieces.reduce(0, { $0 + $1.count }) < Descriptor.maximumPacket {
            for piece in pieces { packet += piece }
            try channel.sendBytes(packet)
        } else {
            let file = try Descriptor.memoryFile(holding: pieces)
            try channel.sendBytes(packet, passing: [file.number])
        }
    }

    /// Reads a report; nil if it is none.
    init?(_ packet: consuming Packet) {
        let content: Content
        if packet.hasLostDescriptors {
            let error = ProcessError(.cannotTravel, "The result could not be received", errno: .tooManyOpenFiles)
            self = .failure(.pieces([ErrorCoding.encode(error)]))
            return
        }
        if let file = packet.takeDescriptor() {
            content = .file(SharedDescriptor(file))
        } else {
            content = .pieces([Array(packet.bytes.dropFirst())])
        }
        packet.closeRest()
        switch packet.bytes.first {
        case 1: self = .value(content)
        case 2: self = .failure(content)
        case 3: self = .notSetUp(content)
        default: return nil
        }
    }
}

/// Why a child could not be set up.
struct SetupFailure: Codable {
    var message: String
    var errno: Int32?
    var cannotTravel: Bool
}

/// A descriptor with several owners, closed with the last.
final class SharedDescriptor: Sendable {
    let descriptor: Descriptor

    init(_ descriptor: consuming Descriptor) {
        self.descriptor = descriptor
    }
}
