public import SystemPackage
internal import _MultiprocessingShims

/// Named shared memory: files in the directory where `shm_open` has its own.
///
/// Whoever uses a segment has a shared lock on its open file, which the kernel drops with the last descriptor for that open
/// file, whatever becomes of its processes. Who removes a segment unasked has an exclusive one, so it has no users.
public enum SegmentFile {
    /// What is known of an open segment.
    public struct Status: Sendable {
        /// Which file it is.
        public var identity: FileIdentity
        /// Its size in bytes.
        public var size: Int
        /// The user that it belongs to.
        public var owner: UInt32
        /// Whether the file has a name at all.
        public var hasName: Bool
        /// Whether it is to be removed when nobody uses it.
        public var isRemovable: Bool
    }

    /// The longest name, in bytes.
    public static let longestName = 255

    /// Makes a segment without a name: zero bytes, all of them allocated. Locked for use.
    ///
    /// - Throws: `.fileTooLarge` beyond the process's limit, `.noSpace` if the directory's file system is full.
    public static func make(size: Int, removable: Bool) throws(Errno) -> Descriptor {
        Descriptor(owning: try check(_mp_segment_make(Int64(size), removable)))
    }

    /// Gives a segment its name, in one step; `.fileExists` if it is taken.
    public static func name(_ file: borrowing Descriptor, _ name: String) throws(Errno) {
        _ = try check(_mp_segment_name(file.number, name))
    }

    /// Opens a segment, without a lock.
    public static func open(_ name: String) throws(Errno) -> Descriptor {
        Descriptor(owning: try check(_mp_segment_open(name)))
    }

    /// What an open segment is like; `.operationNotSupportedByDevice` if it is not a file.
    public static func status(of file: borrowing Descriptor) throws(Errno) -> Status {
        var raw = _mp_segment()
        _ = try check(_mp_segment_look(file.number, &raw))
        return Status(
            identity: FileIdentity(device: raw.device, inode: raw.inode),
            size: Int(raw.size),
            owner: raw.owner,
            hasName: raw.has_name,
            isRemovable: raw.removable
        )
    }

    /// Locks an open segment; `.resourceTemporarilyUnavailable` if others have it locked against that. Does not wait.
    public static func lock(_ file: borrowing Descriptor, forRemoval: Bool) throws(Errno) {
        _ = try check(_mp_segment_lock(file.number, forRemoval))
    }

    /// Removes a name, if it is that of the segment; `.noSuchFileOrDirectory` if not.
    public static func unlink(_ name: String, _ identity: FileIdentity) throws(Errno) {
        _ = try check(_mp_segment_unlink(name, identity.device, identity.inode))
    }

    /// The names that begin with `prefix`.
    public static func names(beginningWith prefix: String) throws(Errno) -> [String] {
        var names: [String] = []
        let result = withUnsafeMutablePointer(to: &names) { names in
            _mp_segment_list(prefix, names) { context, name in
                context.assumingMemoryBound(to: [String].self).pointee.append(String(cString: name))
            }
        }
        _ = try check(result)
        return names
    }
}

/// Sockets by which processes of one user find each other, in no directory. They keep packets apart.
public enum Rendezvous {
    /// Listens under a name.
    public static func listen(_ name: String) throws(Errno) -> Descriptor {
        Descriptor(owning: try check(_mp_rendezvous_listen(name)))
    }

    /// Connects to who listens under a name, if that is a process of the same user (`.permissionDenied` else).
    public static func connect(_ name: String) throws(Errno) -> Descriptor {
        try sameUser(Descriptor(owning: try check(_mp_rendezvous_connect(name))))
    }

    /// Takes the next connection; `.permissionDenied` if it was another user's. Does not wait.
    public static func accept(_ listener: CInt) throws(Errno) -> Descriptor {
        try sameUser(Descriptor(owning: try check(_mp_rendezvous_accept(listener))))
    }

    private static func sameUser(_ connection: consuming Descriptor) throws(Errno) -> Descriptor {
        var user: UInt32 = 0
        _ = try check(_mp_peer_user(connection.number, &user))
        guard user == ThisProcess.user else { throw .permissionDenied }
        return connection
    }
}
