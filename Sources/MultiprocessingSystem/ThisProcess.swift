internal import Glibc
public import SystemPackage
internal import _MultiprocessingShims

/// What a process can ask of, and do to, itself.
public enum ThisProcess {
    /// The process id. One system call.
    public static var identifier: CInt { getpid() }
    /// The parent's process id. One system call.
    public static var parentIdentifier: CInt { getppid() }
    /// The kernel's id of the calling thread. One system call.
    public static var threadIdentifier: CInt { _mp_thread_id() }
    /// The processor that the calling thread runs on, from 1; 0 if that is not known. No system call.
    public static var processor: UInt32 { _mp_processor() }

    /// The arguments the program was started with.
    ///
    /// Bytes, as all that is handed on as it is: arguments and variables need not be UTF-8, and a String would mend them.
    public static var arguments: [[UInt8]] {
        (0..<_mp_argument_count()).compactMap { _mp_argument($0).map(bytes(of:)) }
    }

    /// The environment, as the bytes of `NAME=value`. Not safe against a concurrent setenv(3), like getenv(3).
    public static var environment: [[UInt8]] {
        guard var entry = _mp_environment() else { return [] }
        var entries: [[UInt8]] = []
        while let string = entry.pointee {
            entries.append(bytes(of: string))
            entry += 1
        }
        return entries
    }

    private static func bytes(of string: UnsafePointer<CChar>) -> [UInt8] {
        Array(UnsafeRawBufferPointer(start: string, count: strlen(string)))
    }

    /// A number that changes when the environment does.
    public static var environmentFingerprint: UInt {
        _mp_environment_fingerprint()
    }

    /// Sets or removes a variable.
    public static func setEnvironment(_ name: String, _ value: String?) {
        if let value { setenv(name, value, 1) } else { unsetenv(name) }
    }

    /// Sets a variable from the bytes of `NAME=value`; anything else is left out.
    public static func setEnvironment(entry: [UInt8]) {
        guard let split = entry.firstIndex(of: UInt8(ascii: "=")), !entry.contains(0) else { return }
        let name = (entry[..<split] + [0]).map { CChar(bitPattern: $0) }
        let value = (entry[(split + 1)...] + [0]).map { CChar(bitPattern: $0) }
        setenv(name, value, 1)
    }

    /// Removes every variable.
    public static func clearEnvironment() {
        clearenv()
    }

    /// The variable that tells a re-executed program its role.
    public static let entryVariable = _MP_ENTRY_VARIABLE
    /// Where a re-executed program finds its channel.
    public static let channelNumber = CInt(_mp_channel_number)
    /// Where a re-executed program finds its lifeline.
    public static let lifelineNumber = CInt(_mp_lifeline_number)

    /// Keeps the pre-main entry linked into the program.
    public static func keepEntry() {
        _mp_keep_entry()
    }

    /// Has the kernel kill a process (or -group) once the last write end of `pipe` is closed; returns what must stay open.
    public static func armLifeline(_ pipe: CInt, owner: CInt) throws(Errno) -> Descriptor {
        Descriptor(owning: try check(_mp_arm_lifeline(pipe, owner)))
    }

    /// Becomes the leader of a process group of its own.
    public static func becomeGroupLeader() throws(Errno) {
        _ = try check(_mp_set_group())
    }

    /// Leaves session and terminal for a session of its own. Not for the leader of a process group.
    public static func becomeSessionLeader() throws(Errno) {
        _ = try check(_mp_new_session())
    }

    /// The effective user. One system call.
    public static var user: UInt32 { _mp_user() }

    /// Sets the ignored and the blocked signals; all others keep their disposition and are unblocked.
    public static func setSignals(ignored: [CInt], blocked: [CInt]) throws(Errno) {
        _ = try check(_mp_reset_signals(ignored, CInt(ignored.count), blocked, CInt(blocked.count)))
    }

    /// Gives every signal its default action and blocks none.
    public static func resetSignals() throws(Errno) {
        _ = try check(_mp_default_signals())
    }

    /// Blocks every signal in the calling thread, but those of its own faults.
    public static func blockSignalsInThread() {
        _ = _mp_block_outside_signals()
    }

