/// The fields of a keyed container by name, for containers that are not read in the order they were written.
///
/// A dictionary of the standard library, because its hashing is seeded: names that collide cannot be prepared.
struct KeyIndex {
    private(set) var places: [String: Int] = [:]

    /// Reads the names of all fields between `start` and `end`; where one occurs again the last counts.
    init(_ state: DecodingState, start: Int, end: Int) throws {
        var position = start
        while position < end {
            let (name, length) = try state.key(at: position, limit: end)
            try state.charge(length + 32, parent: state.parent, place: state.place)
            places[try state.text(name, length)] = position
            position = try state.end(of: state.value(at: name + length, limit: end))
        }
    }
}

extension DecodingState {
    /// How many fields are looked at one by one before an index is made.
    private static let patience = 16

    /// The field of this name, between `start` and `end`: the place of its key, and its value; nil if there is none.
    ///
    /// The first guess is the field behind the one read last, which is right when a type reads what it wrote.
    @inline(__always)
    func find(
        _ name: UnsafeBufferPointer<UInt8>,
        start: Int,
        end: Int,
        frame: Int,
        repeats: Bool
    ) throws -> (place: Int, value: WireValue)? {
        try checkOpen()
        if frame >= 0, !repeats {
            let cursor = frames[frame].cursor
            if cursor < end {
                let key = try key(at: cursor, limit: end)
                if matches(key, name) {
                    let value = try value(at: key.start + key.length, limit: end)
                    frames[frame].cursor = try self.end(of: value)
                    return (cursor, value)
                }
            }
        }
        return try search(name, start: start, end: end, frame: frame, repeats: repeats)
    }

    @inline(__always)
    private func matches(_ key: (start: Int, length: Int), _ name: UnsafeBufferPointer<UInt8>) -> Bool {
        guard key.length == name.count else { return false }
        guard let name = name.baseAddress else { return true }
        return areEqual(base + key.start, UnsafeRawPointer(name), key.length)
    }

    /// Compares eight bytes at a time; names are short, so that a call would cost more than the comparison.
    @inline(__always)
    private func areEqual(_ a: UnsafeRawPointer, _ b: UnsafeRawPointer, _ size: Int) -> Bool {
        var offset = 0
        while size - offset >= 8 {
            if a.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
                != b.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
            {
                return false
            }
            offset += 8
        }
        while offset < size {
            if a.load(fromByteOffset: offset, as: UInt8.self) != b.load(fromByteOffset: offset, as: UInt8.self) {
                return false
            }
            offset += 1
        }
        return true
    }

    @inline(never)
    private func search(
        _ name: UnsafeBufferPointer<UInt8>,
        start: Int,
        end: Int,
        frame: Int,
        repeats: Bool
    ) throws -> (place: Int, value: WireValue)? {
        if indexes[start] == nil {
            var position = start
            var last: (place: Int, value: WireValue)?
            for _ in 0..<Self.patience {
                guard position < end else { return last }
                let key = try key(at: position, limit: end)
                let value = try value(at: key.start + key.length, limit: end)
                let next = try self.end(of: value)
                if matches(key, name) {
                    last = (position, value)
                    if !repeats {
                        if frame >= 0 { frames[frame].cursor = next }
                        return last
                    }
                }
                position = next
            }
            if position >= end { return last }
            indexes[start] = try KeyIndex(self, start: start, end: end)
        }
        guard let place = indexes[start]?.places[String(decoding: name, as: UTF8.self)] else { return nil }
        let key = try key(at: place, limit: end)
        let value = try value(at: key.start + key.length, limit: end)
        if frame >= 0 { frames[frame].cursor = try self.end(of: value) }
        return (place, value)
    }
}
