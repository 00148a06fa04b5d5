/// One open value of a message that is being written.
struct EncodingFrame {
    enum Kind: UInt8 {
        case undecided, keyed, unkeyed, packed, single
    }

    /// Names this use of the slot: a container whose serial is not the slot's is no longer open.
    var serial: Int
    /// Where the value's tag is.
    var start: Int
    /// Where the key being written is, for the coding path; -1 at first.
    var keyOffset = -1
    var count = 0
    /// What is being encoded; tells an optional in an optional.
    var valueType: Any.Type
    var kind = Kind.undecided
    /// Opened by `nestedContainer` or `superEncoder`: nobody says when it ends, so its parent's next write ends it.
    var isFloating: Bool
    /// False for the rest of a container whose header is elsewhere (see `SealedContainer`).
    var hasHeader = true
    /// The tag of a packed container's elements.
    var element: UInt8 = 0
    /// One bit for each key that was written, by a hash: a bit that is set already asks for a closer look.
    var keyMask: UInt64 = 0
    /// Whether a key may have been written twice.
    var repeats = false
}

/// A message being written: its bytes, and the values that are open, outermost first.
///
/// Values are appended in the order of the calls. Lengths are patched into the headers when a value ends.
/// Unsafe code: `frames` has room for `frameCapacity` frames, those in `0...top` are initialised (frames are trivial).
final class EncodingState {
    // The class is used by one thread, inside one call: the checks for overlapping access would only cost.
    @exclusivity(unchecked) var buffer: WireBuffer
    @exclusivity(unchecked) private(set) var frames: UnsafeMutablePointer<EncodingFrame>
    @exclusivity(unchecked) private var frameCapacity = 8
    @exclusivity(unchecked) private(set) var top = -1
    /// The serial of the innermost open frame; 0 when there is none.
    @exclusivity(unchecked) private(set) var currentSerial = 0
    @exclusivity(unchecked) private var lastSerial = 0
    @exclusivity(unchecked) var containers = KeptContainers<KeyedTarget>()
    @exclusivity(unchecked) var splices: [Splice] = []
    @exclusivity(unchecked) var splicedBytes = 0
    @exclusivity(unchecked) var sealed: [SealedContainer] = []
    /// An error met where the protocols do not allow to throw; the next call or the end throws it.
    @exclusivity(unchecked) var pendingError: WireError?

    @exclusivity(unchecked) private(set) var limits: CodingLimits
    @exclusivity(unchecked) private(set) var userInfo: [CodingUserInfoKey: Any]
    let nativeTypes = NativeTypes.shared
    @exclusivity(unchecked) private var stackGuard = StackGuard()
    /// The path of the value that this state's first frame stands for.
    private let outerPath: [any CodingKey]
    private let outerDepth: Int

    init(
        buffer: consuming WireBuffer,
        limits: CodingLimits,
        userInfo: [CodingUserInfoKey: Any],
        outerPath: [any CodingKey] = [],
        outerDepth: Int = 0
    ) {
        self.buffer = buffer
        self.limits = limits
        self.userInfo = userInfo
        self.outerPath = outerPath
        self.outerDepth = outerDepth
        frames = .allocate(capacity: frameCapacity)
    }

    deinit {
        containers.forEach { $0.state = nil }
        frames.deallocate()
    }

    // MARK: Frames

    var current: EncodingFrame {
        @inline(__always) get { frames[top] }
        @inline(__always) _modify { yield &frames[top] }
    }

    /// Opens a value at the end of the bytes.
    func push(_ valueType: Any.Type, floating: Bool) throws {
        if outerDepth + top + 1 >= limits.maximumDepth || stackGuard.isExhausted {
            throw error(.depthExceeded, "values are nested more than \(outerDepth + top + 1) deep here")
        }
        pushUnchecked(valueType, floating: floating)
    }

    /// Opens a value where the protocols do not allow to throw; the next throwing call reports what was exceeded.
    func pushUnchecked(_ valueType: Any.Type, floating: Bool) {
        if top + 1 == frameCapacity { growFrames() }
        lastSerial += 1
        top += 1
        currentSerial = lastSerial
        let frame = EncodingFrame(
            serial: lastSerial,
            start: buffer.count,
            valueType: valueType,
            isFloating: floating
        )
        (frames + top).initialize(to: frame)
    }

    @inline(never)
    private func growFrames() {
        let larger = UnsafeMutablePointer<EncodingFrame>.allocate(capacity: frameCapacity * 2)
        larger.moveInitialize(from: frames, count: frameCapacity)
        frames.deallocate()
        frames = larger
        frameCapacity *= 2
    }

    /// Forgets the frames above `index` without writing anything.
    func dropFrames(above index: Int) {
        top = index
        currentSerial = index < 0 ? 0 : frames[index].serial
    }

    /// Ends the values above `index`, innermost first.
    func closeFrames(above index: Int) {
        while top > index {
            closeTop()
            top -= 1
        }
        currentSerial = index < 0 ? 0 : frames[index].serial
    }

