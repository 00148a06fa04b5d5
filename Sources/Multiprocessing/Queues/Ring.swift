/// A place in a ring of bytes, which grows for ever: how often the ring was gone round, and how far into it.
///
/// As a 64-bit word: the lap in bits 40–63 (modulo 2^24: of two places in use at a time the laps differ by at most one), the
/// offset in bits 0–39. No division is needed anywhere.
struct RingPosition: Equatable {
    /// Modulo 2^24.
    var lap: UInt32
    /// In bytes, a multiple of 8, below the ring's capacity.
    var offset: Int

    static let lapMask: UInt32 = 0xff_ffff
    static let maximumOffset = 1 << 40

    static let start = RingPosition(lap: 0, offset: 0)

    init(lap: UInt32, offset: Int) {
        self.lap = lap & Self.lapMask
        self.offset = offset
    }

    init(rawValue: UInt64) {
        self.init(lap: UInt32(truncatingIfNeeded: rawValue >> 40), offset: Int(rawValue & 0xff_ffff_ffff))
    }

    var rawValue: UInt64 { UInt64(lap) << 40 | UInt64(offset) }
}

/// The arithmetic of a ring of bytes in which each record lies in one piece. A pure value: it never touches the bytes.
struct Ring {
    /// In bytes, a multiple of 8.
    let capacity: Int

    /// Where a record goes.
    struct Placement: Equatable {
        /// Where it begins.
        var start: RingPosition
        /// Where the next one may begin.
        var end: RingPosition
        /// Whether it did not fit before the end of the ring, so that a marker at the old tail has to say so.
        var isWrapped: Bool
    }

    /// Whether a position that was found in shared memory can be one.
    func isValid(_ position: RingPosition) -> Bool {
        position.offset < capacity && position.offset & 7 == 0
    }

    /// The number of bytes from one position to a later one: up to `capacity`, more only if they do not belong together.
    func distance(from first: RingPosition, to second: RingPosition) -> Int {
        // Of more than two it does not matter how many, and the product has to fit.
        let laps = max(-2, min(Int(Int32(bitPattern: (second.lap &- first.lap) << 8) >> 8), 2))
        return laps * capacity + second.offset - first.offset
    }

    /// The beginning of the next lap.
    func nextLap(_ position: RingPosition) -> RingPosition {
        RingPosition(lap: position.lap &+ 1, offset: 0)
    }

    /// The position `count` bytes on; the two have to lie in one piece.
    func advanced(_ position: RingPosition, by count: Int) -> RingPosition {
        let offset = position.offset + count
        return offset >= capacity ? nextLap(position) : RingPosition(lap: position.lap, offset: offset)
    }

    /// Where `size` bytes (a multiple of 8) go behind `tail` if what begins at `free` is in use; nil if there is no room.
    func place(_ size: Int, tail: RingPosition, free: RingPosition) -> Placement? {
        let used = distance(from: free, to: tail)
        let left = capacity - tail.offset
        let isWrapped = size > left
        let needed = isWrapped ? left + size : size
        guard used >= 0, used <= capacity - needed else { return nil }
        let start = isWrapped ? nextLap(tail) : tail
        return Placement(start: start, end: advanced(start, by: size), isWrapped: isWrapped)
    }

    /// Where `size` bytes begin that end at `limit`, or at the end of the lap before it if they would not be in one piece.
    func before(_ limit: RingPosition, size: Int) -> RingPosition {
        limit.offset >= size
            ? RingPosition(lap: limit.lap, offset: limit.offset - size)
            : RingPosition(lap: limit.lap &- 1, offset: capacity - size)
    }
}
