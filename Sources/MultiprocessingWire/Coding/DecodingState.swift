/// Where one value of a message is: its tag, the position behind the tag, and where its container ends.
struct WireValue {
    var tag: UInt8
    var payload: Int
    var limit: Int
}

/// One value that is being decoded.
struct DecodingFrame {
    /// Names this use of the slot: a decoder whose serial is not the slot's has outlived its value.
    var serial: UInt32
    /// The frame of the container that the value is in; -1 at the top.
    var parent: Int32
    /// The value's place in that container: the position of its key, or -1 - its index; nil if it has none.
    var place: Int?
    var value: WireValue
    /// What is being decoded; tells an optional in an optional.
    var valueType: Any.Type
    /// Where the next field is expected, for a keyed container.
    var cursor = 0
    /// Whether `DecodingState.indexes` has the fields of this keyed container.
    var isIndexed = false
    var depth: Int32
}

/// A message being read.
///
/// Values are found by position, so containers may be used in any order. Frames exist to tell coding paths and to keep
/// each keyed container's cursor; a decoder that outlives its frame still works, only slower and without its path.
///
/// Unsafe code. Invariants:
/// - `base` is valid for `count` bytes until `close()`; every entry from a container checks `isOpen` first;
/// - every read is within a `WireValue`'s or container's limit, and no limit exceeds `count`;
/// - the bytes may change while they are read: see `loadOnce` for the rules that follow from that;
/// - `frames` has room for `frameCapacity` frames, those in `0...top` are initialised (frames are trivial).
final class DecodingState {
    // The class is used by one thread, inside one call: the checks for overlapping access would only cost.
    @exclusivity(unchecked) private(set) var base: UnsafeRawPointer
    @exclusivity(unchecked) private(set) var frames: UnsafeMutablePointer<DecodingFrame>
    @exclusivity(unchecked) private var frameCapacity = 8
    @exclusivity(unchecked) private(set) var top = -1
    @exclusivity(unchecked) private var lastSerial: UInt32 = 0
    @exclusivity(unchecked) private(set) var isOpen = true
    @exclusivity(unchecked) private var budget: Int
    @exclusivity(unchecked) var containers = KeptContainers<KeyedFields>()
    @exclusivity(unchecked) var indexes: [Int: KeyIndex] = [:]
    /// Where the value being read is, in case reading it fails.
    @exclusivity(unchecked) var parent = -1
    @exclusivity(unchecked) var place: Int?

    @exclusivity(unchecked) private(set) var failure: (any Error)?

    @exclusivity(unchecked) private(set) var count: Int
    @exclusivity(unchecked) private(set) var limits: CodingLimits
    @exclusivity(unchecked) private(set) var userInfo: [CodingUserInfoKey: Any]
    let nativeTypes = NativeTypes.shared
    @exclusivity(unchecked) private var stackGuard = StackGuard()

    /// Reads from `bytes`, which stay valid until `close()`.
    init(_ bytes: UnsafeRawBufferPointer, limits: CodingLimits, userInfo: [CodingUserInfoKey: Any]) {
        // An empty buffer may have no address; nothing is read then, because every limit is 0.
        base = bytes.baseAddress ?? UnsafeRawPointer(bitPattern: 16)!
        count = bytes.count
        budget = limits.allocationBudget(forMessageOf: bytes.count)
        self.limits = limits
        self.userInfo = userInfo
        frames = .allocate(capacity: frameCapacity)
    }

    deinit {
        containers.forEach { $0.state = nil }
        frames.deallocate()
    }

    /// Refuses whatever is read through decoders that outlive the call.
    func close() {
        isOpen = false
        top = -1
        containers.forEach { $0.state = nil }
    }

    /// Begins to read another message; the state was emptied by `empty()`.
    func reopen(_ bytes: UnsafeRawBufferPointer, limits: CodingLimits, userInfo: [CodingUserInfoKey: Any]) {
        base = bytes.baseAddress ?? UnsafeRawPointer(bitPattern: 16)!
        count = bytes.count
        budget = limits.allocationBudget(forMessageOf: bytes.count)
        self.limits = limits
        if !userInfo.isEmpty { self.userInfo = userInfo }
        stackGuard = StackGuard()
        isOpen = true
    }

    /// Forgets the message, and all that could keep an object of the caller alive.
    func empty() {
        base = UnsafeRawPointer(bitPattern: 16)!
        count = 0
        parent = -1
        place = nil
        if !indexes.isEmpty { indexes = [:] }
        if !userInfo.isEmpty { userInfo = [:] }
        if failure != nil { failure = nil }
    }

