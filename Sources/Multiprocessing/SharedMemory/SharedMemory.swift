internal import MultiprocessingSystem
internal import Synchronization
internal import SystemPackage

/// Bytes that several processes see at once: anonymous, or under a name that unrelated processes can attach to.
///
///     let memory = try SharedMemory(size: 1 << 20)                      // no name: reaches others by travelling
///     try await ChildProcess.run { try memory.withMutableSpan(of: Float.self) { $0[0] = 1 } }
///
///     let named = try SharedMemory(name: "frames", size: 1 << 20)       // Python: SharedMemory(name="frames")
///     let other = try SharedMemory(attaching: "frames")                 // in any process of this user
///
/// Anonymous memory leaves nothing behind, however its users end. A named segment of ``Lifetime/automatic`` lifetime is removed
/// when nobody uses it any more, by its last user or, if that was killed, by a small helper process; never while a process
/// of this library uses it. See <doc:SharedState> for what that rests on.
///
/// The bytes themselves have no order of their own between processes: use a ``Lock``, a ``SharedAtomic``, or the start and end of
/// a child.
///
/// Python: `multiprocessing.shared_memory.SharedMemory`.
public final class SharedMemory: Sendable {
    /// What becomes of a named segment when nobody uses it any more.
    public struct Lifetime: Hashable, Sendable {
        fileprivate let isRemovable: Bool

        /// It is removed.
        public static let automatic = Lifetime(isRemovable: true)
        /// It stays until somebody calls ``SharedMemory/unlink()`` or the machine restarts. Python: `track=False`.
        public static let persistent = Lifetime(isRemovable: false)
    }

    private struct State {
        var use: SegmentUse?
        var wasClosedInUse = false
    }

    private let state: Mutex<State>
    private let identity: FileIdentity
    private let segmentName: SegmentName?

    /// The size in bytes, exactly as asked for.
    public let count: Int
    /// The name by which it can be attached; nil if it is anonymous. Python: `SharedMemory.name`.
    public var name: String? { segmentName?.text }

    private init(_ use: SegmentUse) {
        state = Mutex(State(use: use))
        identity = use.identity
        segmentName = use.name
        count = use.count
    }

    /// Makes anonymous memory: zero bytes, used where they are touched. Three system calls.
    ///
    /// - Parameters:
    ///   - size: how many bytes; at least 1.
    ///   - hugePages: take it from the system's pool of 2 MiB pages.
    /// - Throws: ``SharedStateError`` (`invalidArgument` for a size that makes no sense, `outOfResources` with the system's error).
    public convenience init(size: Int, hugePages: Bool = false) throws {
        let page = hugePages ? 2 << 20 : 1
        guard size > 0, size <= Segment.largest else {
            throw SharedStateError(.invalidArgument, "No shared memory has \(size) bytes")
        }
        let whole = (size + page - 1) / page * page
        do throws(Errno) {
            let file = try Descriptor.sharedMemory(whole, hugePages: hugePages)
            let mapping = try SharedMapping(mapping: file, count: whole)
            let identity = try FileIdentity(of: file)
            self.init(SegmentUse(file, mapping: mapping, count: size, identity: identity))
        } catch {
            throw SharedStateError.noMemory(size, hugePages: hugePages, error)
        }
    }

    /// Makes a named segment of zero bytes, readable and writable by this user alone (mode 0600).
    ///
    /// All its memory is allocated at once, so that touching it never fails later: the time grows with the size. Unless it is
    /// ``Lifetime/persistent``, it gets its name only once the small process knows of it that removes it after a death. Mostly that
    /// is one system call. The first segment of a program also starts that process, some milliseconds. If it was stopped, the
    /// thread is blocked until another has taken its place: some two seconds, in the worst case for `timeout`.
    ///
    /// - Parameters:
    ///   - name: the name, at most 255 bytes without a slash; nil for one that nobody has.
    ///   - size: how many bytes; at least 1.
    ///   - lifetime: whether it is removed when nobody uses it.
    ///   - timeout: how long to wait for that process at most; nil is without end, zero or less a single look.
    /// - Throws: ``SharedStateError``: `exists` if the name is taken, `invalidArgument` for a name or size that makes no sense,
    ///   `outOfResources` with the system's error, such as `.noSpace` when /dev/shm is full; `timedOut`. Then nothing is left of it.
    @available(*, noasync, message: "Use the async init(name:size:): this one may block the thread")
    public convenience init(
        name: String?,
        size: Int,
        lifetime: Lifetime = .automatic,
        timeout: Duration? = .seconds(10)
    ) throws {
        try self.init(name: name, size: size, lifetime: lifetime, timeout: timeout) { _ in }
    }

