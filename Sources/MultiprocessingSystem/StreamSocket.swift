public import SystemPackage
internal import _MultiprocessingShims

/// Sockets that carry a stream of bytes. What they make never waits.
public enum StreamSocket {
    /// Listens at an address of this machine.
    ///
    /// A host's name is looked up, which may take as long as the system's resolver does.
    /// - Parameter port: zero for one that is free.
    /// - Throws: `.permissionDenied` with `loopbackOnly`, for an address that others than this machine can reach;
    ///   `.noRouteToHost` for a name that cannot be resolved.
    public static func listen(
        host: String,
        port: UInt16,
        backlog: CInt,
        loopbackOnly: Bool
    ) throws(Errno) -> Descriptor {
        Descriptor(owning: try check(_mp_stream_listen_tcp(host, port, backlog, loopbackOnly)))
    }

    /// Listens at a path, which is made for its owner only.
    public static func listen(path: String, backlog: CInt) throws(Errno) -> Descriptor {
        Descriptor(owning: try check(_mp_stream_listen_unix(path, backlog)))
    }

    /// Connects to a host. Blocks the thread; the look-up of a name is not part of the time.
    ///
    /// - Throws: `.timedOut`, `.connectionRefused`, `.noRouteToHost` and what else connect(2) knows.
    public static func connect(host: String, port: UInt16, within limit: Duration) throws(Errno) -> Descriptor {
        let time = Deadline(after: limit).nanoseconds
        return Descriptor(owning: try check(_mp_stream_connect_tcp(host, port, time)))
    }

    /// Connects to a path. Blocks the thread while the listener's backlog is full.
    public static func connect(path: String, within limit: Duration) throws(Errno) -> Descriptor {
        Descriptor(owning: try check(_mp_stream_connect_unix(path, Deadline(after: limit).nanoseconds)))
    }

    /// The next one who connected.
    ///
    /// - Throws: `.resourceTemporarilyUnavailable` when there is none.
    public static func accept(_ number: CInt) throws(Errno) -> Descriptor {
        Descriptor(owning: try check(_mp_accept(number)))
    }

    /// The port that a socket is bound to.
    public static func port(of number: CInt) throws(Errno) -> UInt16 {
        UInt16(try check(_mp_stream_port(number)))
    }

    /// Who is at the other end, in words.
    public static func peer(of number: CInt) -> String {
        text(Int(_mp_peer_text_most)) { _mp_stream_peer(number, $0, $1) } ?? "unknown"
    }

    /// The name of this machine.
    public static var hostName: String { text(256) { _mp_host_name($0, $1) } ?? "unknown" }

    private static func text(_ room: Int, _ fill: (UnsafeMutablePointer<CChar>, Int) -> CInt) -> String? {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: room) { buffer in
            fill(buffer.baseAddress!, room) < 0 ? nil : String(cString: buffer.baseAddress!)
        }
    }
}

extension Descriptor {
    /// Makes a connected socket ready to carry frames: it sends without delay, never waits, and the kernel gives it up when
    /// nothing is acknowledged for so long.
    ///
    /// - Throws: `.protocolWrongTypeForSocket` if it is not a stream socket.
    public func prepareStream(acknowledgedWithin limit: Duration) throws(Errno) {
        let (seconds, attoseconds) = limit.components
        let milliseconds = CInt(clamping: seconds * 1000 + attoseconds / 1_000_000_000_000_000)
        _ = try check(_mp_stream_prepare(number, milliseconds))
    }

    /// Sends from two pieces of memory, one behind the other; returns how many bytes went.
    ///
    /// - Throws: `.resourceTemporarilyUnavailable` when there is no room; `.brokenPipe`, `.connectionReset`, `.timedOut` and what
    ///   else says that nobody is there.
    public func sendStream(_ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer) throws(Errno) -> Int {
        Int(try check(_mp_stream_send(number, first.baseAddress, first.count, second.baseAddress, second.count)))
    }

    /// Receives what is there; 0 at end of file.
    ///
    /// - Throws: `.resourceTemporarilyUnavailable` when there is nothing.
    public func receiveStream(into buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> Int {
        Int(try check(_mp_stream_receive(number, buffer.baseAddress!, buffer.count)))
    }

    /// Ends a connection in both directions. Whoever waits for the socket is woken.
    public func endStream() { _mp_stream_end(number) }
}

extension Poller {
    /// From now on reports `token` also while `number` can be written, or no more. One system call.
    public func modify(_ number: CInt, token: UInt64, forWriting: Bool) throws(Errno) {
        _ = try check(_mp_epoll_modify(self.number, number, token, forWriting))
    }
}

/// Bytes that only their owners may know.
public enum Secrets {
    /// Whether both are the same. Takes as long wherever they differ.
    public static func areEqual(_ one: [UInt8], _ other: [UInt8]) -> Bool {
        one.count == other.count && _mp_equal_secrets(one, other, one.count)
    }
}
