/// What calling a function for some of the items of a chunk came to: values, and the error of the item after them, if it threw.
public struct ChunkResult<Value: Codable & Sendable>: Codable, Sendable {
    /// How many items of the chunk come before these values.
    public var offset: Int
    /// The values, in the order of the items.
    public var values: [Value]
    /// What ``ErrorBox/encode(_:)`` made of the error; nil if there was none.
    public var error: [UInt8]?

    /// A result.
    public init(offset: Int, values: [Value], error: [UInt8]?) {
        self.offset = offset
        self.values = values
        self.error = error
    }
}

/// The values of a chunk as they come, and the reports on them.
///
/// Every loop over the items of a chunk goes through one of these:
///
///     var chunk = ChunkRun<Value>()
///     for item in items {
///         guard chunk.begin() else { break }
///         do { chunk.add(try function(item)) } catch { return chunk.end(error) }
///     }
///     return chunk.end()
///
/// Values leave ahead of the chunk's end when it takes longer than ``interval``: what a process that dies later had done by
/// then is not lost. Those of a ``LooseChunk`` leave at once. Where items are claimed (``ChunkReporter/Claims``) they leave before each
/// claim, so that what is claimed and has not come back is little: what takes about ``claimInterval``, or one item if that takes longer.
public struct ChunkRun<Value: Codable & Sendable> {
    /// How long values stay here at most, give or take an item.
    static var interval: Duration { .milliseconds(50) }

    /// For how long items are claimed at a time, by how long they have taken so far: short against what is lost when a process
    /// is, long against what a message costs.
    static var claimInterval: Duration { .milliseconds(10) }

    private let reporter: ChunkReporter?
    private let small = SmallType(Value.self)
    /// What kept a value of a loose chunk from leaving.
    private var failure: (any Error)?
    private var values: [Value] = []
    private var sent = 0
    private var begun = 0
    /// The item before which to look at the clock, which costs as much as a short item: when items are short, not before each.
    private var nextLook: Int
    private var stride = 1
    private var lastLook = ContinuousClock.now
    private var lastSend: ContinuousClock.Instant
    /// How many items may begin without another claim.
    private var claimed: Int
    /// When the last claim was made, and before which item.
    private var lastClaim: (time: ContinuousClock.Instant, item: Int)

    /// Begins a chunk.
    public init() {
        reporter = ChunkReporter.current
        lastSend = lastLook
        lastClaim = (lastLook, 0)
        let claims = reporter?.claims != nil
        claimed = claims ? 0 : .max
        nextLook = claims ? 0 : 1
    }

    /// Calls a function for each of some items: the loop above.
    ///
    /// Items and values are of types that are not known here, so each step on them is a call. These are the fewest.
    public mutating func run<Item>(_ items: [Item], _ function: (Item) throws -> Value) -> ChunkResult<Value> {
        items.withUnsafeBufferPointer { items in
            reporter?.loose == nil ? runTogether(items, function) : runSingly(items, function)
        }
    }

    private mutating func runTogether<Item>(
        _ items: UnsafeBufferPointer<Item>,
        _ function: (Item) throws -> Value
    ) -> ChunkResult<Value> {
        var index = 0
        var thrown: (any Error)?
        while thrown == nil, index < items.count {
            // Put where they stay: to append to an array whose type is not known here looks its type up each time.
            let block = [Value](unsafeUninitializedCapacity: items.count - index) { room, count in
                while index < items.count {
                    if begun == nextLook, look() { return }
                    begun += 1
                    reporter?.note(begun)
                    do {
                        (room.baseAddress! + count).initialize(to: try function(items[index]))
                    } catch {
                        thrown = error
                        return
                    }
                    count += 1
                    index += 1
                }
            }
            if values.isEmpty { values = block } else { values += block }
            if thrown == nil, index < items.count { report() }
        }
        return end(thrown)
    }

    private mutating func runSingly<Item>(
        _ items: UnsafeBufferPointer<Item>,
        _ function: (Item) throws -> Value
    ) -> ChunkResult<Value> {
        var index = 0
        while index < items.count, begin() {
            do { add(try function(items[index])) } catch { return end(error) }
            index += 1
        }
        return end()
    }

    /// To be called before each item; false if it is not to begin.
    @inline(__always)
    public mutating func begin() -> Bool {
        if begun == nextLook, look() { report() }
        if let loose = reporter?.loose, failure != nil || !loose.begin() { return false }
        begun += 1
        reporter?.note(begun)
        return true
    }

    /// To be called with each value.
    public mutating func add(_ value: Value) {
        if let reporter, let loose = reporter.loose { send(value, loose, reporter) } else { values.append(value) }
    }

    private mutating func send(_ value: Value, _ loose: LooseChunk, _ reporter: ChunkReporter) {
        do {
            if let small, try loose.send(value, small, at: sent) {
                sent += 1
                return
            }
            try reporter.send(ResultCoding.encode(ChunkResult(offset: sent, values: [value], error: nil)))
            sent += 1
        } catch {
            failure = loose.explain(error)
        }
    }

    /// What is left to be returned, with the error that ended the chunk before its last item.
    public func end(_ error: (any Error)? = nil) -> ChunkResult<Value> {
        // The error may have code of its own: that is still the item's.
        let encoded = (error ?? failure).map(ErrorBox.encode)
        reporter?.note(0)
        if begun > lastClaim.item {
            reporter?.claims?.pace.note(items: begun - lastClaim.item, in: ContinuousClock.now - lastClaim.time)
        }
        return ChunkResult(offset: sent, values: values, error: encoded)
    }

    /// Looks at the clock; whether there is something to report before the next item begins.
    @inline(never)
    private mutating func look() -> Bool {
        guard let reporter, reporter.loose == nil else { return false }
        let now = ContinuousClock.now
        stride = begun > 0 && now - lastLook < .microseconds(100) ? min(stride * 2, 64) : 1
        lastLook = now
        nextLook = min(begun + stride, claimed)
        guard reporter.claims != nil else { return now - lastSend >= Self.interval }
        // When nothing is left of the last claim, or it has taken long: then there are fewer.
        return begun == claimed || now - lastClaim.time >= Self.claimInterval
    }

    /// Has the values leave that are here, and claims the items that come next.
    private mutating func report() {
        guard let reporter else { return }
        sendValues(reporter)
        guard let claims = reporter.claims else { return }
        var count = claims.pace.items(in: Self.claimInterval)
        if begun > lastClaim.item {
            claims.pace.note(items: begun - lastClaim.item, in: lastLook - lastClaim.time)
            // Not too many more at once: the first ones need not be typical.
            count = min(claims.pace.items(in: Self.claimInterval), 16 * (begun - lastClaim.item))
        }
        claimed = begun + count
        lastClaim = (lastLook, begun)
        nextLook = min(begun + stride, claimed)
        claims.claim(claimed)
    }

    private mutating func sendValues(_ reporter: ChunkReporter) {
        guard !values.isEmpty else { return }
        lastSend = lastLook
        // Encoding them may go wrong, in whichever way, and that is not the fault of the item before.
        reporter.note(0)
        do {
            try reporter.send(ResultCoding.encode(ChunkResult(offset: sent, values: values, error: nil)))
        } catch {
            // They stay; the chunk's end will say what is wrong with them.
            return
        }
        sent += values.count
        values = []
    }
}