    /// Makes a named segment of zero bytes, readable and writable by this user alone (mode 0600).
    ///
    /// As the blocking one, but it suspends the task while there is no process that would remove the segment.
    ///
    /// - Parameters:
    ///   - name: the name, at most 255 bytes without a slash; nil for one that nobody has.
    ///   - size: how many bytes; at least 1.
    ///   - lifetime: whether it is removed when nobody uses it.
    ///   - timeout: how long to wait for that process at most; nil is without end, zero or less a single look.
    /// - Throws: as the blocking one; `CancellationError` if the task is cancelled while it waits. Then nothing is left of it.
    public convenience init(
        name: String?,
        size: Int,
        lifetime: Lifetime = .automatic,
        timeout: Duration? = .seconds(10)
    ) async throws {
        try await self.init(name: name, size: size, lifetime: lifetime, timeout: timeout) { _ in }
    }

    /// Makes a named segment that has what `prepare` writes before anybody can attach to it.
    convenience init(
        name: String?,
        size: Int,
        lifetime: Lifetime,
        timeout: Duration?,
        prepare: (UnsafeMutableRawBufferPointer) throws -> Void
    ) throws {
        let name = try name.map { (text) throws(SharedStateError) in try SegmentName(text) }
        self.init(
            try Segment.create(
                name,
                size: size,
                removable: lifetime.isRemovable,
                deadline: Deadline(after: timeout),
                prepare: prepare
            )
        )
    }

    /// Makes a named segment that has what `prepare` writes before anybody can attach to it.
    convenience init(
        name: String?,
        size: Int,
        lifetime: Lifetime,
        timeout: Duration?,
        prepare: (UnsafeMutableRawBufferPointer) throws -> Void
    ) async throws {
        let name = try name.map { (text) throws(SharedStateError) in try SegmentName(text) }
        self.init(
            try await Segment.create(
                name,
                size: size,
                removable: lifetime.isRemovable,
                deadline: Deadline(after: timeout),
                prepare: prepare
            )
        )
    }

    /// Attaches to the segment with a name, whoever made it: this library, Python's `shared_memory`, `shm_open`.
    ///
    /// Some system calls. Blocks the thread only for a segment that its maker has named but not yet sized (makers of other
    /// libraries do it in that order) or that somebody is removing. A maker that shrinks its file under its users makes them
    /// crash; this library never does.
    ///
    /// - Parameter timeout: how long to wait for the size at most; nil is without end, zero or less is a single look.
    /// - Throws: ``SharedStateError``: `notFound`, `timedOut` if it never got a size, `refused` if it is not for this user,
    ///   `malformed` if it is no memory, `outOfResources`.
    @available(*, noasync, message: "Use the async init(attaching:): this one blocks the thread")
    public convenience init(attaching name: String, timeout: Duration? = .seconds(1)) throws {
        self.init(try Segment.attach(try SegmentName(name), deadline: Deadline(after: timeout)))
    }

    /// Attaches to the segment with a name, whoever made it: this library, Python's `shared_memory`, `shm_open`.
    ///
    /// As the blocking one, but it suspends the task while there is no size, and blocks no thread.
    ///
    /// - Parameter timeout: how long to wait for the size at most; nil is without end, zero or less is a single look.
    /// - Throws: as the blocking one; `CancellationError` if the task is cancelled before there is a size.
    public convenience init(attaching name: String, timeout: Duration? = .seconds(1)) async throws {
        self.init(try await Segment.attach(try SegmentName(name), deadline: Deadline(after: timeout)))
    }

    /// Gives up the use of it by this handle; other handles keep theirs. The last one to go takes an automatic name along.
    ///
    /// Accesses that are under way end first, in their own time: this does not wait for them, nor for anybody else. Some system
    /// calls. Closing twice is nothing.
    ///
    /// Python: `SharedMemory.close`.
    public func close() {
        let use = state.withLock { state in
            defer { state.use = nil }
            state.wasClosedInUse = state.wasClosedInUse || state.use != nil
            return state.use
        }
        // Outside the lock: the last reference tidies up.
        _ = use
    }

