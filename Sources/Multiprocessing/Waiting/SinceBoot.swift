/// The clock that all processes of a machine share.
enum SinceBoot {
    /// The nanoseconds since the machine was started, sleep included. No system call.
    static var nanoseconds: UInt64 {
        let (seconds, attoseconds) = ContinuousClock().systemEpoch.duration(to: .now).components
        return UInt64(clamping: seconds &* 1_000_000_000 &+ attoseconds / 1_000_000_000)
    }

    /// The instant that a number of nanoseconds names.
    static func instant(_ nanoseconds: UInt64) -> ContinuousClock.Instant {
        ContinuousClock().systemEpoch + .nanoseconds(Int64(clamping: nanoseconds))
    }
}
