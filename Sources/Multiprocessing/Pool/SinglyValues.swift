internal import MultiprocessingSystem
internal import MultiprocessingWire

// Short values of a loose chunk, which leave the worker one by one: each is a message of the ring as the others are, and wakes nobody. The
// pool's reader puts those together that it finds there.
//
// Content of a joined message: for each value its size (1 byte) and the message that ``SmallType`` made of it.

/// The values in the content of a message of the kind `singlyValues`.
enum SinglyValues {
    static func decode<Value: Decodable>(_ bytes: UnsafeRawBufferPointer, as type: Value.Type) throws -> [Value] {
        var messages: [Range<Int>] = []
        var place = 0
        while place < bytes.count {
            let end = place + 1 + Int(bytes[place])
            messages.append((place + 1)..<end)
            place = end
        }
        guard place == bytes.count, let small = SmallType(type) else { throw malformed }
        return try [Value](unsafeUninitializedCapacity: messages.count) { values, count in
            for message in messages {
                // Room for a value of the type that the decoder is for; what it says no to stays as it was.
                let target = UnsafeMutableRawPointer(values.baseAddress! + count)
                guard small.decode(UnsafeRawBufferPointer(rebasing: bytes[message]), into: target) else {
                    throw malformed
                }
                count += 1
            }
        }
    }

    private static var malformed: SharedStateError {
        SharedStateError(.malformed, "What came is no value of a task")
    }
}

extension PoolMessage {
    /// Sends one value of a loose chunk, and wakes nobody for it; false if it has to go in another way.
    static func sendSingly(
        _ value: UnsafeRawBufferPointer,
        task: Int,
        place: Int,
        over connection: Connection
    ) throws -> Bool {
        guard value.count <= 64 else { return false }
        return try withUnsafeTemporaryAllocation(byteCount: fixedHeaderSize + 64, alignment: 8) { room in
            let kind = UInt64(Kind.singlyValues.rawValue) | 1 << 8
            room.storeBytes(of: kind, as: UInt64.self)
            room.storeBytes(of: Int64(task), toByteOffset: 8, as: Int64.self)
            room.storeBytes(of: Int64(place), toByteOffset: 16, as: Int64.self)
            UnsafeMutableRawBufferPointer(rebasing: room[fixedHeaderSize...]).copyMemory(from: value)
            let message = UnsafeRawBufferPointer(rebasing: room[..<(fixedHeaderSize + value.count)])
            return try connection.end.sendSmall(message, wakes: false)
        }
    }

    /// This message of one value with those behind it that are of the same task.
    func joined(from connection: Connection) throws -> PoolMessage {
        guard let content else { throw SharedStateError(.malformed, "What came is no value of a task") }
        var joined: [UInt8] = []
        content.withBytes { Self.append($0, to: &joined) }
        var count = 1
        // What is wrong with the memory is for whoever receives next: what was taken is there.
        try? connection.end.takeShort { bytes in
            guard count < 256, bytes.count > Self.fixedHeaderSize,
                bytes.loadUnaligned(as: UInt64.self) == UInt64(Kind.singlyValues.rawValue) | 1 << 8,
                bytes.loadUnaligned(fromByteOffset: 8, as: Int64.self) == Int64(task)
            else { return false }
            Self.append(UnsafeRawBufferPointer(rebasing: bytes[Self.fixedHeaderSize...]), to: &joined)
            count += 1
            return true
        }
        var message = self
        message.content = TravellingBytes(joined)
        return message
    }

    private static func append(_ value: UnsafeRawBufferPointer, to joined: inout [UInt8]) {
        joined.append(UInt8(truncatingIfNeeded: value.count))
        joined.append(contentsOf: value.prefix(64))
    }
}