    /// Removes the name at once. Nobody can attach any more; whoever uses the segment keeps it.
    ///
    /// Needed only for ``Lifetime/persistent`` segments and for those of other makers; for the others it does early what
    /// would be done anyway. The name stays away from a segment that got it since. Some system calls; waits for nobody.
    ///
    /// Python: `SharedMemory.unlink`.
    /// - Throws: ``SharedStateError``: `notFound` if the name is gone, `invalidArgument` for anonymous memory, `refused`.
    public func unlink() throws {
        guard let segmentName else {
            throw SharedStateError(.invalidArgument, "Anonymous shared memory has no name to be removed")
        }
        do {
            try Segment.unlink(segmentName, identity)
        } catch let error as SharedStateError where error.code == .notFound {
            // Closing it has done so already, if it was the last use: the usual order of the two calls is no error.
            let isFirst = state.withLock { state in
                defer { state.wasClosedInUse = false }
                return state.use == nil && state.wasClosedInUse
            }
            if !isFirst { throw error }
        }
    }

    /// Removes the name of a segment without using it.
    ///
    /// - Throws: as ``unlink()``.
    public static func unlink(_ name: String) throws {
        try Segment.unlink(try SegmentName(name), nil)
    }

    /// Whether this handle was closed.
    public var isClosed: Bool { state.withLock { $0.use == nil } }

    /// The use, kept alive by whoever holds it.
    func use() throws -> SegmentUse {
        guard let use = state.withLock({ $0.use }) else {
            throw SharedStateError(.closed, "This handle of shared memory was closed")
        }
        return use
    }
}

extension SharedStateError {
    /// The error for anonymous memory that the system refused.
    static func noMemory(_ size: Int, hugePages: Bool, _ errno: Errno) -> SharedStateError {
        let hint =
            hugePages
            ? " in huge pages: the system's pool (/proc/sys/vm/nr_hugepages) has not enough that are free"
            : ""
        return SharedStateError(.outOfResources, "\(size) bytes of shared memory could not be had\(hint)", errno: errno)
    }
}

// MARK: Travelling

extension SharedMemory: Codable {
    private enum CodingKeys: CodingKey {
        case file, name, count
    }

    /// Sends the open file along; where only bytes can go, a named segment goes by its name.
    ///
    /// - Throws: ``SharedStateError`` (`closed`; `cannotTravel` for anonymous memory where only bytes can go).
    public func encode(to encoder: any Encoder) throws {
        let use = try use()
        var container = encoder.container(keyedBy: CodingKeys.self)
        if segmentName == nil || SharedDescriptor.canTravel {
            let file: SharedDescriptor
            do throws(Errno) {
                file = try use.descriptorForTravel()
            } catch {
                throw SharedStateError(.outOfResources, "Shared memory could not be sent", errno: error)
            }
            try container.encode(try file.attach("Anonymous shared memory"), forKey: .file)
        }
        try container.encodeIfPresent(name, forKey: .name)
        try container.encode(count, forKey: .count)
    }

    /// Maps what a message brought, or attaches to what it names; that blocks the thread for a second at most, as attaching does.
    ///
    /// - Throws: ``SharedStateError`` (`malformed`, `notFound` for a name that is gone).
    public convenience init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let name = try container.decodeIfPresent(String.self, forKey: .name).map { (text) throws(SharedStateError) in
            try SegmentName(text)
        }
        let count = try container.decode(Int.self, forKey: .count)
        guard let index = try container.decodeIfPresent(Int.self, forKey: .file) else {
            guard let name else { throw SharedStateError(.malformed, "Shared memory arrived without its file") }
            self.init(try Segment.attach(name, deadline: Deadline(after: .seconds(1))))
            return
        }
        let shared = try SharedDescriptor.attached(at: index, "Shared memory")
        do throws(Errno) {
            let file = try shared.descriptor.duplicate()
            let status = try SegmentFile.status(of: file)
            let mapping =
                if name == nil {
                    try SharedMapping(adopting: file)
                } else {
                    try SharedMapping(mapping: file, count: status.size)
                }
            guard count > 0, count <= mapping.count else { throw .invalidArgument }
            self.init(
                SegmentUse(
                    file,
                    mapping: mapping,
                    count: count,
                    identity: status.identity,
                    name: name,
                    isRemovable: status.isRemovable
                )
            )
        } catch {
            throw SharedStateError(.malformed, "Shared memory that arrived cannot be used", errno: error)
        }
    }
}
