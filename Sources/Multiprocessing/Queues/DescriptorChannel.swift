internal import MultiprocessingSystem
internal import SystemPackage

/// The socket pair beside a queue through which the descriptors of its items go, shared by all its handles.
///
/// One packet for each item that has any, with a number (the ticket) that the item's record names. Packets are sent under the
/// producer guard and received under the consumer guard, so they arrive in the order of the items. One whose sender died before it
/// committed the item belongs to none, and is dropped by whoever comes across it.
final class DescriptorChannel: Sendable {
    private let sending: SharedDescriptor
    private let receiving: SharedDescriptor

    /// Makes a pair. One system call.
    init() throws {
        do throws(Errno) {
            let ends = try Descriptor.socketPairNumbers()
            sending = SharedDescriptor(Descriptor(owning: ends.parent))
            receiving = SharedDescriptor(Descriptor(owning: ends.child))
        } catch {
            throw SharedStateError(.outOfResources, "A queue's socket pair could not be made", errno: error)
        }
    }

    private enum CodingKeys: CodingKey {
        case sending, receiving
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(sending.attach("A queue"), forKey: .sending)
        try container.encode(receiving.attach("A queue"), forKey: .receiving)
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        sending = try .attached(at: container.decode(Int.self, forKey: .sending), "A queue")
        receiving = try .attached(at: container.decode(Int.self, forKey: .receiving), "A queue")
    }

    /// Sends an item's descriptors; false if there is no room at the moment. One system call.
    func send(_ descriptors: [SharedDescriptor], ticket: UInt64) throws -> Bool {
        do throws(Errno) {
            let numbers = descriptors.map(\.number)
            let bytes = withUnsafeBytes(of: ticket.littleEndian) { [UInt8]($0) }
            try sending.descriptor.sendBytes(bytes, passing: numbers, wait: false)
            return true
        } catch .resourceTemporarilyUnavailable {
            return false
        } catch {
            throw SharedStateError(.outOfResources, "An item's descriptors could not be sent", errno: error)
        }
    }

    /// Receives the descriptors of the item with this ticket. A system call, and one for each packet that belongs to no item.
    ///
    /// - Throws: ``SharedStateError``: `outOfResources` if this process cannot open as many, `malformed` if they are not there.
    func receive(ticket: UInt64) throws -> [SharedDescriptor] {
        while true {
            let arrived: Packet?
            do throws(Errno) {
                arrived = try receiving.descriptor.receive(wait: false)
            } catch .resourceTemporarilyUnavailable {
                throw Self.missing
            } catch {
                throw SharedStateError(.outOfResources, "An item's descriptors were lost", errno: error)
            }
            guard var packet = arrived else { throw Self.missing }
            chaosStep("queue.get.received")
            let found = packet.bytes.count == 8 ? packet.bytes.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) } : 0
            guard found == ticket else {
                packet.closeRest()
                if found > ticket { throw Self.missing }
                continue
            }
            guard !packet.hasLostDescriptors else {
                throw SharedStateError(
                    .outOfResources,
                    "An item was lost: this process has no room for its descriptors",
                    errno: .tooManyOpenFiles
                )
            }
            var result: [SharedDescriptor] = []
            while let descriptor = packet.takeDescriptor() { result.append(SharedDescriptor(descriptor)) }
            return result
        }
    }

    private static var missing: SharedStateError {
        SharedStateError(.malformed, "An item arrived without its descriptors")
    }
}
