public import Synchronization

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

/// To whom a function that is called for many items tells how far it is. Set, as a task-local value, by whoever has it run.
public struct ChunkReporter: Sendable {
    /// The one for the chunk that this Swift task runs; nil if nobody wants to know.
    @TaskLocal public static var current: ChunkReporter?

    /// Where the place of each item in the chunk is noted, counted from one, when it begins; zero when something else does. Nil is
    /// nowhere. The high half of what is noted is `tag`'s.
    ///
    /// A store for each item, and no call: it must be cheap.
    fileprivate nonisolated(unsafe) let word: UnsafeMutablePointer<Atomic<UInt64>>?
    fileprivate let tag: UInt64
    /// Called with an encoded ``ChunkResult`` now and then, when a chunk takes long.
    fileprivate let send: @Sendable (EncodedPieces) throws -> Void
    /// Set if the chunk is a loose one.
    fileprivate let loose: LooseChunk?

    /// A reporter. The word has to stay where it is as long as the chunk runs.
    public init(
        word: UnsafeMutablePointer<Atomic<UInt64>>?,
        tag: UInt64,
        loose: LooseChunk? = nil,
        send: @escaping @Sendable (EncodedPieces) throws -> Void
    ) {
        self.word = word
        self.tag = tag
        self.loose = loose
        self.send = send
    }

    /// Notes an item, or that none has begun. Not ordered before what the item does elsewhere: a process that is killed has done
    /// what it has stored, and nobody looks before.
    @inline(__always)
    fileprivate func note(_ number: Int) {
        word?.pointee.store(tag | UInt64(UInt32(truncatingIfNeeded: number)), ordering: .releasing)
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
/// then is not lost. Those of a ``LooseChunk`` leave at once.
public struct ChunkRun<Value: Codable & Sendable> {
    /// How long values stay here at most, give or take an item.
    static var interval: Duration { .milliseconds(50) }

    private let reporter = ChunkReporter.current
    private let small = SmallType(Value.self)
    /// What kept a value of a loose chunk from leaving.
    private var failure: (any Error)?
    private var values: [Value] = []
    private var sent = 0
    private var begun = 0
    /// The item before which to look at the clock, which costs as much as a short item: when items are short, not before each.
    private var nextLook = 1
    private var stride = 1
    private var lastLook = ContinuousClock.now
    private var lastSend = ContinuousClock.now

    /// Begins a chunk.
    public init() {}

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
            if thrown == nil, index < items.count { sendValues() }
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
        if begun == nextLook, look() { sendValues() }
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
        return ChunkResult(offset: sent, values: values, error: encoded)
    }

    /// Looks at the clock; whether the values should leave that are here.
    @inline(never)
    private mutating func look() -> Bool {
        guard let reporter, reporter.loose == nil else { return false }
        let now = ContinuousClock.now
        stride = now - lastLook < .microseconds(100) ? min(stride * 2, 64) : 1
        nextLook = begun + stride
        lastLook = now
        guard now - lastSend >= Self.interval else { return false }
        lastSend = now
        return true
    }

    private mutating func sendValues() {
        guard let reporter, !values.isEmpty else { return }
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
