public import Synchronization

/// To whom a function that is called for many items tells how far it is. Set, as a task-local value, by whoever has it run.
public struct ChunkReporter: Sendable {
    /// The one for the chunk that this Swift task runs; nil if nobody wants to know.
    @TaskLocal public static var current: ChunkReporter?

    /// Where the place of each item in the chunk is noted, counted from one, when it begins; zero when something else does. Nil is
    /// nowhere. The high half of what is noted is `tag`'s.
    ///
    /// A store for each item, and no call: it must be cheap.
    nonisolated(unsafe) let word: UnsafeMutablePointer<Atomic<UInt64>>?
    let tag: UInt64
    /// Called with an encoded ``ChunkResult`` now and then, when a chunk takes long.
    let send: @Sendable (EncodedPieces) throws -> Void

    /// For those who cannot look at a word: claims; nil if nobody wants any.
    let claims: Claims?
    /// Set if the chunk is a loose one.
    let loose: LooseChunk?

    /// A reporter. The word has to stay where it is as long as the chunk runs.
    public init(
        word: UnsafeMutablePointer<Atomic<UInt64>>?,
        tag: UInt64,
        claims: Claims? = nil,
        loose: LooseChunk? = nil,
        send: @escaping @Sendable (EncodedPieces) throws -> Void
    ) {
        self.word = word
        self.tag = tag
        self.claims = claims
        self.loose = loose
        self.send = send
    }

    /// How somebody far away knows which items may have begun: none begins that was not claimed.
    public struct Claims: Sendable {
        let pace: ChunkPace
        let claim: @Sendable (Int) -> Void

        /// - Parameters:
        ///   - pace: of the function's items, as far as it is known from other chunks.
        ///   - claim: called with how many items of the chunk may have begun from now on, those that are done among them. Fewer than
        ///     the last time means that those in between will not begin before they are claimed again. Returns when nothing that
        ///     becomes of this process will keep the claim from arriving.
        public init(pace: ChunkPace, claim: @escaping @Sendable (Int) -> Void) {
            self.pace = pace
            self.claim = claim
        }
    }

    /// Notes an item, or that none has begun. Not ordered before what the item does elsewhere: a process that is killed has done
    /// what it has stored, and nobody looks before.
    @inline(__always)
    func note(_ number: Int) {
        word?.pointee.store(tag | UInt64(UInt32(truncatingIfNeeded: number)), ordering: .releasing)
    }
}

/// How long the items of a function take, as the last chunks of it went.
public final class ChunkPace: Sendable {
    /// Nanoseconds for an item; zero as long as nothing is known.
    private let perItem = Atomic(0)

    /// Nothing known yet.
    public init() {}

    /// So many items took so long.
    func note(items: Int, in time: Duration) {
        let (seconds, attoseconds) = time.components
        let nanoseconds = Int(clamping: seconds) * 1_000_000_000 + Int(attoseconds / 1_000_000_000)
        perItem.store(max(1, nanoseconds / items), ordering: .relaxed)
    }

    /// How many items may be done in so short a time: one at least, and one as long as nothing is known.
    func items(in time: Duration) -> Int {
        let each = perItem.load(ordering: .relaxed)
        return each == 0 ? 1 : max(1, Int(time.components.attoseconds / 1_000_000_000) / each)
    }
}
