public import SystemPackage
internal import _MultiprocessingShims

/// Packet sockets with an address on this machine. None of these calls waits.
public enum LocalSocket {
    /// The most bytes that an address can have.
    public static let longestName = Int(_mp_address_most)

    /// Starts to listen.
    ///
    /// - Parameter isAbstract: a name in the kernel's table, which goes with the last descriptor; else a path, accessible to its
    ///   owner only.
    public static func listen(_ name: [UInt8], isAbstract: Bool, backlog: CInt) throws(Errno) -> Descriptor {
        Descriptor(owning: try check(_mp_listen(name, name.count, isAbstract, backlog)))
    }

    /// Connects.
    ///
    /// - Throws: `.resourceTemporarilyUnavailable` while the listener's backlog is full.
    public static func connect(_ name: [UInt8], isAbstract: Bool) throws(Errno) -> Descriptor {
        Descriptor(owning: try check(_mp_connect(name, name.count, isAbstract)))
    }

    /// The next one who connected.
    ///
    /// - Throws: `.resourceTemporarilyUnavailable` when there is none.
    public static func accept(_ number: CInt) throws(Errno) -> Descriptor {
        Descriptor(owning: try check(_mp_accept(number)))
    }

    /// Who is at the other end: who connected or, asked by that one, who listens.
    public static func peer(of number: CInt) throws(Errno) -> (pid: CInt, user: UInt32, group: UInt32) {
        var pid: Int32 = 0
        var user: UInt32 = 0
        var group: UInt32 = 0
        _ = try check(_mp_peer(number, &pid, &user, &group))
        return (pid, user, group)
    }

    /// The effective user of this process. One system call.
    public static var currentUser: UInt32 { _mp_effective_user() }

    /// Removes the file at a path if it still is the one that is meant.
    public static func removeFile(at path: String, ifStill identity: FileIdentity) {
        if FileIdentity(at: path) == identity { _ = _mp_unlink(path) }
    }
}

extension Descriptor {
    /// Copies the first bytes of the next packet, which stays in the socket.
    ///
    /// - Returns: how many; 0 at end of file.
    /// - Throws: `.resourceTemporarilyUnavailable` when there is no packet.
    public func peekPacket(into buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> Int {
        Int(try check(_mp_peek(number, buffer.baseAddress!, buffer.count)))
    }

    /// Throws the next packet away, and closes the descriptors that came with it.
    public func dropPacket() {
        _ = _mp_drop(number)
    }

    /// Whether the other end of this socket is gone. One system call.
    public var hasHungUp: Bool { _mp_has_hung_up(number) }

    /// A counter that is readable while it is not zero.
    public static func event() throws(Errno) -> Descriptor {
        Descriptor(owning: try check(_mp_eventfd()))
    }

    /// Makes an event readable.
    public func signalEvent() { _mp_eventfd_signal(number) }

    /// Makes an event unreadable.
    public func clearEvent() { _mp_eventfd_clear(number) }
}
