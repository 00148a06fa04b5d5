internal import MultiprocessingSystem
internal import SystemPackage

/// Where a ``Listener`` is found.
///
/// Today addresses are of this machine. Others are further cases of the same type: a listener or a connect on one is a transport
/// of its own behind the same handles.
public struct Address: Hashable, Sendable, Codable, CustomStringConvertible {
    private enum Kind: Hashable, Sendable, Codable {
        case unix(String)
        case abstract(String)
    }

    private let kind: Kind

    /// A path in the file system. The listener makes it, for this user only, and removes it when it is closed. If its process is
    /// killed the path stays, and has to be removed before another listener can have it.
    public static func unix(_ path: String) -> Address { Address(kind: .unix(path)) }

    /// A name that is not in the file system and goes with its listener, however that ends. Names are those of a network namespace,
    /// whose users may all try to connect: the listener asks the kernel who they are. Python: an address that begins with a zero byte.
    public static func abstract(_ name: String) -> Address { Address(kind: .abstract(name)) }

    /// A name that nobody can guess, and that leaves nothing behind: the default.
    static func random() throws -> Address {
        let bytes = try ThisProcess.randomBytes(16)
        let digits = Array("0123456789abcdef")
        return .abstract("multiprocessing-" + String(bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }))
    }

    var name: [UInt8] {
        switch kind {
        case .unix(let name), .abstract(let name): Array(name.utf8)
        }
    }

    var isAbstract: Bool {
        if case .abstract = kind { true } else { false }
    }

    /// The path; nil for an address without one.
    var path: String? {
        if case .unix(let path) = kind { path } else { nil }
    }

    /// - Throws: ``SharedStateError`` (`invalidArgument`) for a name that no socket can have.
    func validate() throws {
        let name = name
        guard !name.isEmpty, name.count <= LocalSocket.longestName, isAbstract || !name.contains(0) else {
            throw SharedStateError(
                .invalidArgument,
                "\(self) cannot be an address: 1 to \(LocalSocket.longestName) bytes, none of them zero in a path"
            )
        }
    }

    public var description: String {
        switch kind {
        case .unix(let path): "unix:\(path)"
        case .abstract(let name): "abstract:\(name)"
        }
    }
}

/// Who is at the other end of a connection, as the kernel says.
public struct PeerCredentials: Hashable, Sendable, CustomStringConvertible {
    /// The process that connected, in this process's pid namespace; it may have passed the connection on since.
    public let processIdentifier: Int32
    /// Its user.
    public let userIdentifier: UInt32
    /// Its group.
    public let groupIdentifier: UInt32

    init(of socket: borrowing Descriptor) throws(Errno) {
        let peer = try LocalSocket.peer(of: socket.number)
        (processIdentifier, userIdentifier, groupIdentifier) = (peer.pid, peer.user, peer.group)
    }

    /// Whether it is this process's user: only then are memory and descriptors shared with it.
    var isThisUser: Bool { userIdentifier == LocalSocket.currentUser }

    public var description: String { "pid \(processIdentifier), user \(userIdentifier)" }
}