    /// The soft and hard limit of a resource; `UInt64.max` is "unlimited".
    public static func limit(_ resource: CInt) throws(Errno) -> (soft: UInt64, hard: UInt64) {
        var soft: UInt64 = 0
        var hard: UInt64 = 0
        _ = try check(_mp_get_limit(resource, &soft, &hard))
        return (soft, hard)
    }

    /// Sets the soft and hard limit of a resource.
    public static func setLimit(_ resource: CInt, soft: UInt64, hard: UInt64) throws(Errno) {
        _ = try check(_mp_set_limit(resource, soft, hard))
    }

    /// The processors that this process may run on.
    public static func affinity() throws(Errno) -> [Int] {
        var numbers = [CInt](repeating: 0, count: 16384)
        let count = try check(_mp_get_affinity(&numbers, CInt(numbers.count)))
        return numbers[..<Int(count)].map(Int.init)
    }

    /// Restricts the calling thread, and threads that it starts later, to some processors.
    public static func setAffinity(_ processors: [Int]) throws(Errno) {
        _ = try check(_mp_set_affinity(processors.map { CInt(clamping: $0) }, CInt(processors.count)))
    }

    /// Sets the niceness (-20 first to 19 last).
    public static func setNiceness(_ value: CInt) throws(Errno) {
        _ = try check(_mp_set_niceness(value))
    }

    /// Takes another group and user, for good.
    public static func setIdentity(group: UInt32?, user: UInt32?) throws(Errno) {
        _ = try check(_mp_set_identity(group != nil, group ?? 0, user != nil, user ?? 0))
    }

    /// The name that `ps` shows, cut to 15 bytes.
    public static func setName(_ name: String) {
        _ = _mp_set_name(name)
    }

    /// Changes the working directory.
    public static func changeDirectory(to path: String) throws(Errno) {
        _ = try check(_mp_chdir(path))
    }

    /// Changes the working directory to an open one.
    public static func changeDirectory(to directory: borrowing Descriptor) throws(Errno) {
        _ = try check(_mp_fchdir(directory.number))
    }

    /// Moves an open file from the number `source` to `target`, closing what was there. Programs started later inherit it.
    public static func move(_ source: CInt, to target: CInt) throws(Errno) {
        if source == target {
            _ = try check(_mp_set_cloexec(source, false))
        } else {
            _ = try check(_mp_dup2(source, target))
            _ = Descriptor(owning: source)
        }
    }

    /// Keeps a descriptor from programs that are started later.
    public static func setCloseOnExec(_ number: CInt) {
        _ = _mp_set_cloexec(number, true)
    }

    /// Closes every descriptor from `first` to `last`.
    public static func closeRange(_ first: CInt, _ last: CInt = .max) {
        _ = _mp_close_range(first, last)
    }

    /// Fresh random bytes from the kernel.
    public static func randomBytes(_ count: Int) throws(Errno) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        _ = try check(_mp_fill_random(&bytes, count))
        return bytes
    }

    /// How many threads this process has.
    public static func threadCount() throws(Errno) -> Int {
        Int(try check(_mp_thread_count()))
    }

    /// Sends this process a signal.
    public static func raise(_ signal: CInt) {
        _ = _mp_kill(getpid(), signal)
    }

    /// Blocks the calling thread for a time.
    public static func pause(_ duration: Duration) {
        _ = try? waitUntilReady([], deadline: Deadline(after: duration))
    }

    /// Flushes stdio's buffers.
    public static func flushStandardIO() {
        _mp_flush_stdio()
    }

    /// Has standard output written line by line, as on a terminal, whatever it is.
    public static func bufferOutputByLine() {
        _mp_buffer_output_by_line()
    }

    /// Has `body` called when the process leaves by a return from `main` or by `exit`.
    public static func atExit(_ body: @escaping @convention(c) () -> Void) {
        atexit(body)
    }

    /// Ends the process at once: no exit handlers, no flushing.
    public static func exitNow(_ code: CInt) -> Never {
        _mp_exit_now(code)
    }

    /// Ends the process as a return from `main` would: exit handlers run, stdio is flushed.
    public static func exit(_ code: CInt) -> Never {
        _mp_exit_with_handlers(code)
    }

    /// Serves Dispatch's main queue, and so `@MainActor` code, on the calling main thread for the rest of the process's life.
    public static func serveMainQueue() -> Never {
        _mp_serve_main_queue()
    }
}
