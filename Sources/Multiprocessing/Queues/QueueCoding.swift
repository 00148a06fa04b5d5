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
        ends.append((bytes.count, context.objects.isEmpty ? [] : context.objects.map { $0 as! SharedDescriptor }))
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

extension TakenItem {
    func decode<Element: Decodable>(_ type: Element.Type = Element.self) throws -> Element {
        try TransferContext.with(TransferContext(attachments)) { try BinaryDecoder().decode(type, from: bytes) }
    }
}