    /// Runs what may fail where the protocols do not allow to throw; the end of decoding throws the error.
    func recordingFailure(_ body: () throws -> Void) {
        do {
            try body()
        } catch {
            if failure == nil { failure = error }
        }
    }

    @inline(__always)
    func checkOpen() throws {
        if !isOpen {
            throw WireError(code: .unsupported, what: "a decoder was used after its message was decoded")
        }
    }

    // MARK: Frames

    /// Opens a value and gives its frame.
    func push(_ type: Any.Type, _ value: WireValue, parent: Int, place: Int?) throws -> Int {
        let depth = parent < 0 ? 0 : frames[parent].depth + 1
        if depth >= limits.maximumDepth || stackGuard.isExhausted {
            throw error(.depthExceeded, "values are nested more than \(depth) deep", parent: parent, place: place)
        }
        if top + 1 == frameCapacity { growFrames() }
        lastSerial &+= 1
        top += 1
        let frame = DecodingFrame(
            serial: lastSerial,
            parent: Int32(truncatingIfNeeded: parent),
            place: place,
            value: value,
            valueType: type,
            depth: depth
        )
        (frames + top).initialize(to: frame)
        return top
    }

    /// Closes the innermost frame.
    func pop() {
        if top >= 0 { top -= 1 }
    }

    @inline(never)
    private func growFrames() {
        let larger = UnsafeMutablePointer<DecodingFrame>.allocate(capacity: frameCapacity * 2)
        larger.moveInitialize(from: frames, count: frameCapacity)
        frames.deallocate()
        frames = larger
        frameCapacity *= 2
    }

    /// The frame that `index` and `serial` name, or -1 if it has ended.
    @inline(__always)
    func live(_ index: UInt32, _ serial: UInt32) -> Int {
        Int(index) <= top && frames[Int(index)].serial == serial ? Int(index) : -1
    }

    /// Decodes any value: at once if it is of a type the format knows, else by its `init(from:)`.
    func decode<Value: Decodable>(_ type: Value.Type, _ value: WireValue, parent: Int, place: Int?) throws -> Value {
        if let native = nativeTypes[type] {
            self.parent = parent
            self.place = place
            if native.reads(value, from: self) { return try native.read(as: type, value, from: self) }
        }
        let enclosing = top
        try charge(MemoryLayout<Value>.stride, parent: parent, place: place)
        let frame = try push(type, value, parent: parent, place: place)
        defer { top = min(top, enclosing) }
        return try type.init(from: ValueDecoder(state: self, frame: frame))
    }

    // MARK: Budget and errors

    /// Takes `size` bytes from what decoding may allocate.
    @inline(__always)
    func charge(_ size: Int, parent: Int, place: Int?) throws {
        budget -= size
        if budget < 0 {
            // Stays exhausted, even if a type catches the error and goes on.
            budget = 0
            throw error(.sizeExceeded, "decoding needs more memory than the limits allow", parent: parent, place: place)
        }
    }

    func codingPath(parent: Int, place: Int?) -> [any CodingKey] {
        var path: [any CodingKey] = []
        var (parent, place) = (parent, place)
        while true {
            if let place { path.append(key(for: place)) }
            guard parent >= 0, parent <= top else { break }
            place = frames[parent].place
            parent = Int(frames[parent].parent)
        }
        return path.reversed()
    }

    private func key(for place: Int) -> WireKey {
        if place < 0 { return WireKey(intValue: -1 - place) }
        guard isOpen, let name = try? key(at: place, limit: count) else { return WireKey(stringValue: "?") }
        return WireKey(stringValue: String(copyingUTF8: base + name.start, count: name.length) ?? "?")
    }

    func error(
        _ code: WireError.Code,
        _ what: String,
        parent: Int? = nil,
        place: Int? = nil,
        at offset: Int? = nil
    ) -> WireError {
        let path = codingPath(parent: parent ?? self.parent, place: parent == nil ? self.place : place)
        return WireError(code: code, what: what, codingPath: path.wirePath, offset: offset)
    }

    /// What Codable types expect when a value is of another type; carries the wire error.
    func mismatch(_ type: Any.Type, _ value: WireValue) -> any Error {
        let found = WireTag.name(value.tag)
        let path = codingPath(parent: parent, place: place)
        let what = "expected \(type), found \(found)"
        let underlying = error(.typeMismatch, what, at: value.payload - 1)
        let context = DecodingError.Context(codingPath: path, debugDescription: what, underlyingError: underlying)
        return value.tag == WireTag.null
            ? DecodingError.valueNotFound(type, context) : DecodingError.typeMismatch(type, context)
    }
}
