internal import MultiprocessingSystem
internal import SystemPackage

// How messages go through a connection between processes: as they are, because their content is encoded already.
//
// Layout: kind (1 byte), flags (1: there is a content, 2: a loose chunk), zero (2), the bytes of baggage (4), task (8), number (8), the baggage, zeros
// up to a multiple of 8 bytes, the content. The descriptors of handles go beside it. A message that is too long for the ring is in a
// memory file, which the receiver maps: both ends are processes of one program, and nobody has the file mapped for writing.

extension PoolMessage {
    static let fixedHeaderSize = 24

    /// What comes before the content, which is aligned as the message is.
    private static func headerSize(baggage count: Int) -> Int {
        (fixedHeaderSize + count + 7) & ~7
    }

    private var headerSize: Int { Self.headerSize(baggage: baggage?.count ?? 0) }

    /// Sends the message. Blocks the thread while there is no room.
    ///
    /// Up to 1 MiB one copy into shared memory, else one into a memory file.
    func send(over connection: Connection, timeout: Duration? = nil) throws {
        let count = headerSize + (content?.count ?? 0)
        let attachments = content?.objects.map { $0 as! SharedDescriptor } ?? []
        guard attachments.count < SocketPacket.mostForMessage else {
            throw SharedStateError(.tooLarge, "A task with \(attachments.count) descriptors is too large")
        }
        if count > MessageRing.longestInline {
            var envelope = Envelope(kind: .file, byteCount: count)
            envelope.attachments = [SharedDescriptor(try file())] + attachments
            return try connection.end.send(UnsafeRawBufferPointer(start: nil, count: 0), envelope, timeout: timeout)
        }
        try withUnsafeTemporaryAllocation(byteCount: count, alignment: 8) { room in
            header(into: room)
            var place = headerSize
            content?.forEachPiece { piece in
                UnsafeMutableRawBufferPointer(rebasing: room[place...]).copyMemory(from: piece)
                place += piece.count
            }
            let envelope = Envelope(attachments: attachments)
            try connection.end.send(UnsafeRawBufferPointer(room), envelope, timeout: timeout)
        }
    }

    private func header(into room: UnsafeMutableRawBufferPointer) {
        let flags: UInt64 = (content == nil ? 0 : 1) | (isLoose ? 2 : 0)
        let first = UInt64(kind.rawValue) | flags << 8 | UInt64(UInt32(baggage?.count ?? 0)) << 32
        room.storeBytes(of: first, as: UInt64.self)
        room.storeBytes(of: Int64(task), toByteOffset: 8, as: Int64.self)
        room.storeBytes(of: Int64(number), toByteOffset: 16, as: Int64.self)
        guard let baggage else { return }
        let place = UnsafeMutableRawBufferPointer(rebasing: room[Self.fixedHeaderSize..<headerSize])
        place.copyBytes(from: baggage)
        for index in baggage.count..<place.count { place[index] = 0 }
    }

    private func file() throws -> Descriptor {
        do throws(Errno) {
            let file = try Descriptor.memoryFile(named: "multiprocessing")
            try withUnsafeTemporaryAllocation(byteCount: headerSize, alignment: 8) { (room) throws(Errno) in
                header(into: room)
                try file.fill(UnsafeRawBufferPointer(room))
            }
            try content?.forEachPiece { (piece) throws(Errno) in try file.fill(piece) }
            return file
        } catch {
            throw SharedStateError(.outOfResources, "There is no room for a message of this size", errno: error)
        }
    }

    /// Receives a message. Blocks the thread until one is there. Short values of a loose chunk that are there all come in one.
    static func received(from connection: Connection, timeout: Duration? = nil) throws -> PoolMessage {
        let message = try receivedAlone(from: connection, timeout: timeout)
        return message.kind == .singlyValues ? try message.joined(from: connection) : message
    }

    private static func receivedAlone(from connection: Connection, timeout: Duration?) throws -> PoolMessage {
        try connection.end.receive(timeout: timeout, admit: Connection.requireBytes) { message in
            guard message.record.kind == .file else {
                return try PoolMessage(message.bytes) { headerSize in
                    TravellingBytes(Array(message.bytes.dropFirst(headerSize)), objects: message.descriptors)
                }
            }
            let file = try message.mapped()
            let objects = Array(message.descriptors.dropFirst())
            return try file.withBytes { bytes in
                try PoolMessage(bytes) { TravellingBytes(file.dropping($0), objects: objects) }
            }
        }
    }

    /// - Parameter content: what comes behind a header of so many bytes.
    private init(_ bytes: UnsafeRawBufferPointer, _ content: (Int) -> TravellingBytes) throws {
        guard bytes.count >= Self.fixedHeaderSize, let kind = Kind(rawValue: bytes[0]) else {
            throw SharedStateError(.malformed, "What came is no message of a pool")
        }
        let baggageCount = Int(bytes.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
        let headerSize = Self.headerSize(baggage: baggageCount)
        guard bytes.count >= headerSize else {
            throw SharedStateError(.malformed, "What came is a message of a pool that was cut off")
        }
        self.kind = kind
        task = Int(bytes.loadUnaligned(fromByteOffset: 8, as: Int64.self))
        number = Int(bytes.loadUnaligned(fromByteOffset: 16, as: Int64.self))
        if baggageCount != 0 { baggage = Array(bytes[Self.fixedHeaderSize..<(Self.fixedHeaderSize + baggageCount)]) }
        let flags = bytes[1]
        isLoose = flags & 2 != 0
        if flags & 1 != 0 { self.content = content(headerSize) }
    }
}
