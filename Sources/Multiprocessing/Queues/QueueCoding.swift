internal import MultiprocessingSystem
internal import MultiprocessingWire

/// Items that were encoded by the caller of `put`, one behind the other: from here on nothing can go wrong with them.
struct EncodedItems: ~Copyable {
    private var bytes = WireBuffer(minimumCapacity: 128)
    private var ends: [(end: Int, attachments: [SharedDescriptor])] = []

    var count: Int { ends.count }

    mutating func append<Element: Encodable>(_ element: Element) throws {
        let context = TransferContext()
        try TransferContext.with(context) { try BinaryEncoder().encode(element, into: &bytes) }
        ends.append((bytes.count, context.descriptors))
    }

    /// Lends those from the one with this index on.
    func withOutgoing<R>(from first: Int = 0, _ body: (UnsafeBufferPointer<OutgoingItem>) throws -> R) rethrows -> R {
        try bytes.withUnsafeBytes { bytes throws in
            try withUnsafeTemporaryAllocation(of: OutgoingItem.self, capacity: count - first) { items in
                for index in first..<count {
                    let begin = index == 0 ? 0 : ends[index - 1].end
                    items.initializeElement(
                        at: index - first,
                        to: OutgoingItem(
                            bytes: UnsafeRawBufferPointer(rebasing: bytes[begin..<ends[index].end]),
                            attachments: ends[index].attachments
                        )
                    )
                }
                defer { items.deinitialize() }
                return try body(UnsafeBufferPointer(items))
            }
        }
    }
}

extension OutgoingItem {
    /// Room for a small value's message: on the stack.
    private static let smallSize = 64

    /// Encodes a value and lends it while `body` runs.
    static func encoding<Element: Encodable>(_ element: Element, _ body: (OutgoingItem) throws -> Void) throws {
        let isSmall = try withUnsafeTemporaryAllocation(byteCount: smallSize, alignment: 16) { room in
            guard let count = BinaryEncoder.encodeSmall(element, into: room) else { return false }
            try body(OutgoingItem(bytes: UnsafeRawBufferPointer(rebasing: room[..<count])))
            return true
        }
        if isSmall { return }
        let context = TransferContext()
        let bytes = try TransferContext.with(context) { try BinaryEncoder().encode(element) }
        return try bytes.withUnsafeBytes { try body(OutgoingItem(bytes: $0, attachments: context.descriptors)) }
    }
}

extension TransferContext {
    /// What was attached: in this module nothing but descriptors is.
    fileprivate var descriptors: [SharedDescriptor] {
        objects.isEmpty ? [] : objects.map { $0 as! SharedDescriptor }
    }
}

extension TakenItem {
    func decode<Element: Decodable>(_ type: Element.Type = Element.self) throws -> Element {
        try withBytes { bytes in
            if attachments.isEmpty, let value = BinaryDecoder.decodeSmall(type, from: bytes) { return value }
            return try TransferContext.with(TransferContext(attachments)) {
                try BinaryDecoder().decode(type, from: bytes)
            }
        }
    }
}
