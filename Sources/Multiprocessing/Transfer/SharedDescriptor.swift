internal import MultiprocessingSystem
internal import MultiprocessingWire
internal import Synchronization

/// A descriptor with several owners, closed with the last.
final class SharedDescriptor: Sendable {
    let descriptor: Descriptor
    private let lastHandle = Mutex<String?>(nil)

    /// The handle that was last encoded with it, in words: for errors. Handles whose memory is in one file have it in common.
    var handleName: String { lastHandle.withLock { $0 } ?? "A handle" }

    /// Its number, valid as long as this object lives.
    var number: CInt { descriptor.number }

    init(_ descriptor: consuming Descriptor) {
        self.descriptor = descriptor
    }
}

extension EncodedPieces {
    /// The descriptors that have to go beside the bytes. In this module nothing else is attached to a message.
    var attachments: [SharedDescriptor] { objects.map { $0 as! SharedDescriptor } }
}

extension SharedDescriptor {
    /// Whether what is being encoded now can take descriptors along.
    static var canTravel: Bool { TransferContext.current != nil }

    /// Attaches this descriptor to the message that is being encoded; returns the index under which it arrives.
    ///
    /// - Throws: ``SharedStateError`` (`cannotTravel`) where only bytes go: to a file, into JSON, in an error.
    func attach(_ what: @autoclosure () -> String) throws -> Int {
        guard let context = TransferContext.current else {
            throw SharedStateError(
                .cannotTravel,
                "\(what()) can only go to another process: as a capture or argument, or through a connection or queue"
            )
        }
        let name = what()
        lastHandle.withLock { $0 = name }
        return context.attach(self)
    }

    /// The descriptor that arrived beside the message that is being decoded.
    static func attached(at index: Int, _ what: @autoclosure () -> String) throws -> SharedDescriptor {
        guard let context = TransferContext.current else {
            throw SharedStateError(.cannotTravel, "\(what()) can only come from another process, not from stored bytes")
        }
        guard context.objects.indices.contains(index), let found = context.objects[index] as? SharedDescriptor else {
            throw SharedStateError(.malformed, "\(what()) arrived without its descriptor")
        }
        return found
    }
}
