internal import MultiprocessingSystem
internal import MultiprocessingWire
internal import SystemPackage

/// What a child reports, in one packet, when its body is done. A child that crashes or calls `exit` reports nothing.
///
/// Layout, version 2: a kind (1 byte), whether the content is in a file (1 byte), then the content. Beside it, a content too
/// large for a packet as a memory file; then the descriptors of the handles in it.
enum Outcome: Sendable {
    /// The body returned; the encoded value.
    case value(Content)
    /// The body threw; an encoded ``ErrorBox``.
    case failure(Content)
    /// The body never ran; an encoded ``SetupFailure``.
    case notSetUp(Content)

    /// Bytes that belong one behind the other, or a file of them.
    struct Content: Sendable {
        private enum Storage {
            case pieces([[UInt8]])
            case file(SharedDescriptor)
        }

        private let storage: Storage
        /// The descriptors of the handles in it.
        let attachments: [SharedDescriptor]

        static func pieces(_ pieces: [[UInt8]]) -> Content {
            Content(storage: .pieces(pieces), attachments: [])
        }

        static func encoded(_ encoded: EncodedPieces) -> Content {
            Content(storage: .pieces(encoded.pieces), attachments: encoded.attachments)
        }

        static func received(_ bytes: [UInt8], file: SharedDescriptor?, attachments: [SharedDescriptor]) -> Content {
            Content(storage: file.map { .file($0) } ?? .pieces([bytes]), attachments: attachments)
        }

        /// The content, in place.
        func withBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) throws -> R {
            switch storage {
            case .pieces(let pieces): try EncodedPieces(pieces: pieces).joined().withUnsafeBytes(body)
            case .file(let file): try MappedFile(file.descriptor).withBytes(body)
            }
        }

        /// The bytes of a content that was made here.
        fileprivate var pieces: [[UInt8]] {
            if case .pieces(let pieces) = storage { pieces } else { [] }
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
        let pieces = content.pieces
        let handles = content.attachments
        defer { withExtendedLifetime(handles) {} }
        guard handles.count < Descriptor.maximumPassed else {
            throw ProcessError(.cannotTravel, "A result can hold at most 252 handles of shared state")
        }
        let numbers = handles.map(\.number)
        if pieces.reduce(0, { $0 + $1.count }) < Descriptor.maximumPacket {
            var packet: [UInt8] = [kind, 0]
            for piece in pieces { packet += piece }
            try channel.sendBytes(packet, passing: numbers)
        } else {
            let file = try Descriptor.memoryFile(holding: pieces)
            try channel.sendBytes([kind, 1], passing: [file.number] + numbers)
        }
    }

    /// Reads a report; nil if it is none.
    init?(_ packet: consuming Packet) {
        if packet.hasLostDescriptors {
            let error = ProcessError(.cannotTravel, "The result could not be received", errno: .tooManyOpenFiles)
            self = .failure(.pieces([ErrorCoding.encode(error)]))
            return
        }
        let bytes = packet.bytes
        var file: SharedDescriptor?
        if bytes.count > 1, bytes[1] == 1, let taken = packet.takeDescriptor() { file = SharedDescriptor(taken) }
        let content = Content.received(
            Array(bytes.dropFirst(2)),
            file: file,
            attachments: packet.passed.map { SharedDescriptor(Descriptor(owning: $0)) }
        )
        packet.passed = []
        switch bytes.first {
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
