internal import MultiprocessingSystem
internal import SystemPackage

/// The socket pair beside a queue through which the descriptors of its items go, shared by all its handles.
///
/// One packet for each item that has any, with a number (the ticket) that the item's record names. Packets are sent under the
/// producer guard and received under the consumer guard, so they arrive in the order of the items. One whose sender died before it
/// committed the item belongs to none: an orphan. It is dropped by whoever receives the packet of a later item, and by producers
/// that find the socket full.
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

    enum Sending {
        case sent
        /// The socket has no room at the moment.
        case full
        /// This user has as many descriptors on their way as may be. (`ETOOMANYREFS`)
        case tooMany(SharedStateError)
    }

    /// Sends an item's descriptors. One system call.
    func send(_ descriptors: [SharedDescriptor], ticket: UInt64) throws -> Sending {
        do throws(Errno) {
            let numbers = descriptors.map(\.number)
            let bytes = withUnsafeBytes(of: ticket.littleEndian) { [UInt8]($0) }
            try sending.descriptor.sendBytes(bytes, passing: numbers, wait: false)
            return .sent
        } catch {
            let failure = SharedStateError(.outOfResources, "An item's descriptors could not be sent", errno: error)
            switch error {
            case .resourceTemporarilyUnavailable: return .full
            case .tooManyReferences: return .tooMany(failure)
            default: throw failure
            }
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

    /// Drops the packets at the front that come before the one with this ticket. Under the consumer guard, with which packets are
    /// received. Two system calls for each, and one more.
    ///
    /// - Parameter ticket: of the first item that waits for its packet; nil if none does.
    /// - Returns: whether there were any.
    func dropPackets(before ticket: UInt64?) -> Bool {
        var hasDropped = false
        while true {
            var word: UInt64 = 0
            let count = withUnsafeMutableBytes(of: &word) { buffer in
                do throws(Errno) { return try receiving.descriptor.peekPacket(into: buffer) } catch { return 0 }
            }
            guard count > 0, ticket.map({ UInt64(littleEndian: word) < $0 }) ?? true else { return hasDropped }
            receiving.descriptor.dropPacket()
            chaosStep("queue.put.dropped")
            hasDropped = true
        }
    }

    private static var missing: SharedStateError {
        SharedStateError(.malformed, "An item arrived without its descriptors")
    }
}
