internal import MultiprocessingSystem
internal import SystemPackage

/// Starting this program anew, in a role that it takes before `main`.
enum Reexecution {
    /// Starts a program in a role; returns its process id.
    ///
    /// Without a lifeline it outlives this process. `/proc/self/exe` is the file that this process runs, whatever has become of its name since.
    static func spawn(
        role: ProcessRole,
        executable: String?,
        channel: CInt,
        lifeline: CInt?,
        environment: [[UInt8]]
    ) throws(Errno) -> Int32 {
        var environment = environment
        var role = role
        if role == .forkServer, !environment.contains(where: { $0.starts(with: "\(bindNow)=".utf8) }) {
            environment.append(Array("\(bindNow)=1".utf8))
            role = .boundForkServer
        }
        environment.append(Array("\(ThisProcess.entryVariable)=\(role.rawValue)".utf8))
        if !environment.contains(where: { $0.starts(with: "SWIFT_BACKTRACE=".utf8) }) {
            environment.append(Array("SWIFT_BACKTRACE=\(backtraceSettings)".utf8))
        }
        // Closed standard streams become /dev/null: descriptors 0 to 2 are never anything else in a child.
        let null = try Descriptor(opening: "/dev/null", flags: 2)
        let output = Descriptor.isOpen(1) ? 1 : null.number
        let error = Descriptor.isOpen(2) ? 2 : null.number
        return try ChildControl.spawn(
            executable ?? "/proc/self/exe",
            arguments: ThisProcess.arguments,
            environment: environment,
            passing: [(null.number, 0), (output, 1), (error, 2), (channel, ThisProcess.channelNumber)]
                + (lifeline.map { [($0, ThisProcess.lifelineNumber)] } ?? [])
        )
    }

    /// The error for a start that the system refused, with the cause that `errno` alone does not tell.
    static func failure(_ what: String, _ errno: Errno, executable: String? = nil) -> ProcessError {
        let needsProc = errno == .noSuchFileOrDirectory && executable == nil
        return ProcessError(.startFailed, needsProc ? "\(what) (is /proc mounted?)" : what, errno: errno)
    }

    /// Has the loader bind all symbols of the fork server at once, a millisecond more for one start. Otherwise each child binds
    /// what it calls first, and with that copies a page of each library.
    static let bindNow = "LD_BIND_NOW"

    /// What the Swift runtime is to do when a child traps: write the frames of the faulting thread to standard error, from
    /// where they get into the crash report. A program's own setting goes before ours.
    private static let backtraceSettings =
        "enable=yes,output-to=stderr,color=no,interactive=no,threads=crashed,images=none,registers=none,"
        + "limit=64,sanitize=no,warnings=suppressed"
}
