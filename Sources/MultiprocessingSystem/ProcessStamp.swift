internal import _MultiprocessingShims

/// A process for as long as the machine runs: its id, and when it started, because ids are used again.
///
/// Fits a 64-bit word of shared memory: the id in bits 0–21, the start (in ticks since boot, its low half) in bits 32–63.
/// Bits 22–31 are zero here; whoever stores a stamp may use them. Ids are those of this process's pid namespace.
public struct ProcessStamp: RawRepresentable, Hashable, Sendable {
    /// The word; zero is ``nobody``.
    public let rawValue: UInt64

    /// The bits that make a stamp; the others are the storing structure's.
    public static let mask: UInt64 = 0xffff_ffff_003f_ffff

    /// The stamp in a word; other bits are dropped.
    public init(rawValue: UInt64) {
        self.rawValue = rawValue & Self.mask
    }

    /// No process.
    public static let nobody = ProcessStamp(rawValue: 0)

    /// This process. A load; system calls only the first time.
    public static var current: ProcessStamp { ProcessStamp(rawValue: _mp_stamp_self()) }

    /// How often this process was forked by libc since ``current`` was first asked for.
    public static var forkCount: UInt32 { _mp_fork_count() }

    /// The process with this id now; nil if there is none. Some system calls.
    public init?(of pid: CInt) {
        let raw = _mp_stamp_of(pid)
        guard raw != 0 else { return nil }
        self.init(rawValue: raw)
    }

    /// The process's id.
    public var processIdentifier: CInt { CInt(rawValue & 0x3f_ffff) }

    /// Whether it runs; a zombie does not. Some system calls, ten microseconds or so, unless it is this process.
    public var isAlive: Bool { self == .current || _mp_stamp_is_alive(rawValue) }
}

extension ThisProcess {
    /// A number that no other thread of this process has now; never zero. No system call.
    public static var threadToken: UInt64 { _mp_thread_token() }
}
