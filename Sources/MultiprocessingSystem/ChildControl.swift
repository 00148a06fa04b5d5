public import SystemPackage
internal import _MultiprocessingShims

/// How a process ended, as the kernel tells its parent.
public struct RawExit: Sendable {
    /// The exit code, or the number of the signal.
    public var status: CInt
    /// Whether `status` is a signal's number.
    public var wasSignalled: Bool
    /// Whether a core file was written.
    public var dumpedCore: Bool
    /// The most memory that was resident at once, in bytes; zero unless the process was reaped by this call.
    public var peakMemory: Int
    /// The processor time that it used; zero unless the process was reaped by this call.
    public var cpuTime: Duration

    fileprivate init?(_ raw: _mp_exit) {
        guard raw.kind != _mp_exit_running else { return nil }
        status = raw.status
        wasSignalled = raw.kind != _mp_exit_code
        dumpedCore = raw.kind == _mp_exit_dumped
        peakMemory = Int(raw.peak_kib) * 1024
        cpuTime = .microseconds(raw.user_us + raw.system_us)
    }
}

/// Our own children, by process id.
///
/// A process id is safe to use as long as the child was not reaped. Only its record reaps it, under the record's lock;
/// and because a program may also wait for "any child" behind our back, each use asks the kernel first whether the id
/// still is a child of ours (``peek(_:)`` then throws `.noChildProcess`).
public enum ChildControl {
    /// How the child ended, without reaping it; nil while it lives.
    public static func peek(_ pid: CInt) throws(Errno) -> RawExit? {
        var raw = _mp_exit()
        _ = try check(_mp_peek_exit(pid, false, &raw))
        return RawExit(raw)
    }

    /// Reaps a child that has ended; nil while it lives.
    public static func reap(_ pid: CInt) throws(Errno) -> RawExit? {
        var raw = _mp_exit()
        let result = _mp_reap(pid, &raw)
        if result == -Errno.resourceTemporarilyUnavailable.rawValue { return nil }
        _ = try check(result)
        return RawExit(raw)
    }

    /// Sends a signal to a child, or with a negative number to its process group.
    public static func signal(_ pid: CInt, _ signal: CInt) throws(Errno) {
        _ = try check(_mp_kill(pid, signal))
    }

    /// A descriptor that becomes readable when the process ends.
    public static func pidDescriptor(_ pid: CInt) throws(Errno) -> Descriptor {
        Descriptor(owning: try check(_mp_pidfd_open(pid)))
    }

    /// Starts `path` in a process group of its own, with default signals and just the descriptors named.
    public static func spawn(
        _ path: String,
        arguments: [[UInt8]],
        environment: [[UInt8]],
        passing descriptors: [(source: CInt, target: CInt)]
    ) throws(Errno) -> CInt {
        let sources = descriptors.map(\.source)
        let targets = descriptors.map(\.target)
        let result = withCStrings(arguments) { arguments in
            withCStrings(environment) { environment in
                path.withCString { path in
                    sources.withUnsafeBufferPointer { sources in
                        targets.withUnsafeBufferPointer { targets in
                            var request = _mp_spawn(
                                path: path,
                                arguments: arguments,
                                environment: environment,
                                sources: sources.baseAddress!,
                                targets: targets.baseAddress!,
                                count: CInt(sources.count)
                            )
                            return _mp_spawn(&request)
                        }
                    }
                }
            }
        }
        return try check(result)
    }

    /// Forks a child of our own parent. For a single-threaded process only.
    public static func forkSibling() throws(Errno) -> CInt {
        try check(_mp_fork_sibling())
    }

    /// Forks this process.
    public static func fork() throws(Errno) -> CInt {
        try check(_mp_fork())
    }
}

/// Calls `body` with a null-terminated array of C strings.
private func withCStrings<R>(
    _ strings: [[UInt8]],
    _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> R
) -> R {
    var storage: [CChar] = []
    var offsets: [Int] = []
    for string in strings {
        offsets.append(storage.count)
        storage.append(contentsOf: string.lazy.map { CChar(bitPattern: $0) })
        storage.append(0)
    }
    return storage.withUnsafeMutableBufferPointer { storage in
        var pointers: [UnsafeMutablePointer<CChar>?] = offsets.map { storage.baseAddress! + $0 }
        pointers.append(nil)
        return body(pointers)
    }
}
