internal import Glibc

/// The machine's clock that never jumps, for deadlines that processes tell each other.
public enum MonotonicTime {
    /// Nanoseconds since the machine started, the same in every process of it (time namespaces aside). No system call.
    @inline(__always)
    public static var nanoseconds: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
    }
}