    /// Writes what the innermost value still lacks: the length in its header, or the tag of an empty value.
    func closeTop() {
        let frame = current
        switch frame.kind {
        case .single:
            break
        case .undecided:
            buffer.reserve(1)
            buffer.put(WireTag.empty)
        case .keyed:
            if frame.hasHeader {
                patchHeader(of: frame, tag: frame.repeats ? WireTag.keyedRepeating : WireTag.keyed)
            }
        case .unkeyed:
            guard frame.hasHeader else { break }
            let count = UInt32(exactly: frame.count) ?? WireFormat.unknownCount
            buffer.set(count, at: frame.start + WireFormat.headerSize)
            patchHeader(of: frame, tag: WireTag.unkeyed)
        case .packed:
            buffer.set(UInt32(frame.element), at: frame.start + WireFormat.headerSize)
            patchHeader(of: frame, tag: WireTag.packed)
        }
    }

    private func patchHeader(of frame: EncodingFrame, tag: UInt8) {
        // Splices are added to the length later, when their size is known.
        let length = buffer.count - frame.start - WireFormat.headerSize
        buffer.set(WireFormat.header(tag: tag, length: length), at: frame.start)
    }

    /// Refuses whatever is written through containers that outlive the call.
    func close() {
        dropFrames(above: -1)
        containers.forEach { $0.state = nil }
    }

    // MARK: Use again

    /// A larger buffer is not kept for the next message.
    private static let keptCapacity = 16 << 10

    /// Begins another message; the state was emptied by `empty()`.
    func reopen(limits: CodingLimits, userInfo: [CodingUserInfoKey: Any]) {
        self.limits = limits
        if !userInfo.isEmpty { self.userInfo = userInfo }
        stackGuard = StackGuard()
    }

    /// Forgets the message, and all that could keep an object of the caller alive.
    func empty() {
        if buffer.capacity > Self.keptCapacity {
            buffer = WireBuffer(minimumCapacity: 256)
        } else {
            buffer.removeAll()
        }
        if !splices.isEmpty { splices = [] }
        if !sealed.isEmpty { sealed = [] }
        if !userInfo.isEmpty { userInfo = [:] }
        if pendingError != nil { pendingError = nil }
        splicedBytes = 0
    }

    // MARK: Entering a container

    /// The state to write to for the container that `serial` names, whose frame is then the innermost one.
    @inline(__always)
    func enter(_ serial: Int, _ index: Int) throws -> EncodingState {
        if serial == currentSerial { return self }
        return try enterSlowly(serial, index)
    }

    /// Calls `body` with the state to write to for the container that `serial` names; costs no reference as a rule.
    @inline(__always)
    func at(_ serial: Int, _ index: Int, _ body: (EncodingState) throws -> Void) throws {
        if serial == currentSerial { return try body(self) }
        try body(try enterSlowly(serial, index))
    }

    @inline(never)
    private func enterSlowly(_ serial: Int, _ index: Int) throws -> EncodingState {
        if let pendingError { throw pendingError }
        if index <= top, frames[index].serial == serial {
            try requireFloating(above: index)
            sealFrames(above: index)
            return self
        }
        if let side = try reopen(serial) { return side }
        throw error(.unsupported, "a container or encoder was used after its value was complete")
    }

    /// Makes sure that no value inside the container at `index` is being encoded: what is above it are containers only.
    func requireFloating(above index: Int) throws {
        for inner in (index + 1)...top where !frames[inner].isFloating {
            throw error(.unsupported, "a container was written to while one of its values was being encoded")
        }
    }

    // MARK: Errors

    /// The keys that lead to an open or sealed container.
    func codingPath(of serial: Int, _ index: Int) -> [any CodingKey] {
        if let container = sealed.last(where: { $0.serial == serial }) {
            return codingPath(of: container)
        }
        return codingPath(upTo: index)
    }

    /// The keys that lead to the innermost open value.
    func codingPath(upTo index: Int? = nil) -> [any CodingKey] {
        var path = outerPath
        let last = min(index ?? top, top)
        guard last >= 0 else { return path }
        for position in 0...last {
            // The key under which frame `position + 1` was opened belongs to frame `position`.
            if position == last, index != nil { break }
            let frame = frames[position]
            switch frame.kind {
            case .keyed where frame.keyOffset >= 0:
                path.append(WireKey(stringValue: key(at: frame.keyOffset)))
            case .unkeyed, .packed:
                // A floating element was counted when it was opened, another one is when it is complete.
                let isFloating = position < last && frames[position + 1].isFloating
                path.append(WireKey(intValue: isFloating ? frame.count - 1 : frame.count))
            default:
                break
            }
        }
        return path
    }

    /// A wire error at the value that is being written.
    func error(_ code: WireError.Code, _ what: String) -> WireError {
        WireError(code: code, what: what, codingPath: codingPath().wirePath, offset: buffer.count)
    }

    var depth: Int { outerDepth + top + 1 }
}
