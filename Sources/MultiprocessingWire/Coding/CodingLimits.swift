internal import _MultiprocessingShims

/// What encoding and decoding may use up before they stop with an error.
///
/// Besides these numbers both directions watch the calling thread's stack, so that a type that nests deeper than the
/// stack allows ends in ``WireError/Code/depthExceeded`` whatever `maximumDepth` says.
public struct CodingLimits: Hashable, Sendable {
    /// How many containers and values may be nested.
    public var maximumDepth: Int
    /// The largest message in bytes, written or read.
    public var maximumBytes: Int
    /// The memory in bytes that decoding may ask for whatever the message's size.
    public var allocationBase: Int
    /// The memory in bytes that decoding may ask for on top, per byte of the message.
    public var allocationFactor: Int

    /// Makes limits; what is left out has its default.
    public init(
        maximumDepth: Int = 512,
        maximumBytes: Int = 1 << 40,
        allocationBase: Int = 16 << 20,
        allocationFactor: Int = 64
    ) {
        self.maximumDepth = maximumDepth
        self.maximumBytes = maximumBytes
        self.allocationBase = allocationBase
        self.allocationFactor = allocationFactor
    }

    /// 512 levels, messages up to 1 TiB, and memory of 16 MiB plus 64 times the message.
    public static let `default` = CodingLimits()

    /// The memory that decoding a message of `count` bytes may ask for.
    func allocationBudget(forMessageOf count: Int) -> Int {
        let (scaled, overflow) = count.multipliedReportingOverflow(by: max(0, allocationFactor))
        if overflow { return .max }
        let (sum, overflowed) = scaled.addingReportingOverflow(max(0, allocationBase))
        return overflowed ? .max : sum
    }
}

extension [CodingUserInfoKey: any Sendable] {
    /// What `Encoder` and `Decoder` ask for; the common empty one is not converted.
    var asAny: [CodingUserInfoKey: Any] {
        isEmpty ? [:] : mapValues { $0 }
    }
}

/// The lowest stack address that recursion may reach on the thread that made it.
struct StackGuard {
    /// Left for what user code, the throwing of the error and the runtime need below the deepest level.
    private static let reserve: UInt = 96 << 10

    private let lowest: UInt

    init() {
        let low = UInt(mp_stack_lowest())
        let here = UInt(mp_stack_pointer())
        // On a stack of its own making (a coroutine's) the bounds say nothing: then only the depth is counted.
        if low != 0, here >= low, here < UInt(mp_stack_highest()) {
            // A stack smaller than the reserve is used up to its half.
            lowest = low + min(Self.reserve, (here - low) / 2)
        } else {
            lowest = 0
        }
    }

    @inline(__always)
    var isExhausted: Bool {
        UInt(mp_stack_pointer()) < lowest
    }
}
